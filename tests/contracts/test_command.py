"""Names of runs and sends: the same thing is always named the same, by a standard rule."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.command import SEND_NAMESPACE, run_id, send_id

texts = st.text(max_size=12)


@given(texts, texts, texts, texts, st.integers(0, 30))
def test_a_send_is_named_by_uuid5_of_all_that_makes_it_one(
    workspace: str, trigger: str, person: str, run: str, step: int
) -> None:
    parts = (workspace, trigger, person, run, str(step))
    name = "".join(f"{len(part)}:{part}" for part in parts)
    given_id = send_id(workspace, trigger, person, run, step)
    assert given_id == str(uuid5(SEND_NAMESPACE, name))
    assert UUID(given_id).version == 5


def test_names_do_not_meet_at_the_borders_of_their_parts() -> None:
    assert run_id("w", "ab", "c", "e") != run_id("w", "a", "bc", "e")
    assert run_id("w", "a", "1:b", "e") != run_id("w", "a1:", "b", "e")
