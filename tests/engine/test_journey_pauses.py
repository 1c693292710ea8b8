"""Pausing holds runs, archiving ends them."""

from typing import Any

import msgspec
import pytest

from services.contracts.decision import Outcome
from services.contracts.definitions import Bundle, Policy, Tag, Trigger
from services.contracts.time import DAY, HOUR
from services.triggers.engine.limits import NEVER
from tests.engine.build import NOON, Log, at, bundle, policy, trigger
from tests.engine.on_journey import (
    DEFER,
    MAIL,
    NIGHT,
    SEND,
    journey,
    runs,
    told,
    underway,
    wait,
    wait_for,
)

QUIT = {"events": ["quit"]}
CAP = policy()


def statuses(*triggers: Trigger, extra: tuple[Tag | Policy, ...] = ()) -> Any:
    """A log, and how to publish the triggers in another status."""
    log, revision = underway(), 1

    def put(status: str) -> Log:
        nonlocal revision
        changed = [msgspec.structs.replace(one, status=status) for one in triggers]
        log.publish(bundle(*changed, *extra, revision=revision, quiet_hours=[NIGHT]))
        revision += 1
        return log

    put("live")
    return log, put


def test_a_pause_holds_what_is_due_and_time_alone_does_not_wake_them() -> None:
    log, put = statuses(journey(wait("1h"), SEND))
    log.event("cart", now=NOON)
    put("paused")
    assert log.wake(NOON + HOUR) == []
    assert (log.state.next_due, log.state.wake_at) == (NEVER, None)
    assert told(log.event("cart", now=NOON + 2 * HOUR)) == [(0, "paused")]
    assert runs(log)[0].due_at == NOON + HOUR
    put("live")
    assert told(log.wake(NOON + 5 * DAY)) == [(0, "stepped"), (1, "sent"), (1, "ended")]


def test_after_a_long_pause_not_everything_comes_at_once() -> None:
    log, put = statuses(journey(wait("1d"), SEND, wait("1d"), SEND))
    log.event("cart", now=NOON)
    put("paused")
    log.wake(NOON + 5 * DAY)
    put("live")
    log.wake(NOON + 5 * DAY + 1)
    assert len(log.out.commands) == 1
    assert runs(log)[0].due_at == NOON + 6 * DAY + 1


def test_what_is_waited_for_may_come_during_a_pause() -> None:
    log, put = statuses(journey(wait_for(SEND, timeout=(MAIL,))))
    for number in range(2):
        log.event("cart", {"n": number}, now=NOON + number)
    put("paused")
    assert log.event("visit", now=NOON + HOUR, id_="v") == []
    assert log.event("visit", now=NOON + 2 * HOUR) == []
    log.wake(NOON + 3 * DAY)
    put("live")
    decisions = log.wake(NOON + 3 * DAY)
    assert [one.channel for one in log.out.commands] == ["log", "log"]
    assert decisions[0].details["matched_event_id"] == "v"


def test_what_comes_too_late_does_not_though_the_timeout_was_held() -> None:
    log, put = statuses(journey(wait_for(SEND, timeout=(MAIL,))))
    log.event("cart", now=NOON)
    put("paused")
    log.event("visit", now=NOON + 2 * DAY)
    put("live")
    log.wake(NOON + 3 * DAY)
    assert [one.channel for one in log.out.commands] == ["mail"]


@pytest.mark.parametrize(("hours", "outcome"), [(30, "sent"), (72, "expired")])
def test_a_pause_holds_a_send_that_was_put_off_and_its_time_runs_on(
    hours: int, outcome: str
) -> None:
    log, put = statuses(trigger("t", when_capped=DEFER), extra=(CAP,))
    log.event(now=NOON - HOUR)
    log.event(now=NOON)
    put("paused")
    assert log.wake(NOON + DAY) == []
    put("live")
    assert told(log.wake(NOON + hours * HOUR)) == [(0, outcome)]
    assert runs(log) == []


def test_a_send_that_comes_due_in_the_night_after_a_pause_waits_for_the_morning() -> None:
    log, put = statuses(journey(wait("1h"), SEND))
    log.event("cart", now=NOON)
    put("paused")
    log.wake(NOON + DAY)
    put("live")
    assert told(log.wake(at("2026-06-12T23:00:00")))[1] == (1, "quiet_hours")


def test_a_delivery_that_fails_does_not_wake_what_is_held() -> None:
    log, put = statuses(trigger("t", when_capped=DEFER), extra=(CAP,))
    log.event(now=NOON)
    log.event(now=NOON + 1)
    put("paused")
    assert log.delivery(log.out.commands[0].send_id, "failed", now=NOON + 2) == []
    put("live")
    assert told(log.wake(NOON + 3)) == [(0, "sent")]


@pytest.mark.parametrize("status", ["archived", "draft"])
def test_runs_of_what_is_archived_end_when_they_are_due(status: str) -> None:
    log, put = statuses(journey(wait("1h"), SEND, exit=QUIT))
    log.event("cart", now=NOON)
    put(status)
    assert log.event("quit", now=NOON + 1) == []
    [ended] = log.wake(NOON + HOUR)
    assert (ended.outcome, ended.details) == (Outcome.PAUSED, {"status": status})
    assert (runs(log), log.out.commands) == ([], [])


def test_runs_of_what_was_removed_end_when_they_are_due() -> None:
    log = underway(journey(wait("1h"), SEND))
    log.event("cart", now=NOON)
    log.publish(bundle(revision=2))
    [ended] = log.wake(NOON + HOUR)
    assert ended.details == {"status": "removed"}


def test_a_held_run_gives_up_its_place_in_the_group_and_takes_it_again() -> None:
    def in_force(version: int, status: str) -> Bundle:
        trips = [
            journey(wait("1h"), SEND, group="g", version=number, status=one)
            for number, one in ((1, "live"), (version, status))
        ]
        rival = trigger("rival", group="g", priority=10)
        definitions = bundle(trips[-1], rival, revision=version)
        return msgspec.structs.replace(definitions, pinned=tuple(trips[:-1]))

    log = underway()
    log.publish(in_force(1, "live"))
    log.event("cart", now=NOON)
    # Each change of the status is a new version, and the run one of the first.
    log.publish(in_force(2, "paused"))
    assert told(log.event("order", now=NOON + 1)) == [(0, "sent")]
    log.publish(in_force(3, "live"))
    assert told(log.event("order", now=NOON + 2)) == [(0, "arbitration")]
