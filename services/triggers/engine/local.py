"""Local time: the person's zone, and the instant at which a local clock comes to a time.

A clock that is put forward skips times: they come at the first instant after the gap. One
that is put back repeats times: they come the first time. So of two local times the later one
never comes first.
"""

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.contracts.time import DAY, HOUR, MINUTE, Micros, from_micros, to_micros
from services.triggers.engine.limits import CALENDAR_MEMO_MAX, INSTANT_MAX, NEVER
from services.triggers.engine.state import PersonState
from services.triggers.engine.windows import Calendar, calendar_of, known_zones

ZONE_TRAIT: Final = "timezone"
EPOCH: Final = date(1970, 1, 1)
AHEAD_OF_UTC_MAX: Final = 14 * 60 * MINUTE
"""No zone's clock has been further ahead since 1970: nowhere does a local time come earlier."""
MINUTES_OF_DAY: Final = DAY // MINUTE
_DAY_MAX: Final = INSTANT_MAX // DAY
_MICROSECOND: Final = timedelta(microseconds=1)


def known(zone: Any) -> bool:
    """Whether it names a time zone."""
    return isinstance(zone, str) and zone in known_zones()


def own_calendar(state: PersonState, workspace: Calendar) -> Calendar:
    """The person's: trait `timezone`, else the last event's zone, else the workspace's."""
    zone = state.traits.get(ZONE_TRAIT)
    if known(zone):
        return calendar_of(zone)
    if state.zone is not None and known(state.zone):
        return calendar_of(state.zone)
    return workspace


def minute_of_day(clock: str) -> int:
    """Of a time such as `08:30`: 510."""
    return int(clock[:2]) * 60 + int(clock[3:])


def local_of(zone: str, at: Micros) -> tuple[int, int]:
    """Day (counted from 1970-01-01) and minute of the day that a local clock shows."""
    shown = from_micros(at).astimezone(ZoneInfo(zone))
    return (shown.date() - EPOCH).days, shown.hour * 60 + shown.minute


@lru_cache(maxsize=CALENDAR_MEMO_MAX)
def instant_of(zone: str, day: int, minute: int) -> Micros:
    """The first instant at which a local clock has come to this minute of this day.

    `NEVER` for days after 2099; days before 1970 give some instant before 1970.
    """
    if not 0 <= day <= _DAY_MAX:
        return NEVER if day > 0 else day * DAY + minute * MINUTE
    midnight = datetime.combine(EPOCH + timedelta(days=day), datetime.min.time())
    wanted = midnight + timedelta(minutes=minute)
    local = wanted.replace(tzinfo=ZoneInfo(zone))
    at = to_micros(local)
    if _shown(local.tzinfo, at) == wanted:
        return at
    # In a gap: read by the clock of after it, the time lies before it, and the other way round.
    before, after = to_micros(local.replace(fold=1)), at
    while after - before > 1:
        middle = (before + after) // 2
        if _shown(local.tzinfo, middle) < wanted:
            before = middle
        else:
            after = middle
    return after


def _shown(zone: Any, at: Micros) -> datetime:
    return from_micros(at).astimezone(zone).replace(tzinfo=None)


def earliest_anywhere(day: int, minute: int) -> Micros:
    """An instant no later than `instant_of` of any zone."""
    return day * DAY + minute * MINUTE - AHEAD_OF_UTC_MAX


def clock_shows(zone: str, minute: int, at: Micros) -> Micros:
    """The first instant from `at` on at which a local clock shows this minute of the day.

    A time that is skipped counts as shown in the first minute after the gap.
    """
    while True:
        begins = at - at % MINUTE
        clock = (begins + offset_of(zone, begins)) % DAY
        until_shown = minute * MINUTE - clock
        if until_shown == 0 or _is_skipped(zone, minute, begins):
            return at
        end = begins + until_shown % DAY
        changes_at = next_change(zone, at, end)
        if changes_at is None:
            return end
        at = changes_at


def _is_skipped(zone: str, minute: int, at: Micros) -> bool:
    """Whether the clock leaps over this minute of the day at this very instant."""
    before = offset_of(zone, at - 1)
    leap = offset_of(zone, at) - before
    return (minute - (at + before) // MINUTE) % MINUTES_OF_DAY < leap // MINUTE


def offset_of(zone: str, at: Micros) -> int:
    """Microseconds that a local clock is ahead of UTC."""
    local = from_micros(at).astimezone(ZoneInfo(zone)).utcoffset()
    assert local is not None
    return local // _MICROSECOND


def next_change(zone: str, after: Micros, until: Micros) -> Micros | None:
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
        high, before = low + HOUR, offset_of(zone, low)
        if offset_of(zone, high) == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset_of(zone, middle) == before else (low, middle)
        found.append(high)
    return tuple(found)
