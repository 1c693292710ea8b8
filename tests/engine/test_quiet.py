"""Quiet hours: inside by the person's clock, over at an exact instant, held or dropped."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.contracts.decision import Outcome
from services.contracts.definitions import QuietHours
from services.contracts.time import DAY, HOUR, MINUTE, SECOND, Micros, from_micros
from services.triggers.engine.quiet import quiet_table, quiet_until
from tests.engine.build import NOON, Log, at, bundle, log_of, policy, trigger

NIGHT = {"start": "22:00", "end": "08:00"}
LATE = at("2026-06-10T23:00:00")
MORNING = at("2026-06-11T08:00:00")

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago",
    "Pacific/Apia", "Africa/Cairo", "Asia/Kathmandu", "Africa/Casablanca", "Antarctica/Troll",
]  # fmt: skip
CHANGES = [
    at("2026-03-29T01:00:00"),  # Berlin, forward
    at("2026-10-25T01:00:00"),  # Berlin, back
    at("2026-04-04T15:00:00"),  # Lord Howe, back by half an hour
    at("2026-10-03T15:30:00"),  # Lord Howe, forward
    at("2026-04-05T03:00:00"),  # Santiago, back at midnight
    at("2026-09-06T04:00:00"),  # Santiago, forward at midnight
    at("2011-12-30T10:00:00"),  # Apia skips a whole day
    at("2010-09-26T11:00:00"),  # Apia, forward
    at("2026-04-23T22:00:00"),  # Cairo has no midnight
    at("2026-02-15T02:00:00"),  # Casablanca, back for Ramadan
    at("2026-03-22T02:00:00"),  # Casablanca, forward again
    at("2026-03-29T01:00:00"),  # Troll jumps two hours
]
clocks = st.builds(
    "{:02}:{:02}".format,
    st.integers(0, 23),
    st.one_of(st.sampled_from([0, 30]), st.integers(0, 59)),
)
instants = st.builds(
    lambda change, off: change + off,
    st.sampled_from(CHANGES),
    st.one_of(
        st.sampled_from([-DAY, -HOUR, -1, 0, 1, HOUR]),
        st.integers(-26 * 60, 26 * 60).map(lambda minutes: minutes * MINUTE),
        st.integers(-26 * HOUR, 26 * HOUR),
    ),
)


def hours(start: str, end: str, **fields: Any) -> QuietHours:
    """Quiet hours from `start` to `end`."""
    return msgspec.convert({"start": start, "end": end, **fields}, QuietHours)


def is_quiet(windows: list[QuietHours], zone: str, moment: Micros) -> bool:
    """What the clock on the wall says."""
    shown = from_micros(moment).astimezone(ZoneInfo(zone)).strftime("%H:%M")
    return any(
        one.start <= shown < one.end
        if one.start < one.end
        else shown >= one.start or shown < one.end
        for one in windows
    )


def walked(windows: list[QuietHours], zone: str, moment: Micros) -> Micros | None:
    """The end of the quiet time, minute after minute."""
    end = moment
    while is_quiet(windows, zone, end):
        end += MINUTE - end % MINUTE
    return end if end > moment else None


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(clocks, clocks), min_size=1, max_size=3), st.sampled_from(ZONES), instants
)
@example([("02:30", "02:10")], "Europe/Berlin", CHANGES[0] - DAY)  # its only minutes are skipped
@example([("22:00", "02:30")], "Europe/Berlin", CHANGES[1] - 3 * HOUR)  # over twice
@example([("00:00", "23:59")], "Pacific/Apia", CHANGES[6] - HOUR)
def test_the_end_of_quiet_hours_is_the_first_minute_that_the_clock_is_outside(
    spans: list[tuple[str, str]], zone: str, moment: Micros
) -> None:
    windows = [hours(start, end) for start, end in spans if start != end]
    table = quiet_table(tuple(windows), "log")
    if table is None:
        assert not windows
        return
    if all(table):  # refused by `check`
        return
    assert quiet_until(table, zone, moment) == walked(windows, zone, moment)


@pytest.mark.parametrize(
    ("zone", "asked", "until"),
    [
        ("Europe/Berlin", "2026-03-28T23:00:00", "2026-03-29T06:00:00"),  # a night of 9 hours
        ("Europe/Berlin", "2026-10-24T22:00:00", "2026-10-25T07:00:00"),  # one of 11
        ("Australia/Lord_Howe", "2026-04-04T12:00:00", "2026-04-04T21:30:00"),
        ("America/Santiago", "2026-09-06T03:30:00", "2026-09-06T11:00:00"),
        ("Pacific/Apia", "2011-12-30T09:00:00", "2011-12-30T18:00:00"),  # the 29th, then the 31st
    ],
)
def test_a_night_with_a_change_of_clocks_ends_when_the_clock_says_so(
    zone: str, asked: str, until: str
) -> None:
    table = quiet_table((hours("22:00", "08:00"),), "log")
    assert table is not None
    assert quiet_until(table, zone, at(asked)) == at(until)
    assert quiet_until(table, zone, at(until)) is None
    assert quiet_until(table, zone, at(until) - 1) == at(until)


def test_windows_that_touch_are_one() -> None:
    table = quiet_table((hours("22:00", "00:00"), hours("00:00", "06:00")), "log")
    assert table is not None
    assert quiet_until(table, "UTC", LATE) == at("2026-06-11T06:00:00")


def quiet_log(**fields: Any) -> Log:
    """A log with quiet nights, at 23:00 of one."""
    log = log_of(trigger(**fields), policy(limit=9), quiet_hours=[NIGHT])
    log.now = LATE
    return log


@pytest.mark.parametrize("reload", [False, True])
def test_a_send_at_night_is_held_until_the_morning_and_then_sent(reload: bool) -> None:
    log = quiet_log()
    log.reload = reload
    [held] = log.event()
    assert held.outcome is Outcome.QUIET_HOURS
    assert held.details == {"zone": "UTC", "until": MORNING, "deferred_until": MORNING}
    log.wake(LATE + SECOND)
    assert log.state.wake_at == MORNING
    assert log.wake(MORNING - 1) == []
    [sent] = log.wake(MORNING)
    assert (sent.outcome, sent.run_id) == (Outcome.SENT, held.run_id)


def test_a_trigger_may_ask_to_be_dropped_at_night() -> None:
    log = quiet_log(in_quiet_hours="drop")
    [refused] = log.event()
    assert refused.outcome is Outcome.QUIET_HOURS
    assert refused.details == {"zone": "UTC", "until": MORNING}
    assert log.wake(MORNING) == []


def test_the_morning_decides_everything_again_consent_included() -> None:
    log = quiet_log()
    log.event()
    log.identify({"consent": {"marketing": False}})
    [refused] = log.wake(MORNING)
    assert refused.outcome is Outcome.CONSENT
    assert log.out.commands == []


def test_what_waited_for_the_morning_expires() -> None:
    log = quiet_log(when_capped={"action": "drop", "expires_after": "4h"})
    log.event()
    [expired] = log.wake(LATE + 4 * HOUR)
    assert expired.outcome is Outcome.EXPIRED


def test_caps_are_asked_in_the_morning_in_order_of_priority() -> None:
    log = log_of(
        trigger("low", priority=10),
        trigger("high", priority=90),
        policy(limit=1),
        quiet_hours=[NIGHT],
    )
    log.event(now=LATE)
    decisions = log.wake(MORNING)
    assert [(one.trigger, one.outcome) for one in decisions] == [
        ("high", Outcome.SENT),
        ("low", Outcome.CAP),
    ]


def test_quiet_hours_are_those_of_the_persons_zone() -> None:
    log = quiet_log()
    log.identify({"timezone": "America/New_York"})
    assert [one.outcome for one in log.event()] == [Outcome.SENT]
    log.identify({"timezone": "Nowhere/Else"})
    assert [one.outcome for one in log.event()] == [Outcome.QUIET_HOURS]


def test_a_release_does_not_end_the_night() -> None:
    log = log_of(trigger(), policy(limit=9), quiet_hours=[NIGHT])
    log.event(now=LATE - 2 * HOUR)
    log.event(now=LATE)
    log.delivery(log.out.commands[0].send_id, "failed", now=LATE + HOUR)
    log.wake(MORNING)
    assert log.outcomes() == [Outcome.SENT, Outcome.QUIET_HOURS, Outcome.SENT]
    assert log.out.commands[-1].decided_at == MORNING


def test_transactional_sends_and_other_channels_know_no_night() -> None:
    mail = {"channel": "mail", "content": {"subject": "s", "body": "b"}}
    log = log_of(
        trigger("receipt", category="transactional"),
        trigger("mail", steps=[{"send": mail}]),
        trigger("news"),
        quiet_hours=[{**NIGHT, "channels": ["log"]}],
    )
    outcomes = {one.trigger: one.outcome for one in log.event(now=LATE)}
    assert outcomes == {
        "receipt": Outcome.SENT,
        "mail": Outcome.SENT,
        "news": Outcome.QUIET_HOURS,
    }


def test_quiet_hours_published_later_hold_what_a_cap_had_put_off() -> None:
    defer = {"action": "defer", "expires_after": "3d"}
    log = log_of(trigger(when_capped=defer), policy(limit=1, window="12h"))
    log.event(now=NOON)
    log.event(now=NOON + HOUR)
    nights = [{"start": "20:00", "end": "08:00"}]
    log.publish(
        bundle(
            trigger(when_capped=defer), policy(limit=1, window="12h"), revision=2,
            quiet_hours=nights,
        )
    )  # fmt: skip
    [held] = log.wake(NOON + 12 * HOUR)
    assert held.details["deferred_until"] == MORNING
    assert [one.outcome for one in log.wake(MORNING)] == [Outcome.SENT]
