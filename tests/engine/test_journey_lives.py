"""Exits end runs wherever they stand, and each keeps to the version it entered on."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.decision import Outcome
from services.contracts.definitions import Bundle, Policy, Tag, Trigger
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine.limits import NEVER
from tests.engine.build import NOON, bundle, policy, tag, trigger
from tests.engine.on_journey import (
    DEFER,
    MAIL,
    NIGHT,
    SEND,
    branch,
    end,
    journey,
    runs,
    told,
    underway,
    wait,
    wait_for,
)

QUIT = {"events": ["quit"]}
CAP = policy()

# Exits.

WHERE: dict[str, tuple[Trigger, int]] = {
    "a wait": (journey(SEND, wait("2h"), MAIL, exit=QUIT), 1),
    "a clock": (journey(wait("1m"), {"wait": {"until": "18:00"}}, MAIL, exit=QUIT), 1),
    "a wait for an event": (journey(wait_for(SEND, timeout=(MAIL,)), SEND, exit=QUIT), 0),
    "a wait in a branch": (
        journey(wait_for(timeout=(wait("9h"), SEND), within="1m"), exit=QUIT),
        1,
    ),
    "a capped entry": (journey(SEND, MAIL, exit=QUIT, when_capped=DEFER), 0),
    "a capped send": (journey(SEND, wait("1m"), MAIL, exit=QUIT, when_capped=DEFER), 2),
    "a held entry": (journey(wait("1m"), SEND, exit=QUIT, arbitration_window="3h"), 0),
    "one held out": (journey(SEND, wait("2h"), MAIL, exit=QUIT, holdout=100), 1),
}


@pytest.mark.parametrize("place", WHERE)
def test_an_exit_ends_a_run_wherever_it_stands(place: str) -> None:
    trip, step = WHERE[place]
    log = underway(trip, trigger("cheer"), CAP)
    if place == "a capped entry":
        log.event("order", now=NOON)
    log.event("cart", now=NOON, id_="c")
    log.wake(NOON + MINUTE)
    for command in log.out.commands:
        log.delivery(command.send_id)
    [run] = runs(log)
    assert run.step == step
    [ended] = log.event("quit", now=NOON + 2 * MINUTE, id_="q")
    assert (ended.outcome, ended.step, ended.event_id) == (Outcome.EXIT, step, "c")
    assert ended.details == {"exit_event": "quit", "exit_event_id": "q", "entered_at": NOON}
    assert log.out.decisions[-2].run_id == ended.run_id
    assert (runs(log), log.state.next_due) == ([], NEVER)
    before = len(log.out.commands)
    for name in ("visit", "look"):
        assert log.event(name, now=NOON + HOUR) == []
    assert log.wake(NOON + 9 * DAY) == []
    assert len(log.out.commands) == before


def test_an_exit_goes_before_the_step_that_is_due_at_the_same_instant() -> None:
    log = underway(journey(wait("1h"), SEND, exit=QUIT))
    log.event("cart", now=NOON)
    assert told(log.event("quit", now=NOON + HOUR)) == [(0, "exit")]


def test_an_exit_goes_before_the_wait_for_the_same_event() -> None:
    only = {"where": {"property": "paid", "op": "eq", "value": True}}
    way_out = {"events": ["visit"], **only}
    log = underway(journey(wait_for(SEND), exit=way_out))
    for paid in (True, False):
        log.event("cart", now=NOON)
        log.event("visit", {"paid": paid}, now=NOON + 1)
        assert len(log.out.commands) == (not paid)


def test_an_exit_with_a_key_ends_the_runs_that_bear_it() -> None:
    log = underway(journey(wait("1h"), SEND, exit={**QUIT, "key": ["order"]}))
    for number in (1, 2):
        log.event("cart", {"order": number}, now=NOON, id_=f"c{number}")
    log.event("quit", {"order": 1}, now=NOON + 1)
    assert [run.event_id for run in runs(log)] == ["c2"]


def test_an_exit_late_or_while_paused_counts_too() -> None:
    live, paused = (journey(wait("1h"), SEND, exit=QUIT, status=one) for one in ("live", "paused"))
    log = underway(live)
    for times in range(2):
        log.event("cart", now=NOON + times)
    log.publish(bundle(paused, revision=2))
    log.event("quit", now=NOON + HOUR, occurred_at=NOON - 9 * DAY)
    assert [one.outcome for one in log.out.decisions[2:]] == [Outcome.EXIT] * 2


def test_what_a_run_keeps_in_little_room_comes_out_as_it_came_in() -> None:
    id_ = "2e05319a-cb5c-4427-bf98-e2774cbd87ad"
    log = underway(journey(wait("1h"), SEND, wait_for(SEND, within="2h")))
    log.event("look", now=NOON + 5)
    log.event("cart", now=NOON, id_=id_)  # received before what the person's clock shows
    (run,) = runs(log)
    assert (run.event_id, run.origin_received_at, run.entered_at) == (id_, NOON, NOON + 5)
    assert (run.since, run.expires_at) == (NOON + 5, 0)
    log.wake(NOON + 5 + HOUR)
    (run,) = runs(log)
    assert (run.since, run.expires_at, run.due_at) == (NOON + 5 + HOUR, 0, NOON + 5 + 3 * HOUR)
    log.event("visit", now=NOON + 6 + HOUR, occurred_at=NOON + 4 + HOUR)
    assert len(log.out.commands) == 1
    log.event("visit", now=NOON + 7 + HOUR, occurred_at=NOON + 5 + HOUR)
    assert [(one.event_id, one.origin_received_at) for one in log.out.commands] == [(id_, NOON)] * 2


TRIPS = [
    journey(SEND, wait("3h"), SEND, MAIL, id_="a", exit=QUIT, when_capped=DEFER),
    journey(
        wait_for(MAIL, wait("1h"), timeout=(SEND,), within="5h"),
        branch({"tag": "visits", "op": "gte", "value": 2}, wait("9h"), MAIL),
        SEND,
        id_="b",
        exit=QUIT,
        arbitration_window="20m",
        when_capped=DEFER,
    ),
    journey({"wait": {"until": "09:00"}}, SEND, MAIL, id_="c", exit=QUIT, priority=80),
]
moves = st.lists(
    st.tuples(
        st.sampled_from(["cart", "visit", "quit", "quit", "fail", "pause", "live"]),
        st.sampled_from([0, 1, MINUTE, HOUR, 3 * HOUR, 5 * HOUR, DAY]),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(moves, st.booleans())
def test_nothing_goes_out_after_an_exit(steps: list[tuple[str, int, bool]], reload: bool) -> None:
    visits = tag("visits", events=["visit"])
    caps = policy(limit=2, window="5h")

    def in_force(revision: int, status: str) -> Bundle:
        trips = [msgspec.structs.replace(one, status=status) for one in TRIPS]
        return bundle(*trips, visits, caps, revision=revision, quiet_hours=[NIGHT])

    log = underway()
    log.reload = reload
    log.publish(in_force(2, "live"))
    left: dict[str, int] = {}
    entered: dict[str, int] = {}
    for number, (move, after, ticks) in enumerate(steps):
        now = log.now + after
        while ticks and log.state.wake_at is not None and log.state.wake_at <= now:
            log.wake(log.state.wake_at)
        if move in ("pause", "live"):
            log.publish(in_force(number + 3, "paused" if move == "pause" else "live"))
            log.wake(now)
        elif move == "fail" and log.out.commands:
            log.delivery(log.out.commands[-1].send_id, "failed", now=now)
        else:
            if move == "quit":
                left = dict.fromkeys(entered, len(log.out.commands))
            else:
                entered[f"e{number}"] = number
            log.event(move, now=now, id_=f"e{number}")
        for event_id, count in left.items():
            assert event_id not in [one.event_id for one in log.out.commands[count:]]
        if move == "quit":
            assert runs(log) == []


# Versions.


def published(
    revision: int,
    *triggers: Trigger,
    pinned: tuple[Trigger, ...] = (),
    extra: tuple[Tag | Policy, ...] = (),
) -> Bundle:
    """A revision in which those who entered under earlier versions have them still."""
    return msgspec.structs.replace(bundle(*triggers, *extra, revision=revision), pinned=pinned)


V1 = journey(wait("1h"), SEND, wait_for(MAIL, timeout=(end("cold"),)), version=1, exit=QUIT)
V2 = journey(wait("2h"), MAIL, version=2)


def test_a_run_keeps_to_the_version_it_entered_on() -> None:
    log = underway()
    log.publish(published(1, V1))
    log.event("cart", now=NOON, id_="old")
    log.publish(published(2, V2, pinned=(V1,)))
    log.event("cart", now=NOON + 1, id_="new")
    decisions = log.wake(NOON + HOUR)
    assert [(one.event_id, one.trigger_version) for one in decisions] == [("old", 1)] * 2
    assert log.out.commands[0].channel == "log"
    assert log.out.commands[0].trigger_version == 1
    # What it waits for is heard though the version in force waits for nothing.
    assert told(log.event("visit", now=NOON + HOUR + 1)) == [
        (2, "stepped"), (3, "sent"), (3, "ended"),
    ]  # fmt: skip
    assert told(log.wake(NOON + 1 + 2 * HOUR)) == [(0, "stepped"), (1, "sent"), (1, "ended")]


def test_a_new_version_enrols_nobody_again() -> None:
    log = underway()
    log.publish(published(1, V1))
    log.event("cart", now=NOON)
    before = runs(log)
    log.publish(published(2, V2, pinned=(V1,)))
    assert log.wake(NOON + 1) == []
    assert runs(log) == before


def test_the_exit_is_that_of_the_version() -> None:
    other = journey(wait("1h"), SEND, version=2, exit={"events": ["leave"]})
    log = underway()
    log.publish(published(1, V1))
    log.event("cart", now=NOON, id_="old")
    log.publish(published(2, other, pinned=(V1,)))
    log.event("cart", now=NOON + 1, id_="new")
    for name, event_id in (("quit", "old"), ("leave", "new")):
        [ended] = log.event(name, now=NOON + 2)
        assert (ended.outcome, ended.event_id) == (Outcome.EXIT, event_id)


def test_a_send_that_was_put_off_is_decided_by_the_version_it_came_in_under() -> None:
    vip = {"trait": "vip", "op": "exists"}
    old = trigger("t", when_capped=DEFER, version=1)
    new = trigger("t", when_capped=DEFER, version=2, audience=vip, steps=[MAIL])
    log = underway()
    log.publish(published(1, old, extra=(CAP,)))
    log.event(now=NOON)
    log.event(now=NOON + 1)
    log.publish(published(2, new, pinned=(old,), extra=(CAP,)))
    assert told(log.wake(NOON + DAY)) == [(0, "sent")]
    assert [one.channel for one in log.out.commands] == ["log", "log"]


def test_caps_and_quiet_hours_are_those_of_today() -> None:
    log = underway()
    log.publish(published(1, V1, trigger("cheer")))
    log.event("cart", now=NOON)
    log.event("order", now=NOON)
    log.publish(published(2, V2, trigger("cheer"), pinned=(V1,), extra=(CAP,)))
    assert told(log.wake(NOON + HOUR)) == [(0, "stepped"), (1, "cap")]


def test_a_version_that_is_not_to_be_had_any_more_ends_its_runs() -> None:
    log = underway()
    log.publish(published(1, V1))
    log.event("cart", now=NOON)
    log.publish(published(2, V2))
    [ended] = log.wake(NOON + HOUR)
    assert (ended.outcome, ended.trigger_version) == (Outcome.EXPIRED, 1)
    assert ended.details == {"version": 1, "missing": True}
    assert runs(log) == []


def test_a_version_whose_tag_is_gone_is_not_to_be_had_either() -> None:
    visits = tag("visits", events=["visit"])
    old = journey(
        wait("1h"), branch({"tag": "visits", "op": "gte", "value": 1}, SEND), SEND, version=1
    )
    log = underway()
    log.publish(published(1, old, extra=(visits,)))
    log.event("cart", now=NOON)
    log.publish(published(2, V2, pinned=(old,)))
    assert told(log.wake(NOON + HOUR)) == [(0, "expired")]


def test_steps_that_do_not_fit_a_run_of_their_version_are_not_its_own() -> None:
    log = underway()
    log.publish(published(1, V1))
    for number in range(2):
        log.event("cart", now=NOON + number)
    # Removed and made again: the versions are counted from 1 again.
    log.publish(published(2, trigger("trip", version=1, entry={"events": ["cart"]})))
    assert told(log.wake(NOON + 2 * HOUR)) == [(0, "expired")] * 2
