"""Value tiers, waiting for a better one, exclusive groups."""

from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine.explain_texts import decision_text
from tests.engine.build import NOON, Log, at, bundle, log_of, policy, trigger

DEFER = {"action": "defer", "expires_after": "3d"}
NIGHT = {"start": "22:00", "end": "08:00"}
LATE = at("2026-06-10T23:00:00")
MORNING = at("2026-06-11T08:00:00")
SENT, LOST, HELD_OUT = Outcome.SENT, Outcome.ARBITRATION, Outcome.WOULD_HAVE_SENT
QUIET, CAP = Outcome.QUIET_HOURS, Outcome.CAP


def on(*events: str, **fields: Any) -> dict[str, Any]:
    """Fields of a trigger that these events enter."""
    return {"entry": {"events": list(events)}, **fields}


def summary(log: Log) -> list[tuple[str, Outcome]]:
    """All decisions so far: trigger and outcome."""
    return [(one.trigger, one.outcome) for one in log.out.decisions]


TIERS = {"trait": "tier", "bonuses": {"gold": 30, "silver": 10}}


@pytest.mark.parametrize(
    ("tier", "priority", "lane"),
    [
        ("gold", 100, "high"),
        ("silver", 90, "high"),
        ("bronze", 80, "normal"),
        (None, 80, "normal"),
        (1, 80, "normal"),
        (["gold"], 80, "normal"),
    ],
)
def test_a_valued_persons_sends_have_more_priority_and_go_ahead(
    tier: object, priority: int, lane: str
) -> None:
    log = log_of(trigger(priority=80), value_tiers=TIERS)
    log.identify({"tier": tier})
    log.event()
    [command] = log.out.commands
    assert (command.priority, command.lane) == (priority, lane)


def test_a_tier_changes_nothing_in_the_order_of_one_persons_candidates() -> None:
    log = log_of(
        trigger("a", priority=80), trigger("b", priority=100), policy(limit=1), value_tiers=TIERS
    )
    log.identify({"tier": "gold"})
    log.event()
    assert summary(log) == [("b", SENT), ("a", CAP)]


def test_a_transactional_send_stays_in_its_lane() -> None:
    log = log_of(trigger(category="transactional", priority=95), value_tiers=TIERS)
    log.identify({"tier": "gold"})
    log.event()
    assert log.out.commands[0].lane == "transactional"


@pytest.mark.parametrize("reload", [False, True])
def test_a_candidate_waits_for_a_better_one_and_is_sent_if_none_comes(reload: bool) -> None:
    log = log_of(trigger(arbitration_window="1h"))
    log.reload = reload
    [held] = log.event()
    assert held.outcome is LOST
    assert held.details == {"deferred_until": NOON + HOUR}
    assert "held back in case a better one comes, decided again at" in decision_text(held)
    assert log.wake(NOON + HOUR - 1) == []
    [sent] = log.wake(NOON + HOUR)
    assert (sent.outcome, sent.run_id) == (SENT, held.run_id)
    assert log.out.commands[0].origin_received_at == NOON


@pytest.mark.parametrize("reload", [False, True])
def test_a_better_one_that_comes_in_time_is_sent_instead(reload: bool) -> None:
    log = log_of(
        trigger("low", priority=10, arbitration_window="1h"),
        trigger("high", **on("visit")),
        value_tiers=TIERS,
    )
    log.reload = reload
    log.identify({"tier": "silver"})
    [held] = log.event()
    sent, lost = log.event("visit", now=NOON + HOUR - 1)
    assert (sent.trigger, sent.outcome) == ("high", SENT)
    assert (lost.trigger, lost.outcome, lost.run_id) == ("low", LOST, held.run_id)
    assert lost.details == {
        "winner": "high", "winner_event_id": sent.event_id, "winner_priority": 60, "priority": 20,
    }  # fmt: skip
    assert log.wake(NOON + 2 * HOUR) == []


def test_one_that_comes_when_the_wait_is_over_displaces_nobody() -> None:
    log = log_of(
        trigger("low", priority=10, arbitration_window="1h"), trigger("high", **on("visit"))
    )
    log.event()
    log.event("visit", now=NOON + HOUR)
    assert summary(log) == [("low", LOST), ("high", SENT), ("low", SENT)]


def test_a_better_one_of_the_same_moment_wins_at_once() -> None:
    log = log_of(trigger("low", priority=10, arbitration_window="1h"), trigger("high"))
    log.event()
    assert summary(log) == [("high", SENT), ("low", LOST)]
    assert log.state.sending is not None
    assert log.state.sending.runs == []


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": 10},  # no better, no worse
        {"priority": 5},
        {"status": "paused"},
        {"audience": {"trait": "vip", "op": "exists"}},
        {"category": "transactional"},
        {"holdout": 100},
    ],
)
def test_only_a_better_one_that_comes_through_displaces(fields: dict[str, Any]) -> None:
    log = log_of(
        trigger("low", priority=10, arbitration_window="1h"),
        trigger("other", **on("visit", **{"priority": 90, **fields})),
    )
    log.event()
    log.event("visit", now=NOON + MINUTE)
    assert [one.outcome for one in log.wake(NOON + HOUR)] == [SENT]


def test_a_better_one_displaces_even_if_it_has_to_wait_itself() -> None:
    log = log_of(
        trigger("low", priority=10, arbitration_window="2h"),
        trigger("high", **on("visit")),
        quiet_hours=[NIGHT],
    )
    log.event(now=LATE)
    log.event("visit", now=LATE + HOUR)
    log.wake(MORNING)
    assert summary(log) == [("low", LOST), ("high", QUIET), ("low", LOST), ("high", SENT)]


def test_the_wait_for_a_better_one_comes_once_then_night_and_caps() -> None:
    log = log_of(trigger(arbitration_window="2h"), policy(limit=1), quiet_hours=[NIGHT])
    log.event(now=LATE)
    [held] = log.wake(LATE + 2 * HOUR)
    assert (held.outcome, held.details["deferred_until"]) == (QUIET, MORNING)
    assert [one.outcome for one in log.wake(MORNING)] == [SENT]


def test_whoever_is_refused_anyway_does_not_wait() -> None:
    nobody = {"trait": "vip", "op": "exists"}
    log = log_of(trigger(arbitration_window="1h", audience=nobody))
    assert [one.outcome for one in log.event()] == [Outcome.AUDIENCE]
    assert log.state.sending is not None
    assert log.state.sending.runs == []


def test_a_held_candidate_has_entered() -> None:
    log = log_of(trigger(arbitration_window="1h", reentry={"mode": "once"}))
    log.event()
    assert [one.outcome for one in log.event()] == [Outcome.REENTRY]


def group_of_two(**high: Any) -> Log:
    """`low` and `high` of one group, on `order` and on `visit`, at night."""
    return log_of(
        trigger("low", priority=10, group="offers"),
        trigger("high", **on("visit", group="offers", **high)),
        policy(limit=9),
        quiet_hours=[NIGHT],
    )


@pytest.mark.parametrize("reload", [False, True])
def test_a_better_one_of_the_group_displaces_the_one_that_waits(reload: bool) -> None:
    log = group_of_two()
    log.reload = reload
    log.event(now=LATE)
    waiting, lost = log.event("visit", now=LATE + MINUTE)
    assert (waiting.trigger, waiting.outcome) == ("high", QUIET)
    assert lost.details == {
        "winner": "high", "winner_event_id": waiting.event_id, "winner_priority": 50,
        "priority": 10, "group": "offers",
    }  # fmt: skip
    assert [one.trigger for one in log.wake(MORNING)] == ["high"]


@pytest.mark.parametrize("priority", [10, 5])
def test_one_that_is_no_better_is_refused_while_another_of_the_group_waits(
    priority: int,
) -> None:
    log = group_of_two(priority=priority)
    [waiting] = log.event(now=LATE)
    [refused] = log.event("visit", now=LATE + MINUTE)
    assert (refused.outcome, refused.run_id) == (LOST, None)
    assert refused.details["winner"] == "low"
    assert refused.details["winner_event_id"] == waiting.event_id
    assert [one.trigger for one in log.wake(MORNING)] == ["low"]
    assert [one.outcome for one in log.event("visit", now=MORNING + 1)] == [SENT]


def test_of_a_group_one_goes_out_in_one_moment() -> None:
    log = log_of(*(trigger(name, group="offers") for name in ("b", "a", "c")), trigger("d"))
    log.event()
    assert summary(log) == [("a", SENT), ("b", LOST), ("c", LOST), ("d", SENT)]


def test_in_a_moment_the_next_of_a_group_steps_in_for_one_that_is_refused() -> None:
    log = log_of(
        trigger("a", group="offers", audience={"trait": "vip", "op": "exists"}),
        trigger("b", group="offers"),
    )
    log.event()
    assert summary(log) == [("a", Outcome.AUDIENCE), ("b", SENT)]


def test_a_better_one_that_is_dropped_displaces_nobody() -> None:
    log = group_of_two(in_quiet_hours="drop")
    log.event(now=LATE)
    log.event("visit", now=LATE + MINUTE)
    assert [one.trigger for one in log.wake(MORNING)] == ["low"]


def test_several_of_one_trigger_may_wait_and_other_groups_do_not_mind() -> None:
    log = log_of(
        trigger("a", group="one"), trigger("b", **on("visit", group="two")), quiet_hours=[NIGHT]
    )
    log.event(now=LATE)
    log.event(now=LATE)
    log.event("visit", now=LATE)
    assert [one.outcome for one in log.wake(MORNING)] == [SENT, SENT, SENT]


def test_whoever_is_held_out_keeps_no_place_in_a_group_from_a_real_send() -> None:
    log = log_of(
        trigger("held", group="offers", priority=90, holdout=100),
        trigger("real", group="offers", when_capped=DEFER),
        trigger("last", **on("visit", group="offers", priority=10, holdout=100)),
        quiet_hours=[NIGHT],
    )
    log.event(now=LATE)
    log.event("visit", now=LATE + MINUTE)
    assert summary(log) == [("held", QUIET), ("real", QUIET), ("last", LOST)]
    log.wake(MORNING)
    assert summary(log)[3:] == [("held", HELD_OUT), ("real", SENT)]


@pytest.mark.parametrize(("priority", "stays"), [(10, False), (50, True), (60, True)])
def test_a_better_real_send_displaces_one_that_is_held_out(priority: int, stays: bool) -> None:
    log = log_of(
        trigger("held", group="offers", priority=priority, holdout=100),
        trigger("real", **on("visit", group="offers")),
        quiet_hours=[NIGHT],
    )
    log.event(now=LATE)
    log.event("visit", now=LATE)
    assert summary(log)[:2] == [("held", QUIET), ("real", QUIET)]
    assert summary(log)[2:] == ([] if stays else [("held", LOST)])


@pytest.mark.parametrize("status", ["paused", "archived"])
def test_one_that_waits_but_would_not_be_sent_any_more_keeps_no_place(status: str) -> None:
    def definitions(revision: int, status: str) -> Any:
        return bundle(
            trigger("a", group="offers", priority=90, status=status),
            trigger("b", **on("visit", group="offers")),
            revision=revision,
            quiet_hours=[NIGHT],
        )

    log = log_of()
    log.publish(definitions(2, "live"))
    log.event(now=LATE)
    log.publish(definitions(3, status))
    log.event("visit", now=LATE + MINUTE)
    log.wake(MORNING)
    # What is paused is held, without a place; what is archived ends when it is due.
    ended = [] if status == "paused" else [("a", Outcome.PAUSED)]
    assert summary(log) == [("a", QUIET), ("b", QUIET), *ended, ("b", SENT)]


def test_winners_are_the_same_whatever_the_order_of_the_definitions() -> None:
    triggers = [trigger(name, group="g", priority=50) for name in "abc"]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        log = log_of(*(triggers[number] for number in order))
        log.event()
        assert [one.trigger for one in log.out.commands] == ["a"]


def test_the_earlier_deadline_wins_among_equals() -> None:
    log = log_of(
        trigger("a", group="g", send_within="2h"), trigger("b", group="g", send_within="1h")
    )
    log.event()
    assert [one.trigger for one in log.out.commands] == ["b"]


def test_a_release_does_not_shorten_the_wait_for_a_better_one() -> None:
    log = log_of(
        trigger("a"), trigger("b", **on("visit", arbitration_window="1h")), policy(limit=9)
    )
    log.event()
    log.event("visit")
    assert log.delivery(log.out.commands[0].send_id, "failed", now=NOON + MINUTE) == []
    assert [one.outcome for one in log.wake(NOON + HOUR)] == [SENT]


def test_one_put_off_by_a_cap_that_goes_out_in_time_displaces_too() -> None:
    log = log_of(
        trigger("high", priority=90, when_capped=DEFER),
        trigger("low", **on("visit", arbitration_window="2h")),
        policy(limit=1),
    )
    log.event(now=NOON)
    log.event(now=NOON + HOUR)
    log.event("visit", now=NOON + DAY - HOUR)
    assert [(one.trigger, one.outcome) for one in log.wake(NOON + DAY)] == [
        ("high", SENT),
        ("low", LOST),
    ]
