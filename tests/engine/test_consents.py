"""Proof of consent: who said what to which question, when and how; and answers for one channel
of one category."""

import pytest

from services.contracts.decision import Outcome
from services.contracts.profile import Consent
from services.contracts.time import DAY
from services.triggers.engine import encode_state
from services.triggers.engine.consents import merge_consents
from services.triggers.engine.limits import PROOFS_MAX
from tests.engine.build import NOON, Log, log_of, trigger

FORM = {"consent": {"wording": "Yes, write to me", "method": "box"}, "source": "shop"}


def answered(**answers: bool | None) -> Log:
    """A log in which the person answered so on a form."""
    log = log_of(trigger())
    log.identify({"consent": answers}, context=FORM, id_="form-1")
    return log


def test_each_answer_stands_with_how_it_was_given() -> None:
    log = answered(marketing=True)
    proof = Consent(
        answer=True, at=NOON, event_id="form-1", source="shop",
        wording="Yes, write to me", method="box",
    )  # fmt: skip
    assert log.state.consents == {"marketing": proof}
    log.wake(NOON + DAY)
    assert log.out.profiles[-1].consents == {"marketing": proof}


def test_a_later_answer_has_its_own_proof_and_leaves_the_others() -> None:
    log = answered(marketing=True, mail=True)
    log.identify({"consent": {"mail": False}}, id_="link-2", now=NOON + 5)
    assert {name: one.event_id for name, one in log.state.consents.items()} == {
        "marketing": "form-1",
        "mail": "link-2",
    }
    assert log.state.consents["mail"].answer is False


def test_what_is_taken_back_leaves_no_proof() -> None:
    log = answered(marketing=True, mail=True)
    log.identify({"consent": {"mail": None}})
    assert set(log.state.consents) == {"marketing"}
    log.identify({"consent": None})
    assert log.state.consents == {}


def test_what_an_older_event_says_proves_nothing() -> None:
    log = answered(marketing=False)
    log.identify({"consent": {"marketing": True}}, occurred_at=NOON - 60_000_000, id_="late")
    assert log.state.traits["consent"] == {"marketing": False}
    assert log.state.consents["marketing"].event_id == "form-1"


def test_only_so_many_answers_have_a_proof() -> None:
    log = log_of(trigger())
    for number in range(PROOFS_MAX + 5):
        log.identify({"consent": {f"c{number}": True}})
    assert len(log.state.consents) == PROOFS_MAX
    assert f"c{PROOFS_MAX + 4}" in log.state.consents


def test_of_two_people_the_proof_of_what_stands_is_kept() -> None:
    one, other = answered(marketing=True, sms=True), answered(marketing=False)
    one.state.traits = {"consent": {"marketing": False, "sms": True}}
    merge_consents(one.state, other.state)
    assert {name: proof.answer for name, proof in one.state.consents.items()} == {
        "marketing": False,
        "sms": True,
    }


def test_a_state_with_proofs_survives_its_bytes() -> None:
    log = answered(marketing=True)
    log.reload = True
    before = encode_state(log.state)
    log.wake(NOON)
    assert log.state.consents["marketing"].wording == "Yes, write to me"
    assert before


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({"log.marketing": False}, Outcome.CONSENT),
        ({"log.marketing": True}, Outcome.SENT),
        ({"sms.marketing": False}, Outcome.SENT),
        ({"marketing": True, "log.marketing": False}, Outcome.CONSENT),
        ({"marketing": False, "log.marketing": True}, Outcome.CONSENT),
    ],
)
def test_an_answer_may_be_for_one_channel_of_one_category(
    answers: dict[str, bool], outcome: Outcome
) -> None:
    log = log_of(trigger())
    log.identify({"consent": answers})
    log.event("order")
    assert log.outcomes() == [outcome]


def test_where_a_yes_is_needed_one_for_the_channel_of_the_category_will_do() -> None:
    log = log_of(trigger(), consent="opt_in")
    log.event("order")
    log.identify({"consent": {"log.marketing": True}})
    log.event("order")
    assert log.outcomes() == [Outcome.CONSENT, Outcome.SENT]
