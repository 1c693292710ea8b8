"""`entry.schedule`: at the times of a cron expression, everybody whom the audience lets in."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Trigger
from services.contracts.event import TRACK, Event
from services.contracts.time import DAY, HOUR, MINUTE, parse_duration
from services.triggers.engine import Outputs, compile_rules, decide, new_state, wake
from services.triggers.engine.cron import parse_cron
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.limits import NEVER
from tests.engine.build import NOON, PERSON, Log, at, bundle, log_of, tag, trigger


def every(cron: str, fields: dict[str, Any] | None = None, **entry: Any) -> Trigger:
    return trigger("t", entry={"schedule": {"cron": cron, **entry}}, **(fields or {}))


def times(log: Log, until: int) -> list[int]:
    """Wake whenever it is asked for; the times for which they came in."""
    before = len(log.out.decisions)
    while log.state.wake_at is not None and log.state.wake_at <= until:
        log.wake(log.state.wake_at)
    log.wake(until)
    return [int(one.event_id.partition("@")[2]) for one in log.out.decisions[before:]]


def test_every_monday_at_nine_in_its_zone() -> None:
    log = log_of(every("0 9 * * mon", time_zone="Asia/Shanghai"))
    log.event("visit", now=NOON)
    assert times(log, NOON + 14 * DAY) == [at("2026-06-15T01:00:00"), at("2026-06-22T01:00:00")]


def test_the_workspaces_zone_holds_where_none_is_given() -> None:
    log = log_of(every("0 9 * * *"), time_zone="America/New_York")
    log.event("visit", now=NOON)
    assert times(log, NOON + DAY) == [at("2026-06-10T13:00:00")]
    log.publish(bundle(every("0 9 * * *"), revision=2, time_zone="Europe/Berlin"))
    log.wake(NOON + DAY)
    assert times(log, NOON + 2 * DAY) == [at("2026-06-12T07:00:00")]


def test_nobody_comes_in_by_the_publication_itself() -> None:
    log = log_of(every("* * * * *"))
    assert log.event("visit", now=NOON + 30) == []
    assert times(log, NOON + 2 * MINUTE) == [NOON + MINUTE, NOON + 2 * MINUTE]


def test_whoever_is_not_in_the_audience_then_is_no_candidate() -> None:
    buyers = every("0 9 * * *", {"audience": {"tag": "orders", "op": "gte", "value": 1}})
    log = log_of(tag("orders", window="24h"), buyers)
    log.event("visit", now=NOON)
    assert log.wake(NOON + DAY) == []
    log.event("order", now=NOON + DAY)
    assert len(log.wake(NOON + 2 * DAY)) == 1
    assert log.wake(NOON + 3 * DAY) == []


def test_a_spread_puts_people_evenly_over_it_and_always_in_the_same_place() -> None:
    rules = compile_rules(bundle(every("0 9 * * *", spread="1h")))
    nine, minutes = at("2026-06-11T09:00:00"), []
    for number in range(600):
        state, out = new_state(f"p{number}"), Outputs()
        event = Event(
            person=state.person,
            type=TRACK,
            name="visit",
            message_id="m",
            occurred_at=NOON,
            received_at=NOON,
        )
        decide(state, event, rules, NOON, out)
        first = state.next_due
        assert nine <= first < nine + HOUR
        wake(state, rules, first, out)
        assert state.next_due == first + DAY
        assert [one.event_id for one in out.decisions] == [f"schedule@{nine}"]
        minutes.append((first - nine) // MINUTE)
    assert max(minutes.count(minute) for minute in range(60)) < 30
    assert len(set(minutes)) == 60


def test_of_the_times_that_were_missed_one_is_made_up_for() -> None:
    log = log_of(every("0 * * * *", {"send_within": "3h"}))
    log.event("visit", now=NOON)
    (sent,) = log.wake(NOON + 10 * HOUR + 1)
    assert sent.event_id == f"schedule@{NOON + 8 * HOUR}"
    assert times(log, NOON + 11 * HOUR) == [NOON + 11 * HOUR]


def test_what_is_too_long_ago_is_not_made_up_for() -> None:
    log = log_of(every("0 9 * * mon"))
    log.event("visit", now=NOON)
    assert log.wake(at("2026-06-16T09:00:00")) == []
    assert times(log, at("2026-06-23T00:00:00")) == [at("2026-06-22T09:00:00")]


def test_people_known_before_the_rules_come_in_too() -> None:
    log = log_of()
    log.event("visit", now=NOON)
    log.publish(bundle(every("0 9 * * *"), revision=2))
    log.wake(NOON + HOUR)
    log.publish(bundle(every("0 9 * * *"), trigger("other"), revision=3))
    assert times(log, NOON + DAY) == [at("2026-06-11T09:00:00")]


def test_paused_leaves_a_record_and_gone_leaves_nothing() -> None:
    log = log_of(every("0 9 * * *", {"status": "paused"}))
    log.event("visit", now=NOON)
    assert [one.outcome for one in log.wake(NOON + DAY)] == ["paused"]
    log.publish(bundle(revision=2))
    assert log.wake(NOON + 2 * DAY) == []
    assert log.state.next_due == NEVER


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["*/20 * * * *", "30 2 * * *", "0 9 * * mon", "15 1,3 * 3,10 *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    st.sampled_from(["1s", "10m", "20m"]),
    st.sampled_from([at("2026-03-07T12:00:00"), at("2026-10-24T00:10:00")]),
    st.lists(st.integers(1, 6 * HOUR), max_size=20),
)
def test_every_time_comes_once_however_the_log_runs(
    cron: str, zone: str, spread: str, start: int, gaps: list[int]
) -> None:
    log, now = log_of(every(cron, time_zone=zone, spread=spread), late_after="10d"), start
    log.reload = True
    log.event("visit", now=start)
    for gap in gaps:
        while log.state.wake_at is not None and log.state.wake_at <= now + gap:
            log.wake(log.state.wake_at)
        now += gap
        log.event("visit", now=now)
    found = [int(one.event_id.partition("@")[2]) for one in log.out.decisions]
    shift = fingerprint_parts(["spread", "t", PERSON]) % parse_duration(spread)
    expected, moment = [], start - shift
    while (moment := parse_cron(cron).next_after(moment, zone)) + shift <= now:
        expected.append(moment)
    assert found == expected


def test_the_slot_is_small() -> None:
    log = log_of(every("0 9 * * *"))
    log.event("visit", now=NOON)
    assert (log.state.slots, len(log.state.still)) == ({}, 20)


def test_of_several_each_has_its_own_time() -> None:
    crons = {"at_nine": "0 9 * * *", "at_two": "0 14 * * *", "at_one": "0 13 * * *"}
    log = log_of(*(trigger(id_, entry={"schedule": {"cron": one}}) for id_, one in crons.items()))
    log.event("visit", now=NOON)
    for hours in range(1, 25):
        log.wake(NOON + hours * HOUR)
    assert [one.trigger for one in log.out.commands] == ["at_one", "at_two", "at_nine"]
    assert [one.decided_at for one in log.out.commands] == [
        NOON + hours * HOUR for hours in (1, 2, 21)
    ]


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_a_skipped_time_comes_after_the_gap_and_a_repeated_one_once(zone: str) -> None:
    log = log_of(every("30 2 * * *", time_zone=zone))
    log.event("visit", now=at("2026-03-28T12:00:00"))
    assert times(log, at("2026-03-30T01:00:00")) == [
        at("2026-03-29T01:00:00"),
        at("2026-03-30T00:30:00"),
    ]
    times(log, at("2026-10-24T12:00:00"))
    assert times(log, at("2026-10-26T00:00:00")) == [at("2026-10-25T00:30:00")]
