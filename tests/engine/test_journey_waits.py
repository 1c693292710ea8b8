"""Steps that wait: for a time, until the clock shows one, for an event."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.time import DAY, HOUR, MINUTE, SECOND, Micros
from services.triggers.engine.local import clock_shows, minute_of_day
from services.triggers.engine.state import encode_state
from tests.engine.build import NOON, at, tag
from tests.engine.on_journey import (
    SEND,
    branch,
    journey,
    mark,
    runs,
    told,
    underway,
    wait,
    wait_for,
)
from tests.engine.oracle import local

BERLIN = "Europe/Berlin"


def until(clock: str, for_: str | None = None) -> dict[str, Any]:
    """Until the clock shows it."""
    return {"wait": {"until": clock} | ({} if for_ is None else {"for": for_})}


def waits_until(step: dict[str, Any], since: Micros, zone: str = "UTC") -> Micros:
    """When somebody who comes to this step at `since` goes on."""
    log = underway(journey(step, SEND), time_zone=zone)
    log.event("cart", now=since)
    return runs(log)[0].due_at if runs(log) else since


def test_a_wait_is_counted_from_when_it_is_reached_not_from_when_it_was_due() -> None:
    log = underway(journey(wait("1h"), wait("1h"), SEND))
    log.event("cart", now=NOON)
    # Nobody woke them for three hours.
    assert told(log.wake(NOON + 3 * HOUR)) == [(0, "stepped")]
    assert log.wake(NOON + 4 * HOUR - 1) == []
    stepped, *_ = log.wake(NOON + 4 * HOUR)
    assert (stepped.step, stepped.details) == (1, {"since": NOON + 3 * HOUR})
    assert len(log.out.commands) == 1


def test_a_later_event_finds_what_was_due_before_it() -> None:
    log = underway(journey(wait("1h"), SEND))
    log.event("cart", now=NOON)
    assert told(log.event("other", now=NOON + 2 * HOUR))[-1] == (1, "ended")


@pytest.mark.parametrize(
    ("clock", "since", "expected"),
    [
        ("09:00", "2026-06-10T08:00:00", "2026-06-10T09:00:00"),
        ("09:00", "2026-06-10T09:00:59", "2026-06-10T09:00:59"),
        ("09:00", "2026-06-10T09:01:00", "2026-06-11T09:00:00"),
        ("00:00", "2026-06-10T23:59:59", "2026-06-11T00:00:00"),
        ("09:00", "2026-12-31T12:00:00", "2027-01-01T09:00:00"),
    ],
)
def test_until_is_the_first_instant_at_which_the_clock_shows_it(
    clock: str, since: str, expected: str
) -> None:
    assert waits_until(until(clock), at(since)) == at(expected)


@pytest.mark.parametrize(
    ("clock", "since", "expected"),
    [
        # Put forward: 02:30 is skipped on 29 March 2026, and comes with the end of the gap.
        ("02:30", "2026-03-28T12:00:00+01:00", "2026-03-29T03:00:00+02:00"),
        ("02:30", "2026-03-29T03:00:30+02:00", "2026-03-29T03:00:30+02:00"),
        ("02:30", "2026-03-29T03:01:00+02:00", "2026-03-30T02:30:00+02:00"),
        ("09:00", "2026-03-28T12:00:00+01:00", "2026-03-29T09:00:00+02:00"),
        # Put back: 02:30 is there twice on 25 October 2026, and comes the first time.
        ("02:30", "2026-10-25T00:00:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("02:30", "2026-10-25T02:31:00+02:00", "2026-10-25T02:30:00+01:00"),
        ("02:30", "2026-10-25T02:31:00+01:00", "2026-10-26T02:30:00+01:00"),
        ("09:00", "2026-10-24T12:00:00+02:00", "2026-10-25T09:00:00+01:00"),
    ],
)
def test_until_knows_changes_of_clocks(clock: str, since: str, expected: str) -> None:
    assert waits_until(until(clock), at(since), BERLIN) == at(expected)


ZONES = [BERLIN, "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata"]
CHANGES = [at("2026-03-28T00:00:00"), at("2026-10-24T00:00:00"), at("2026-04-03T00:00:00")]


@given(
    st.sampled_from(ZONES),
    st.sampled_from(["00:00", "00:30", "01:45", "02:00", "02:30", "03:00", "12:00", "23:30"]),
    st.sampled_from(CHANGES),
    st.integers(0, 3 * DAY // SECOND),
)
def test_a_clock_watched_second_by_second_shows_it_no_earlier(
    zone: str, clock: str, begins: Micros, seconds: int
) -> None:
    since = begins + seconds * SECOND
    shown = clock_shows(zone, minute_of_day(clock), since)
    clocks = [f"{local(one, zone):%H:%M}" for one in range(since, shown, MINUTE)]
    assert clock not in clocks
    # There at last, or just leapt over.
    before = f"{local(shown - 1, zone):%H:%M}"
    assert f"{local(shown, zone):%H:%M}" == clock or before < clock < f"{local(shown, zone):%H:%M}"


def test_first_the_time_then_the_clock() -> None:
    step = until("09:00", for_="3d")
    assert waits_until(step, at("2026-06-10T08:00:00")) == at("2026-06-13T09:00:00")
    assert waits_until(step, at("2026-06-10T10:00:00")) == at("2026-06-14T09:00:00")


def test_the_clock_is_the_persons_own() -> None:
    log = underway(journey(until("09:00"), SEND))
    log.identify({"timezone": "Asia/Tokyo"}, now=at("2026-06-10T08:00:00"))
    log.event("cart")
    assert runs(log)[0].due_at == at("2026-06-11T09:00:00+09:00")


def test_a_clock_time_that_it_is_just_now_ends_the_wait_at_once() -> None:
    log = underway(journey(until("12:00"), SEND))
    decisions = log.event("cart", now=NOON)
    assert told(decisions) == [(0, "entered"), (0, "stepped"), (1, "sent"), (1, "ended")]


def test_a_day_and_until_the_same_time_is_a_day_though_each_tick_comes_a_little_late() -> None:
    daily = {"wait": {"for": "24h", "until": "12:00"}}
    log = underway(journey(until("12:00"), SEND, daily, SEND))
    log.event("cart", now=NOON - HOUR)
    log.wake(NOON + SECOND)
    assert told(log.wake(NOON + DAY + SECOND)) == [(2, "stepped"), (3, "sent"), (3, "ended")]


# Waiting for an event.

BUYS = journey(wait_for(mark("came"), SEND, timeout=(mark("missed"),), within="1h"), mark("on"))


def test_what_was_waited_for_comes_and_then_follows() -> None:
    log = underway(BUYS)
    log.event("cart", now=NOON)
    first, *others = log.event("visit", now=NOON + MINUTE, id_="v")
    assert (first.step, first.outcome.value) == (0, "stepped")
    assert first.details == {"since": NOON, "way": "then", "matched_event_id": "v"}
    assert told(others) == [(1, "stepped"), (2, "sent"), (4, "stepped"), (4, "ended")]
    assert log.state.traits == {"came": True, "on": True}


def test_it_does_not_come_and_the_other_way_follows_in_time() -> None:
    log = underway(BUYS)
    log.event("cart", now=NOON)
    assert log.state.wake_at is not None
    first, *others = log.wake(NOON + HOUR)
    assert first.details == {"since": NOON, "way": "on_timeout"}
    assert told(others) == [(3, "stepped"), (4, "stepped"), (4, "ended")]
    assert log.event("visit", now=NOON + HOUR + 1) == []


def test_at_the_last_instant_the_event_goes_before_the_timeout() -> None:
    log = underway(BUYS)
    log.event("cart", now=NOON)
    assert log.event("visit", now=NOON + HOUR)[0].details["way"] == "then"


@pytest.mark.parametrize(("after", "way"), [(HOUR, "then"), (HOUR + 1, "on_timeout")])
def test_what_happened_in_time_counts_if_nobody_had_come_by_since(after: int, way: str) -> None:
    log = underway(BUYS)
    log.event("cart", now=NOON)
    decisions = log.event("visit", now=NOON + 2 * HOUR, occurred_at=NOON + after)
    assert decisions[0].details["way"] == way


def test_what_happened_before_the_wait_began_does_not_count() -> None:
    log = underway(BUYS)
    log.event("cart", now=NOON)
    assert log.event("visit", now=NOON + 1, occurred_at=NOON - 1) == []
    assert len(log.event("visit", now=NOON + 2, occurred_at=NOON)) == 5


def test_what_comes_late_does_not_count() -> None:
    log = underway(journey(wait_for(SEND, within="5d")), late_after="1h")
    log.event("cart", now=NOON)
    assert log.event("visit", now=NOON + 2 * HOUR, occurred_at=NOON + 1) == []
    assert told(log.event("visit", now=NOON + 2 * HOUR, occurred_at=NOON + HOUR))[1] == (1, "sent")


def test_the_event_that_brought_them_in_is_not_what_they_wait_for() -> None:
    log = underway(journey(wait_for(SEND, events=["cart"], within="1h"), reentry={"mode": "once"}))
    assert told(log.event("cart", now=NOON)) == [(0, "entered")]
    assert (1, "sent") in told(log.event("cart", now=NOON + 1))


def test_one_event_ends_the_waits_of_several_runs() -> None:
    log = underway(journey(wait_for(SEND)), journey(wait_for(SEND, within="2h"), id_="other"))
    for number in range(3):
        log.event("cart", now=NOON + number)
    log.event("visit", now=NOON + HOUR)
    assert (len(log.out.commands), runs(log)) == (6, [])


def test_with_a_key_only_the_event_that_bears_it_counts() -> None:
    log = underway(journey(wait_for(SEND, key=["order.id"])))
    for number in (1, 2):
        log.event("cart", {"order": {"id": number}}, now=NOON, id_=f"c{number}")
    log.event("cart", {}, now=NOON, id_="none")
    assert log.event("visit", {}, now=NOON + 1) == []
    assert log.event("visit", {"order": {"id": "1"}}, now=NOON + 1) == []
    log.event("visit", {"order": {"id": 2.0}}, now=NOON + 1)
    assert [one.event_id for one in log.out.commands] == ["c2"]


def test_a_condition_sees_the_awaited_event_and_the_person_with_it_applied() -> None:
    where = {
        "all": [
            {"property": "sku", "op": "eq", "value": "a"},
            {"tag": "visits", "op": "gte", "value": 2},
        ]
    }
    log = underway(journey(wait_for(SEND, where=where)), tag("visits", events=["visit"]))
    log.event("cart", {"sku": "b"}, now=NOON)
    for sku, sends in (("a", 0), ("b", 0), ("a", 1)):
        log.event("visit", {"sku": sku}, now=NOON + 1)
        assert len(log.out.commands) == sends


def test_an_event_that_no_run_waits_for_leaves_the_state_of_runs_alone() -> None:
    log = underway(journey(wait("1d"), SEND), journey(wait_for(SEND), id_="other"))
    log.event("cart", now=NOON)
    log.wake(NOON + SECOND)
    before = list(runs(log))
    assert log.event("look", now=NOON + 2 * SECOND) == []
    assert runs(log) == before
    assert log.state.wake_at == NOON + DAY
    log.event("look", now=NOON + 2 * SECOND + 1)
    assert log.state.wake_at == NOON + 3 * SECOND


def test_after_the_wait_for_a_branch_asks_the_entrys_event_not_the_awaited_one() -> None:
    big = {"property": "amount", "op": "gte", "value": 10}
    log = underway(journey(wait_for(branch(big, SEND))))
    log.event("cart", {"amount": 10}, now=NOON)
    log.event("visit", {"amount": 1}, now=NOON + 1)
    assert len(log.out.commands) == 1


def test_runs_that_are_due_together_go_on_in_the_order_of_their_instants() -> None:
    trips = [
        journey(wait(f"{hours}h"), mark("last", hours), SEND, id_=f"t{number}")
        for number, hours in enumerate((3, 1, 2))
    ]
    log = underway(*trips)
    log.event("cart", now=NOON)
    marks = [one.trigger for one in log.wake(NOON + DAY) if "set" in one.details]
    assert marks == ["t1", "t2", "t0"]
    assert log.state.traits == {"last": 3}


def test_the_state_is_the_same_bytes_with_and_without_restarts() -> None:
    states = []
    for reload in (False, True):
        log = underway(BUYS, journey(wait("1h"), wait_for(SEND), id_="other"))
        log.reload = reload
        for number in range(4):
            log.event("cart", {"n": number}, now=NOON + number * HOUR // 2)
            log.event("visit", {"n": number}, now=NOON + number * HOUR // 2 + MINUTE)
        states.append(encode_state(log.state))
    assert states[0] == states[1]
