"""Cron expressions: what they say, when they are due next, and what is no expression."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.contracts.time import DAY, HOUR, MINUTE, from_micros, to_micros
from services.triggers.engine.cron import BadCron, Cron, parse_cron, period_of
from services.triggers.engine.limits import NEVER
from tests.engine.build import at

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "America/Sao_Paulo",  # once put forward at midnight
    "Pacific/Apia",  # left out 30 December 2011
    "Africa/Casablanca",  # twice a year and around Ramadan
)
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def due_times(text: str, zone: str, start: str, count: int) -> list[str]:
    cron, found, moment = parse_cron(text), [], at(start)
    for _ in range(count):
        moment = cron.next_after(moment, zone)
        found.append(from_micros(moment).astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", ["06-10 12:01", "06-10 12:02", "06-10 12:03"]),
        ("*/20 * * * *", ["06-10 12:20", "06-10 12:40", "06-10 13:00"]),
        ("5,10-12 12 * * *", ["06-10 12:05", "06-10 12:10", "06-10 12:11"]),
        ("0 8-20/6 * * *", ["06-10 14:00", "06-10 20:00", "06-11 08:00"]),
        ("30 9 1 * *", ["07-01 09:30", "08-01 09:30", "09-01 09:30"]),
        ("0 9 * * Mon", ["06-15 09:00", "06-22 09:00", "06-29 09:00"]),
        ("0 9 * * 0", ["06-14 09:00", "06-21 09:00", "06-28 09:00"]),
        ("0 9 * * 7", ["06-14 09:00", "06-21 09:00", "06-28 09:00"]),
        ("0 9 * * fri-sun", ["06-12 09:00", "06-13 09:00", "06-14 09:00"]),
        ("0 0 * JAN,jul *", ["07-01 00:00", "07-02 00:00", "07-03 00:00"]),
        # Both days given: one of them has to match. A day that begins with a star: both.
        ("0 0 13 * fri", ["06-12 00:00", "06-13 00:00", "06-19 00:00"]),
        ("0 0 */13 * fri", ["08-14 00:00", "11-27 00:00", "01-01 00:00"]),
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00", "02-29 00:00"]),
    ],
)
def test_the_next_times(text: str, expected: list[str]) -> None:
    assert due_times(text, "UTC", "2026-06-10T12:00:00", 3) == expected


def test_a_time_exactly_now_is_over() -> None:
    cron = parse_cron("0 12 * * *")
    assert cron.next_after(at("2026-06-10T12:00:00"), "UTC") == at("2026-06-11T12:00:00")
    assert cron.next_after(at("2026-06-10T12:00:00") - 1, "UTC") == at("2026-06-10T12:00:00")


def test_skipped_local_times_run_once_at_the_first_instant_after_the_gap() -> None:
    before = "2026-03-29T00:30:00"
    assert due_times("30 2 * * *", "Europe/Berlin", before, 2) == ["03-29 03:00", "03-30 02:30"]
    assert due_times("*/20 * * * *", "Europe/Berlin", before, 3) == [
        "03-29 01:40",
        "03-29 03:00",
        "03-29 03:20",
    ]
    # A whole day was left out, and with it nine o'clock.
    assert due_times("0 9 * * *", "Pacific/Apia", "2011-12-29T20:00:00", 2) == [
        "12-31 00:00",
        "12-31 09:00",
    ]


def test_repeated_local_times_run_once_the_first_time() -> None:
    cron = parse_cron("30 2 * * *")
    first = cron.next_after(at("2026-10-24T12:00:00"), "Europe/Berlin")
    assert first == at("2026-10-25T00:30:00")
    assert cron.next_after(first, "Europe/Berlin") == at("2026-10-26T01:30:00")
    assert due_times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:20:00", 2) == [
        "10-25 02:30",
        "10-25 03:00",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "five fields are needed (minute, hour, day of month, month, day of week), found 0"),
        ("@daily", "five fields"),
        ("0 0 * * * *", "found 6"),
        ("60 * * * *", "minute '60': 60 is outside 0 to 59"),
        ("* 24 * * *", "hour '24': 24 is outside 0 to 23"),
        ("* * 0 * *", "day of month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day of week '8'"),
        ("* * * * mun", "day of week 'mun': 'mun' is not understood"),
        ("* * * mon *", "month 'mon'"),
        ("30-10 * * * *", "minute '30-10': the range ends before it begins"),
        ("5/15 * * * *", "minute '5/15': a step goes with * or a range"),
        ("*/0 * * * *", "minute '*/0': the step"),
        ("*/-1 * * * *", "minute '*/-1': the step"),
        ("*/ * * * *", "minute '*/': the step"),
        ("1,,2 * * * *", "minute '': '' is not understood"),
        ("-5 * * * *", "minute '-5': '' is not understood"),
        ("1-2-3 * * * *", "minute '1-2-3': '2-3' is not understood"),
        ("1.5 * * * *", "'1.5' is not understood"),
        ("٣ * * * *", "is not understood"),
        ("* * L * *", "day of month 'L'"),
        ("* * ? * *", "day of month '?'"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_part(text: str, reason: str) -> None:
    with pytest.raises(BadCron) as caught:
        parse_cron(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("* * * * *", MINUTE),
        ("0 9 * * *", DAY),
        ("0 9 * * mon", 7 * DAY),
        ("0 9,21 * * *", 12 * HOUR),
        ("0 1,23 * * *", 2 * HOUR),
        ("0 9 * * mon,tue", DAY),
        ("0 0 1 * *", 28 * DAY),
        ("0 0 29 2 *", (4 * 365 + 1) * DAY),
        ("0 0 30 2 *", None),
        ("0 0 31 4,6,9,11 *", None),
        ("0 0 30 2 mon", 7 * DAY),
    ],
)
def test_the_shortest_time_between_two_times(text: str, period: int | None) -> None:
    assert period_of(parse_cron(text)) == period


def test_what_never_comes_is_never_due() -> None:
    assert parse_cron("0 0 30 2 *").next_after(at("2026-01-01T00:00:00"), "UTC") == NEVER
    assert parse_cron("0 0 1 1 *").next_after(at("2099-06-01T00:00:00"), "UTC") == NEVER


# An independent reading: the fields as predicates, and a walk over every local minute.


def matches(part: str, value: int, low: int, high: int, names: list[str]) -> bool:
    def number(text: str) -> int:
        return names.index(text) + low if text in names else int(text)

    for one in part.split(","):
        span, _, step = one.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        begin, end = number(first), number(last or first)
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False


def on_local_minute(text: str, local: datetime) -> bool:
    minute, hour, of_month, month, of_week = text.split()
    week = local.isoweekday()
    by_month = matches(of_month, local.day, 1, 31, [])
    by_week = any(matches(of_week, day, 0, 7, WEEKDAYS) for day in {week, week % 7})
    both = of_month[0] == "*" or of_week[0] == "*"
    return (
        matches(minute, local.minute, 0, 59, [])
        and matches(hour, local.hour, 0, 23, [])
        and matches(month, local.month, 1, 12, MONTHS)
        and (by_month and by_week if both else by_month or by_week)
    )


def walked(text: str, zone: str, start: int, end: int) -> list[int]:
    """Every instant in (start, end] at which it is due, minute by minute of the real clock.

    A clock that jumps forward passes all the minutes in between at once; one that was put
    back passes none until it is further than ever.
    """
    info, found = ZoneInfo(zone), []
    instant = start - 2 * DAY
    passed = from_micros(instant).astimezone(info).replace(tzinfo=None)
    while instant < end:
        instant += MINUTE
        shown = from_micros(instant).astimezone(info).replace(tzinfo=None)
        due = False
        while passed < shown:
            passed += timedelta(minutes=1)
            due = due or on_local_minute(text, passed)
        if due and instant > start:
            found.append(instant)
    return found


def field(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    value = st.integers(low, high).map(str)
    if names:
        value |= st.sampled_from(names)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(
        lambda two: f"{min(two)}-{max(two)}"
    )
    step = st.tuples(st.just("*") | span, st.integers(1, high)).map(
        lambda two: "/".join(map(str, two))
    )
    part = value | span | step
    return st.just("*") | st.lists(part, min_size=1, max_size=3).map(",".join)


CRONS = st.tuples(
    field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS), field(0, 6, WEEKDAYS)
).map(" ".join)

CHANGES = {
    "Europe/Berlin": ["2026-03-29", "2026-10-25"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "Australia/Lord_Howe": ["2026-04-04", "2026-10-03"],
    "America/Sao_Paulo": ["2018-11-04", "2018-02-18"],
    "Pacific/Apia": ["2011-12-30", "2012-04-01"],
    "Africa/Casablanca": ["2026-02-15", "2026-03-22"],
    "UTC": ["2028-02-29", "2027-02-28"],
    "Asia/Shanghai": ["1991-04-14", "1991-09-15"],
}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    CRONS,
    st.sampled_from(ZONES).flatmap(
        lambda zone: st.tuples(st.just(zone), st.sampled_from(CHANGES[zone]))
    ),
    st.integers(-DAY, DAY),
)
@example("*/7 * * * *", ("Australia/Lord_Howe", "2026-10-03"), 0)
@example("*/7 * * * *", ("Australia/Lord_Howe", "2026-04-04"), 0)
@example("30 0 * * *", ("America/Sao_Paulo", "2018-11-04"), 0)
@example("15 12 30 12 *", ("Pacific/Apia", "2011-12-30"), -DAY)
def test_it_is_due_exactly_when_a_walk_over_the_local_clock_says(
    text: str, where: tuple[str, str], shift: int
) -> None:
    zone, day = where
    start = at(f"{day}T00:00:00") - DAY + shift
    start -= start % MINUTE
    end = start + 3 * DAY
    cron, found, moment = parse_cron(text), [], start
    while (moment := cron.next_after(moment, zone)) <= end:
        found.append(moment)
    assert found == walked(text, zone, start, end)


@settings(max_examples=100, deadline=None)
@given(CRONS, st.sampled_from(ZONES), st.integers(0, 60 * 365 * DAY))
def test_what_comes_next_is_later_and_nothing_lies_between(
    text: str, zone: str, moment: int
) -> None:
    cron: Cron = parse_cron(text)
    following = cron.next_after(moment, zone)
    assert following > moment
    if following < NEVER:
        assert cron.next_after(following - 1, zone) == following
        assert cron.next_after((moment + following) // 2, zone) == following


def test_every_hour_comes_once_but_for_the_one_that_is_repeated() -> None:
    cron, moment = parse_cron("0 * * * *"), to_micros(datetime(2026, 1, 1, tzinfo=UTC))
    found = [moment := cron.next_after(moment, "Europe/Berlin") for _ in range(24 * 320)]
    gaps = {later - earlier for earlier, later in pairwise(found)}
    assert gaps == {HOUR, 2 * HOUR}
