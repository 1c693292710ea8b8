"""Which bucket an instant falls in, and when a bucket leaves its window.

A bucket stays while any instant of it lies inside `(now - window, now]`: nothing inside the
window is ever missed, and at most one bucket's length too much is seen.
"""

from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from services.contracts.definitions import Tag
from services.contracts.time import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Micros,
    from_micros,
    parse_duration,
    to_micros,
)
from services.triggers.engine.limits import CALENDAR_MEMO_MAX, INSTANT_MAX, NEVER

_EPOCH: Final = date(1970, 1, 1)
_DAYS_MIN: Final = (date(1, 1, 3) - _EPOCH).days
_DAYS_MAX: Final = INSTANT_MAX // DAY + 400
_MONDAY: Final = 3  # 1970-01-01 was a Thursday
CALENDAR_UNITS: Final = ("day", "week", "month")


@lru_cache(maxsize=1)
def known_zones() -> frozenset[str]:
    """Names of the IANA time zone database (loaded once)."""
    return frozenset(available_timezones())


class Calendar:
    """Civil days of one time zone, numbered from 1970-01-01, and where they begin.

    A day begins at the first instant that bears its date: repeated and skipped midnights
    (DST) are settled by absolute instants. Answers are remembered, which changes none; the
    last is that all instants from `since` to before `until` are of `day`.
    """

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._zone = ZoneInfo(zone)
        self._starts: dict[int, Micros] = {}
        self._days: dict[int, tuple[list[Micros], list[int]]] = {}
        # Events come in the order of time, more or less: mostly it is the same day again.
        self.since, self.until, self.day = 0, 0, 0

    def day_of(self, at: Micros) -> int:
        """Number of the civil day that `at` falls on."""
        if self.since <= at < self.until:
            return self.day
        day = self._day_of(at)
        starts, ends = self.start_of(day), self.start_of(day + 1)
        if starts <= at < ends:
            self.since, self.until, self.day = starts, ends, day
        return day

    def _day_of(self, at: Micros) -> int:
        known = self._days.get(at // DAY)
        if known is None:
            known = self._fill(at // DAY)
        starts, days = known
        return days[bisect_right(starts, at)]

    def _fill(self, utc_day: int) -> tuple[list[Micros], list[int]]:
        """Civil days met within one UTC day, and the instants where they change."""
        if len(self._days) >= CALENDAR_MEMO_MAX:
            self._days.clear()
        start, end = utc_day * DAY, (utc_day + 1) * DAY
        days = [self._date_number(start)]
        starts: list[Micros] = []
        following = days[0] + 1
        while (begins := self.start_of(following)) < end:
            # A date the zone skipped begins where the next one does: the instant decides.
            number = self._date_number(max(begins, start))
            if number > days[-1]:
                starts.append(begins)
                days.append(number)
            following += 1
        self._days[utc_day] = (starts, days)
        return starts, days

    def _date_number(self, at: Micros) -> int:
        day = at // DAY
        if not _DAYS_MIN <= day <= _DAYS_MAX:
            return day
        return (from_micros(at).astimezone(self._zone).date() - _EPOCH).days

    def start_of(self, day: int) -> Micros:
        """The instant at which civil day number `day` begins."""
        begins = self._starts.get(day)
        if begins is None:
            if len(self._starts) >= CALENDAR_MEMO_MAX:
                self._starts.clear()
            begins = self._starts[day] = self._find_start(day)
        return begins

    def _find_start(self, day: int) -> Micros:
        if not _DAYS_MIN <= day <= _DAYS_MAX:
            return day * DAY
        civil = _EPOCH + timedelta(days=day)
        # fold=0: the first of two midnights; in a gap, the offset before it, hence its end.
        midnight = datetime(civil.year, civil.month, civil.day, tzinfo=self._zone)
        return to_micros(midnight)

    def period(self, unit: str, at: Micros) -> tuple[Micros, Micros]:
        """First instant of the day, week (from Monday) or month of `at`, and of the next."""
        day = self.day_of(at)
        if unit == "day":
            first, following = day, day + 1
        elif unit == "week":
            first = day - (day + _MONDAY) % 7
            following = first + 7
        else:
            civil = _EPOCH + timedelta(days=day)
            first = day - civil.day + 1
            following = first + _days_of_month(civil)
        return self.start_of(first), self.start_of(following)


def _days_of_month(civil: date) -> int:
    first = civil.replace(day=1)
    return ((first + timedelta(days=32)).replace(day=1) - first).days


@lru_cache(maxsize=512)
def calendar_of(zone: str) -> Calendar:
    """The calendar of a known zone; built once."""
    return Calendar(zone)


def default_bucket(window: int) -> int:
    """Bucket length for a window, both in microseconds (semantics, rolling windows)."""
    if window <= 2 * HOUR:
        return MINUTE
    return HOUR if window <= 7 * DAY else DAY


class Window(msgspec.Struct, frozen=True):
    """A rolling window as two functions.

    `bucket_of(at)` numbers the bucket of an instant, `leaves_at(bucket)` gives the instant
    from which it is out. Tags with equal `group` share bucket numbers; of a group of civil
    days `calendar` numbers them.
    """

    group: tuple[str, int]
    bucket_of: Callable[[Micros], int]
    leaves_at: Callable[[int], Micros]
    calendar: Calendar | None = None


def window_of(tag: Tag, calendar: Calendar) -> Window:
    """The window of a tag whose durations are known to be right."""
    if tag.window is None:
        return Window(("lifetime", 0), lambda at: 0, lambda bucket: NEVER)
    span = parse_duration(tag.window)
    size = default_bucket(span) if tag.bucket is None else parse_duration(tag.bucket)
    if size == DAY and span > 7 * DAY:
        start_of = calendar.start_of
        return Window(
            ("civil", DAY),
            calendar.day_of,
            lambda bucket: start_of(bucket + 1) + span,
            calendar,
        )
    return Window(("fixed", size), lambda at: at // size, lambda bucket: (bucket + 1) * size + span)


def buckets_of(tag: Tag) -> int:
    """How many buckets a tag keeps at most."""
    if tag.window is None:
        return 1
    span = parse_duration(tag.window)
    size = default_bucket(span) if tag.bucket is None else parse_duration(tag.bucket)
    return -(-span // max(size, SECOND)) + 1
