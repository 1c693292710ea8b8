"""`entry.date`: a day of the person's own, in the person's own zone."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Trigger
from services.contracts.time import DAY, HOUR, MINUTE, to_micros
from services.triggers.engine.dates import date_of
from services.triggers.engine.limits import NEVER
from tests.engine.build import NOON, Log, at, bundle, log_of, trigger


def on(trait: str = "birthday", **more: Any) -> Trigger:
    return trigger("t", entry={"date": {"trait": trait, "at": "09:00", **more}})


def fired(log: Log, until: int) -> list[str]:
    """Wake whenever it is asked for; the instants at which somebody came in, in UTC."""
    found = []
    while log.state.wake_at is not None and log.state.wake_at <= until:
        now = log.state.wake_at
        if log.wake(now):
            found.append(datetime.fromtimestamp(now / 1e6, UTC).strftime("%Y-%m-%d %H:%M"))
    log.wake(until)
    return found


def test_a_day_comes_at_its_time_in_the_persons_zone() -> None:
    log = log_of(on("ends_on", offset_days=-7))
    log.identify({"ends_on": "2026-07-10", "timezone": "Asia/Shanghai"})
    assert fired(log, NOON + 400 * DAY) == ["2026-07-03 01:00"]


def test_without_a_zone_of_their_own_the_workspaces_holds() -> None:
    log = log_of(on("ends_on", offset_days=1), time_zone="America/New_York")
    log.identify({"ends_on": "2026-07-10"})
    assert fired(log, NOON + 400 * DAY) == ["2026-07-11 13:00"]


def test_a_birthday_comes_every_year_and_29_february_on_the_28th() -> None:
    log = log_of(on(yearly=True))
    log.reload = True
    log.identify({"birthday": "1992-02-29"})
    days = fired(log, at("2033-01-01T00:00:00"))
    assert days == [
        *("2027-02-28 09:00", "2028-02-29 09:00", "2029-02-28 09:00", "2030-02-28 09:00"),
        *("2031-02-28 09:00", "2032-02-29 09:00"),
    ]


def test_a_yearly_day_does_not_come_before_its_date() -> None:
    log = log_of(on(yearly=True))
    log.identify({"birthday": "2028-01-15"})
    assert fired(log, at("2030-01-01T00:00:00")) == ["2028-01-15 09:00", "2029-01-15 09:00"]


def test_a_time_that_has_passed_today_is_over() -> None:
    log = log_of(on("ends_on"))
    log.identify({"ends_on": "2026-06-10"})
    assert fired(log, NOON + 400 * DAY) == []
    yearly = log_of(on(yearly=True))
    yearly.identify({"birthday": "1990-06-10"})
    assert fired(yearly, NOON + 400 * DAY) == ["2027-06-10 09:00"]


def test_a_changed_trait_moves_it_and_a_removed_one_ends_it() -> None:
    log = log_of(on("ends_on"))
    log.identify({"ends_on": "2026-07-10"})
    log.identify({"ends_on": "2026-08-10"}, now=NOON + DAY)
    assert fired(log, at("2026-08-01T00:00:00")) == []
    assert fired(log, at("2026-08-11T00:00:00")) == ["2026-08-10 09:00"]
    log.identify({"ends_on": "2026-09-10"})
    log.identify({"ends_on": None})
    assert log.state.slots == {}
    assert fired(log, at("2027-01-01T00:00:00")) == []


def test_the_same_date_told_again_changes_nothing() -> None:
    log = log_of(on("ends_on"))
    log.identify({"ends_on": "2026-07-10", "timezone": "Asia/Shanghai"})
    assert fired(log, at("2026-07-10T02:00:00")) == ["2026-07-10 01:00"]
    # Nine o'clock is still to come in Berlin, but the day has had its turn.
    log.identify({"ends_on": "2026-07-10", "timezone": "Europe/Berlin"})
    assert fired(log, NOON + 400 * DAY) == []


def test_told_again_just_when_it_was_due_it_is_not_lost() -> None:
    log = log_of(on("ends_on"))
    log.identify({"ends_on": "2026-07-10"})
    due = at("2026-07-10T09:00:00")
    fired(log, due - HOUR)
    (sent,) = log.identify({"ends_on": "2026-07-10"}, now=due + 500)
    assert sent.event_id == f"date@{due}"


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("Pacific/Auckland", "2026-07-09 21:00"), ("Pacific/Honolulu", "2026-07-10 19:00")],
)
def test_whoever_travels_before_the_day_has_it_where_they_are(zone: str, expected: str) -> None:
    log = log_of(on("ends_on"))
    log.identify({"ends_on": "2026-07-10"}, context={"timezone": "Europe/Berlin"})
    log.event("visit", now=at("2026-07-07T00:00:00"), context={"timezone": zone})
    assert fired(log, at("2026-08-01T00:00:00")) == [expected]


def test_an_identify_that_names_another_zone_counts_on_the_day_itself() -> None:
    log = log_of(on("ends_on"))
    log.identify({"ends_on": "2026-07-10", "timezone": "America/New_York"})
    fired(log, at("2026-07-10T05:00:00"))
    log.identify({"timezone": "Europe/Berlin"}, now=at("2026-07-10T05:30:00"))
    assert fired(log, at("2026-08-01T00:00:00")) == ["2026-07-10 07:00"]


def test_a_skipped_hour_is_the_first_instant_after_it() -> None:
    log = log_of(on("ends_on", at="02:30"), time_zone="Europe/Berlin")
    log.identify({"ends_on": "2027-03-28"})
    assert fired(log, NOON + 400 * DAY) == ["2027-03-28 01:00"]


def test_whoever_was_not_looked_at_in_time_still_has_the_day_within_send_within() -> None:
    for late, count in ((23 * HOUR, 1), (25 * HOUR, 0)):
        log = log_of(on("ends_on"))
        log.identify({"ends_on": "2026-07-10"})
        assert len(log.wake(at("2026-07-10T09:00:00") + late)) == count


def test_people_known_before_the_rules_have_their_day_too() -> None:
    log = log_of()
    log.identify({"birthday": "1990-12-24"})
    log.publish(bundle(on(yearly=True), revision=2))
    log.wake(NOON + DAY)
    assert fired(log, NOON + 365 * DAY) == ["2026-12-24 09:00"]


def test_a_late_identify_tells_the_date_as_well() -> None:
    log = log_of(on("ends_on"))
    log.event("visit")
    log.identify({"ends_on": "2026-07-10"}, occurred_at=NOON - 3 * DAY)
    assert fired(log, NOON + 400 * DAY) == ["2026-07-10 09:00"]


def test_a_trait_within_a_trait() -> None:
    log = log_of(on("membership.ends_on"))
    log.identify({"membership": {"ends_on": "2026-07-10"}})
    assert len(fired(log, NOON + 400 * DAY)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1990-05-03", date(1990, 5, 3)),
        ("1990-05-03T00:00:00.000Z", date(1990, 5, 3)),
        ("1990-05-03 23:59", date(1990, 5, 3)),
        ("1990-05-03T23:59:00+14:00", date(1990, 5, 3)),
        ("2026-02-29", None),
        ("2026-02-30", None),
        ("1990-5-3", None),
        ("1990-05-03x", None),
        ("03.05.1990", None),
        ("19900503", None),
        ("2026-W01-1", None),
        ("٢٠٢٦-01-01", None),
        ("", None),
        (None, None),
        (19900503, None),
        ({"day": 3}, None),
    ],
)
def test_what_is_a_date(text: Any, expected: date | None) -> None:
    assert date_of(text) == expected


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "1969-12-31", "2099-12-31"])
@pytest.mark.parametrize("yearly", [False, True])
@pytest.mark.parametrize("offset", [-366, 366])
def test_far_dates_do_no_harm(text: str, *, yearly: bool, offset: int) -> None:
    log = log_of(on("day", yearly=yearly, offset_days=offset))
    log.identify({"day": text})
    log.wake(NOON + 3 * DAY)
    log.wake(at("2098-06-01T00:00:00"))
    assert log.state.next_due > log.now


def test_what_is_no_date_waits_for_nothing() -> None:
    log = log_of(on())
    log.identify({"birthday": "soon"})
    assert (log.state.slots, log.state.next_due) == ({}, NEVER)


# The oracle: walk the local clock of the person, minute by minute, around every day.


def first_instant(local: datetime, zone: str) -> int:
    """Walk from a day and a half before until the clock has come to it."""
    moment = local.replace(tzinfo=UTC) - timedelta(hours=16)
    while moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < local:
        moment += timedelta(minutes=1)
    return to_micros(moment)


@settings(max_examples=60, deadline=None)
@given(
    st.dates(date(1950, 1, 1), date(2030, 12, 31))
    | st.sampled_from([date(1992, 2, 29), date(2000, 2, 29)]),
    st.integers(-40, 40),
    st.integers(0, 24 * 60 - 1),
    st.booleans(),
    st.sampled_from(["Europe/Berlin", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"]),
)
def test_it_comes_on_the_days_and_at_the_times_of_the_local_clock(
    base: date, offset: int, minute: int, yearly: bool, zone: str
) -> None:
    clock = f"{minute // 60:02}:{minute % 60:02}"
    log = log_of(on("day", at=clock, offset_days=offset, yearly=yearly))
    log.identify({"day": f"{base}T10:00:00Z", "timezone": zone})
    until = NOON + 3 * 365 * DAY
    days = {base}
    if yearly:
        leap_day = (base.month, base.day) == (2, 29)
        for year in range(max(base.year, 2020), 2035):
            short = leap_day and year % 4 != 0
            days.add(date(year, base.month, 28 if short else base.day))
    expected = []
    for day in sorted(days):
        local = datetime.combine(day + timedelta(days=offset), datetime.min.time())
        instant = first_instant(local + timedelta(minutes=minute), zone)
        if NOON < instant <= until:
            expected.append(instant)
    assume(all(instant % MINUTE == 0 for instant in expected))
    fired(log, until)
    assert [one.event_id for one in log.out.decisions] == [f"date@{one}" for one in expected]
