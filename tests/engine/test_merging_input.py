"""Hops that cannot be right change nothing."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from services.contracts.codec import encode_event
from services.contracts.control import HOPS_MAX, Answer, Ask, Forward
from services.contracts.errors import Malformed
from services.contracts.event import Event
from services.triggers.engine import (
    Outputs,
    apply_answer,
    apply_ask,
    apply_forward,
    compile_rules,
    decide,
    encode_state,
    new_state,
)
from services.triggers.engine.limits import MERGED_MAX
from tests.engine.build import NOON, bundle, tag
from tests.engine.people import ANN, BOB, CAT, merged, people_of


def event_of(person: str, **fields: Any) -> Event:
    given: dict[str, Any] = {
        "person": person,
        "type": "track",
        "name": "order",
        "message_id": "m1",
        "occurred_at": NOON,
        "received_at": NOON,
    }
    return Event(**{**given, **fields})


def test_what_forwarding_cannot_bring_to_an_end_is_a_dead_letter() -> None:
    people = merged()
    state = people.state(BOB)
    state.merged_into, state.applied = CAT, 9 << 16
    before = encode_state(state)
    path = tuple(f"p{number}" for number in range(HOPS_MAX))
    forward = Forward(
        person=BOB,
        source="p9",
        at=NOON + 1,
        position=1,
        kind="event",
        body=encode_event(event_of("p0")),
        path=path,
    )
    with pytest.raises(Malformed, match="too_many_hops"):
        apply_forward(state, forward, people.rules, NOON + 1, Outputs())
    assert encode_state(state) == before


def test_a_record_that_went_round_another_ring_before_begins_its_path_anew() -> None:
    people = merged()
    state = people.state(BOB)
    state.merged_into, state.applied = CAT, 9 << 16
    out = Outputs()
    for number, path in enumerate([(BOB, "dan"), (BOB, CAT), ("dan",), ("dan", BOB)]):
        forward = msgspec.structs.replace(forward_of("event"), source="dan", path=path)
        forward = msgspec.structs.replace(forward, position=number)
        apply_forward(state, forward, people.rules, NOON + 1, out)
    paths = [hop.path for hop in out.hops if isinstance(hop, Forward)]
    assert paths == [(BOB,), (BOB, CAT), ("dan", BOB), ("dan", BOB)]


def test_the_place_longest_untouched_is_forgotten_first() -> None:
    rules, state = compile_rules(bundle()), new_state(BOB)
    names = [f"anon-{number}" for number in range(MERGED_MAX + 1)]
    for position, name in enumerate([*names[:-1], names[0], names[-1]]):
        no = Answer(person=BOB, source=name, at=NOON, position=position)
        apply_answer(state, no, rules, NOON, Outputs())
    assert list(state.merged) == [*names[2:-1], names[0], names[-1]]


def forward_of(kind: Any, body: bytes = b"?") -> Forward:
    return Forward(person=BOB, source=ANN, at=NOON, position=1, kind=kind, body=body)


ANSWER = Answer(person=BOB, source=ANN, at=NOON, position=1, state=b"?" * 20)
OUT_OF_TIME = encode_event(event_of(ANN, occurred_at=1 << 60, received_at=1 << 60))


@pytest.mark.parametrize(
    ("record", "merged_into"),
    [
        (ANSWER, None),
        (ANSWER, CAT),
        (forward_of("answer"), None),
        (forward_of("answer"), CAT),
        (forward_of("event"), None),
        (forward_of("event", OUT_OF_TIME), None),
        (forward_of("delivery"), None),
    ],
)
def test_what_cannot_be_read_changes_nothing(
    record: Answer | Forward, merged_into: str | None
) -> None:
    people = people_of(tag("orders"))
    people.alias(BOB, ANN)
    state = people.state(BOB)
    state.merged_into = merged_into
    before = encode_state(state)
    act: Callable[..., None] = apply_answer if isinstance(record, Answer) else apply_forward
    with pytest.raises(Malformed):
        act(state, record, people.rules, NOON, Outputs())
    assert encode_state(state) == before


@pytest.mark.parametrize("now", [-1, 1 << 60])
def test_hops_out_of_time_are_malformed(now: int) -> None:
    rules, state = compile_rules(bundle()), new_state(BOB)
    ask = Ask(person=BOB, by=ANN, at=now)
    with pytest.raises(Malformed, match="bad_time"):
        apply_ask(state, ask, rules, now, Outputs())
    assert state == new_state(BOB)


def test_a_record_of_another_person_is_a_bug() -> None:
    rules = compile_rules(bundle())
    with pytest.raises(ValueError, match="another person"):
        apply_ask(new_state(BOB), Ask(person=ANN, by=CAT, at=NOON), rules, NOON, Outputs())


def test_an_address_refuses_an_event_out_of_time_itself() -> None:
    people = merged()
    state = people.state(ANN)
    before = encode_state(state)
    bad = msgspec.structs.replace(event_of(ANN), occurred_at=1 << 60, received_at=1 << 60)
    with pytest.raises(Malformed, match="bad_time"):
        decide(state, bad, people.rules, NOON, Outputs())
    assert encode_state(state) == before
