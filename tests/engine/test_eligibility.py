"""Consent, rollout, holdout and test people: who may get it at all."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.event import TRACK, Event
from services.contracts.time import DAY, HOUR
from services.triggers.engine import Outputs, compile_rules, decide, new_state
from services.triggers.engine.fingerprint import hundredth
from services.triggers.engine.limits import SHADOW_SENDS_MAX
from tests.engine.build import NOON, PERSON, Log, bundle, log_of, policy, trigger

MAIL = [{"send": {"channel": "mail", "content": {"subject": "s", "body": "b"}}}]
DEFER = {"action": "defer", "expires_after": "3d"}
HELD_OUT = Outcome.WOULD_HAVE_SENT
PEOPLE = [f"person-{number}" for number in range(1000)]


def outcome_of(log: Log, **fields: Any) -> Outcome:
    """The outcome of one order."""
    [decision] = log.event(**fields)
    return decision.outcome


def outcomes_for(people: Sequence[str], **fields: Any) -> list[Outcome]:
    """The outcome of each one's first order under one trigger."""
    test_people = fields.pop("test_people", ())
    rules = compile_rules(bundle(trigger(**fields), policy(), test_people=test_people))
    out = Outputs()
    for person in people:
        event = Event(
            person=person,
            type=TRACK,
            name="order",
            message_id="m",
            occurred_at=NOON,
            received_at=NOON,
        )
        decide(new_state(person), event, rules, NOON, out)
    return [one.outcome for one in out.decisions]


@pytest.mark.parametrize(
    ("consent", "opt_out", "opt_in"),
    [
        (None, Outcome.SENT, Outcome.CONSENT),
        ({}, Outcome.SENT, Outcome.CONSENT),
        ({"marketing": True}, Outcome.SENT, Outcome.SENT),
        ({"mail": True}, Outcome.SENT, Outcome.SENT),
        ({"marketing": True, "mail": None}, Outcome.SENT, Outcome.SENT),
        ({"marketing": False}, Outcome.CONSENT, Outcome.CONSENT),
        ({"marketing": True, "mail": False}, Outcome.CONSENT, Outcome.CONSENT),
        ({"marketing": False, "mail": True}, Outcome.CONSENT, Outcome.CONSENT),
        ({"log": False}, Outcome.SENT, Outcome.CONSENT),
        ({"log": True}, Outcome.SENT, Outcome.CONSENT),
        ({"marketing": "false"}, Outcome.CONSENT, Outcome.CONSENT),
        ({"marketing": "yes"}, Outcome.CONSENT, Outcome.CONSENT),
        ({"marketing": 1}, Outcome.CONSENT, Outcome.CONSENT),
        ("no", Outcome.CONSENT, Outcome.CONSENT),
        (True, Outcome.CONSENT, Outcome.CONSENT),
    ],
)
def test_a_no_is_a_no_and_silence_is_what_the_workspace_says(
    consent: object, opt_out: Outcome, opt_in: Outcome
) -> None:
    for mode, wanted in (("opt_out", opt_out), ("opt_in", opt_in)):
        log = log_of(trigger(steps=MAIL), consent=mode)
        log.identify({"consent": consent})
        assert outcome_of(log) is wanted, mode


def test_transactional_sends_need_no_consent() -> None:
    log = log_of(trigger(category="transactional"), consent="opt_in")
    assert outcome_of(log) is Outcome.SENT
    log.identify({"consent": {"transactional": False, "log": False}})
    assert outcome_of(log) is Outcome.SENT


def test_a_refusal_for_consent_says_whose_no_it_was_or_whose_yes_is_missing() -> None:
    log = log_of(trigger(), consent="opt_in")
    assert log.event()[0].details == {"missing": ["marketing", "log"]}
    log.identify({"consent": {"marketing": True, "log": False}})
    assert log.event()[0].details == {"refused": "log"}


def test_consent_goes_before_audience_and_paused_before_consent() -> None:
    nobody = {"trait": "vip", "op": "exists"}
    log = log_of(trigger(audience=nobody), consent="opt_in")
    assert outcome_of(log) is Outcome.CONSENT
    log.publish(bundle(trigger(audience=nobody, status="paused"), revision=2, consent="opt_in"))
    assert outcome_of(log) is Outcome.PAUSED


def test_the_checks_come_in_the_order_of_the_semantics() -> None:
    fields: dict[str, Any] = {"rollout": 0, "reentry": {"mode": "once"}}
    log = log_of(trigger(**fields), test_people=[PERSON])
    assert outcome_of(log) is Outcome.SENT
    nobody = {"trait": "vip", "op": "exists"}
    log.publish(bundle(trigger(**fields, audience=nobody), revision=2))
    assert outcome_of(log) is Outcome.AUDIENCE
    log.publish(bundle(trigger(**fields), revision=3))
    assert outcome_of(log) is Outcome.ROLLOUT
    log.publish(
        bundle(
            trigger(reentry={"mode": "once"}, in_quiet_hours="drop"), revision=4,
            quiet_hours=[{"start": "00:00", "end": "23:59"}],
        )
    )  # fmt: skip
    assert outcome_of(log) is Outcome.REENTRY


def test_raising_a_rollout_only_adds_people_and_keeps_its_share() -> None:
    before: set[str] = set()
    for percent in (0, 1, 10, 50, 99, 100):
        outcomes = zip(PEOPLE, outcomes_for(PEOPLE, rollout=percent), strict=True)
        inside = {person for person, outcome in outcomes if outcome is Outcome.SENT}
        assert before <= inside
        assert abs(len(inside) - 10 * percent) <= 50
        before = inside
    assert before == set(PEOPLE)


def test_rollouts_of_two_triggers_and_the_holdout_are_independent() -> None:
    draws = (("rollout", "a"), ("rollout", "b"), ("holdout", "a"))
    places = [[hundredth(*draw, person) for draw in draws] for person in PEOPLE]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = sum(one[first] < 50 and one[second] < 50 for one in places)
        assert 200 <= both <= 300


def test_places_are_the_same_on_every_machine() -> None:
    assert [hundredth("rollout", "welcome", one) for one in ("ada", "bob", "")] == [6, 78, 51]


def test_a_share_is_held_out_and_recorded_as_would_have_sent() -> None:
    outcomes = outcomes_for(PEOPLE, holdout=20)
    assert set(outcomes) == {Outcome.SENT, Outcome.WOULD_HAVE_SENT}
    assert 150 <= outcomes.count(Outcome.WOULD_HAVE_SENT) <= 250


def test_a_holdout_is_of_those_whom_the_rollout_lets_in() -> None:
    outcomes = outcomes_for(PEOPLE, rollout=50, holdout=50)
    assert 440 <= outcomes.count(Outcome.ROLLOUT) <= 560
    assert 190 <= outcomes.count(Outcome.WOULD_HAVE_SENT) <= 310


def test_for_test_people_neither_rollout_nor_holdout_counts() -> None:
    some = PEOPLE[:50]
    for fields, outcome in (({"rollout": 0}, Outcome.ROLLOUT), ({"holdout": 100}, HELD_OUT)):
        assert set(outcomes_for(some, **fields, test_people=some)) == {Outcome.SENT}
        assert set(outcomes_for(some, **fields)) == {outcome}


def test_a_held_out_send_makes_no_command_and_counts_nowhere_else() -> None:
    log = log_of(trigger("held", holdout=100, priority=90), trigger("real"), policy(limit=1))
    decisions = log.event()
    assert [(one.trigger, one.outcome) for one in decisions] == [
        ("held", Outcome.WOULD_HAVE_SENT),
        ("real", Outcome.SENT),
    ]
    assert decisions[0].details == {"holdout": 100}
    assert decisions[0].run_id is not None
    assert decisions[0].send_id is None
    assert [one.trigger for one in log.out.commands] == ["real"]


@pytest.mark.parametrize("reload", [False, True])
def test_held_out_sends_are_capped_as_if_they_had_been_sent(reload: bool) -> None:
    log = log_of(trigger(holdout=100), policy(limit=2))
    log.reload = reload
    log.event(now=NOON)
    log.event(now=NOON + HOUR)
    [capped] = log.event(now=NOON + DAY - 1)
    assert capped.outcome is Outcome.CAP
    assert capped.details == {
        "policy": "cap", "count": 2, "limit": 2, "frees_at": NOON + DAY, "held_out": True,
    }  # fmt: skip
    assert outcome_of(log, now=NOON + DAY) is Outcome.WOULD_HAVE_SENT
    assert log.out.commands == []


def test_real_and_held_out_sends_together_stand_in_the_way_of_held_out_ones() -> None:
    log = log_of(trigger("held", holdout=100, priority=10), trigger("real"), policy(limit=3))
    log.event()
    log.event()
    assert log.outcomes() == [Outcome.SENT, HELD_OUT, Outcome.SENT, Outcome.CAP]
    assert log.out.decisions[-1].details["count"] == 3


def test_a_held_out_send_waits_and_takes_the_place_that_is_released() -> None:
    log = log_of(
        trigger("held", holdout=100, priority=10, when_capped=DEFER), trigger("real"),
        policy(limit=1),
    )  # fmt: skip
    log.event()
    [decision] = log.delivery(log.out.commands[0].send_id, "failed", now=NOON + HOUR)
    assert (decision.trigger, decision.outcome) == ("held", Outcome.WOULD_HAVE_SENT)


def test_dedup_and_reentry_hold_for_the_held_out_too() -> None:
    log = log_of(trigger(holdout=100, dedup={"key": ["id"]}), policy(limit=9))
    assert outcome_of(log, properties={"id": 1}) is Outcome.WOULD_HAVE_SENT
    assert outcome_of(log, properties={"id": 1}) is Outcome.DEDUP
    log = log_of(trigger(holdout=100, reentry={"mode": "once"}))
    assert outcome_of(log) is Outcome.WOULD_HAVE_SENT
    assert outcome_of(log) is Outcome.REENTRY


def test_ending_a_holdout_begins_with_its_caps_unused() -> None:
    log = log_of(trigger(holdout=100), policy(limit=1))
    log.event()
    log.publish(bundle(trigger(), policy(limit=1), revision=2))
    assert outcome_of(log) is Outcome.SENT


def test_only_so_many_held_out_sends_are_counted() -> None:
    names = [f"t{number}" for number in range(3)]
    log = log_of(
        *(trigger(name, holdout=100) for name in names),
        *(policy(f"p_{name}", limit=200, kind="trigger", value=name) for name in names),
    )
    for _ in range(SHADOW_SENDS_MAX // 3 + 1):
        log.event()
    assert log.state.sending is not None
    assert len(log.state.sending.shadow) == SHADOW_SENDS_MAX
    last = log.out.decisions[-1]
    assert (last.outcome, last.details["policy"]) == (Outcome.CAP, "sends_max")
