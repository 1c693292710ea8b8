"""While a person is asked for, nobody knows what the caps count: sends under them are held."""

from services.contracts.control import Ask
from services.contracts.decision import Outcome
from services.contracts.time import HOUR, SECOND
from services.triggers.engine.limits import ASK_AGAIN_AFTER
from tests.engine.build import NOON, policy, trigger
from tests.engine.people import ANN, BOB, CAT, merged, people_of


def test_sends_under_caps_are_held_while_anybody_is_asked_for() -> None:
    people = people_of(trigger(), policy(limit=5))
    people.alias(BOB, ANN)
    (held,) = people.event(BOB)
    assert held.outcome is Outcome.MERGE
    assert held.details == {"asked": [ANN], "deferred_until": NOON + ASK_AGAIN_AFTER}
    people.settle()
    assert people.outcomes(BOB) == [Outcome.MERGE, Outcome.SENT]
    assert people.out.commands[0].decided_at == NOON


def test_the_event_that_begins_the_asking_is_held_already() -> None:
    people = people_of(trigger(entry={"events": ["$identify"]}), policy(limit=5))
    assert [one.outcome for one in people.identify(BOB, ANN)] == [Outcome.MERGE]


def test_what_was_held_finds_the_caps_as_they_are_of_both() -> None:
    people = people_of(trigger(), policy())
    people.event(ANN)
    people.alias(BOB, ANN)
    people.event(BOB)
    people.settle()
    assert people.outcomes(ANN) == [Outcome.SENT]
    assert people.outcomes(BOB) == [Outcome.MERGE, Outcome.CAP]


def test_what_is_held_waits_for_all_that_are_asked_for_and_those_they_ask_for() -> None:
    people = people_of(trigger(), policy())
    people.event(CAT)
    people.alias(BOB, ANN)
    people.alias(ANN, CAT)
    people.deliver(BOB, ANN)
    people.deliver(ANN, BOB)
    assert people.asked(BOB) == [CAT]
    assert [one.outcome for one in people.event(BOB)] == [Outcome.MERGE]
    people.settle()
    assert people.outcomes(BOB) == [Outcome.MERGE, Outcome.CAP]


def test_a_no_releases_what_was_held() -> None:
    people = merged(trigger(), policy())
    people.alias(CAT, ANN)
    people.event(CAT)
    people.settle()
    assert people.outcomes(CAT) == [Outcome.MERGE, Outcome.SENT]


def test_sends_under_no_cap_are_not_held() -> None:
    people = people_of(trigger(category="transactional"), policy())
    people.alias(BOB, ANN)
    assert [one.outcome for one in people.event(BOB)] == [Outcome.SENT]


def test_a_later_send_of_a_journey_is_held_too() -> None:
    send = {"send": {"channel": "log"}}
    people = people_of(trigger(steps=[{"wait": {"for": "1h"}}, send]), policy())
    people.event(BOB)
    people.alias(BOB, ANN)
    people.now += HOUR
    assert [one.outcome for one in people.wake(BOB)] == [Outcome.STEPPED, Outcome.MERGE]
    people.settle()
    assert people.outcomes(BOB)[-2:] == [Outcome.SENT, Outcome.ENDED]


def test_what_is_held_expires_as_what_is_capped_does() -> None:
    people = people_of(trigger(when_capped={"action": "drop", "expires_after": "90m"}), policy())
    people.alias(BOB, ANN)
    people.event(BOB)
    people.now += ASK_AGAIN_AFTER
    people.wake(BOB)
    people.now = NOON + 90 * 60 * SECOND
    people.wake(BOB)
    assert people.outcomes(BOB) == [Outcome.MERGE, Outcome.MERGE, Outcome.EXPIRED]


def test_an_answer_that_does_not_come_is_asked_for_again() -> None:
    people = people_of(trigger(), policy())
    people.alias(BOB, ANN)
    people.event(BOB)
    people.links.clear()  # lost: whoever was asked could not be folded
    people.now += ASK_AGAIN_AFTER
    people.wake(BOB)
    asked_at = people.state(BOB).applied
    assert people.out.hops[-1] == Ask(person=ANN, by=BOB, at=people.now, position=asked_at)
    people.settle()
    assert people.outcomes(BOB)[-1] is Outcome.SENT
    assert people.asked(BOB) == []


def test_a_no_to_ones_own_ask_releases_nothing_that_waits_for_anothers() -> None:
    people = people_of(trigger(), policy())
    people.event(ANN)
    people.alias(BOB, ANN)
    people.alias(CAT, ANN)
    people.deliver(CAT, ANN)  # Ann goes to Cat, with what she was sent
    people.alias(BOB, CAT)
    people.deliver(BOB, CAT)  # Cat goes to Bob before she has it
    people.deliver(CAT, BOB)
    people.deliver(BOB, ANN)
    people.event(BOB)
    people.deliver(ANN, BOB)  # no: she is another's
    assert people.outcomes(BOB) == [Outcome.MERGE]
    people.settle()
    assert people.outcomes(BOB) == [Outcome.MERGE, Outcome.CAP]
