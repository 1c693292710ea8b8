"""Quiet hours: is the person's clock inside them, and at which instant does it leave them.

An instant is quiet where the local clock, as it stands then, is. So an hour that a change of
clocks repeats can be quiet twice, one that it skips never comes, and the end is the first
instant from which the clock is outside.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from services.contracts.definitions import QuietHours
from services.contracts.time import DAY, HOUR, MINUTE, Micros, from_micros
from services.triggers.engine.limits import CALENDAR_MEMO_MAX

MINUTES_OF_DAY: Final = DAY // MINUTE
_MICROSECOND: Final = timedelta(microseconds=1)

QuietTable = tuple[int, ...]
"""For each minute of a local day how many quiet minutes follow by the clock, 0: not quiet."""


def minute_of(clock: str) -> int:
    """Minute of the day of a clock time, `08:30` is 510."""
    return int(clock[:2]) * 60 + int(clock[3:])


def quiet_minutes(hours: Iterable[QuietHours], channel: str) -> list[bool]:
    """Which minutes of a local day are quiet for a channel; windows add up."""
    quiet = [False] * MINUTES_OF_DAY
    for one in hours:
        if one.channels and channel not in one.channels:
            continue
        minute, end = minute_of(one.start), minute_of(one.end)
        while minute != end:
            quiet[minute] = True
            minute = (minute + 1) % MINUTES_OF_DAY
    return quiet


@lru_cache(maxsize=64)
def quiet_table(hours: tuple[QuietHours, ...], channel: str) -> QuietTable | None:
    """The table of a channel, None where no minute is quiet. Never is every minute quiet:
    `check` refuses that. All triggers of a channel share one."""
    quiet = quiet_minutes(hours, channel)
    if not any(quiet):
        return None
    table, left = [0] * MINUTES_OF_DAY, 0
    # Twice around the clock: what is left after midnight is known in the second round.
    for minute in (*reversed(range(MINUTES_OF_DAY)), *reversed(range(MINUTES_OF_DAY))):
        left = left + 1 if quiet[minute] else 0
        table[minute] = left
    return tuple(table)


def quiet_until(table: QuietTable, zone: str, at: Micros) -> Micros | None:
    """The first instant after `at` that is not quiet, None where `at` itself is not."""
    until = at
    while True:
        clock = (until + _offset(zone, until)) % DAY
        minutes = table[clock // MINUTE]
        if minutes == 0:
            return until if until > at else None
        end = until + minutes * MINUTE - clock % MINUTE
        changes_at = _next_change(zone, until, end)
        if changes_at is None:
            return end
        until = changes_at


def _offset(zone: str, at: Micros) -> int:
    local = from_micros(at).astimezone(ZoneInfo(zone)).utcoffset()
    assert local is not None
    return local // _MICROSECOND


def _next_change(zone: str, after: Micros, until: Micros) -> Micros | None:
    """The first change of clocks in `(after, until]`."""
    for day in range(after // DAY, until // DAY + 1):
        for changes_at in _changes(zone, day):
            if after < changes_at <= until:
                return changes_at
    return None


@lru_cache(maxsize=CALENDAR_MEMO_MAX)
def _changes(zone: str, utc_day: int) -> tuple[Micros, ...]:
    """Instants of a UTC day from which the zone's clocks go differently (none, nearly always)."""
    found: list[Micros] = []
    for hour in range(24):
        low = utc_day * DAY + hour * HOUR - 1
        high, before = low + HOUR, _offset(zone, low)
        if _offset(zone, high) == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
        found.append(high)
    return tuple(found)
