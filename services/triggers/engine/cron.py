"""Cron expressions: five fields, their times of day and days, and when they come next.

The fields are those of crontab(5): minute, hour, day of month, month, day of week (0 and 7
are Sunday). A field is `*`, a value, a range, a list of these, and after `*` or a range a step;
months and days of the week have English names of three letters. Where neither day field
begins with `*`, one of the two has to match, else both.
"""

from bisect import bisect_left
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

import msgspec

from services.contracts.time import DAY, MINUTE, Micros
from services.triggers.engine.limits import INSTANT_MAX, NEVER
from services.triggers.engine.local import EPOCH, instant_of, local_of

_FIELDS: Final = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day of month", 1, 31, ""),
    ("month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    ("day of week", 0, 7, "sun mon tue wed thu fri sat"),
)
_SUNDAY: Final = 7
_THURSDAY: Final = 4  # 1970-01-01
_CYCLE_DAYS: Final = 28 * 365 + 7
"""After 28 years dates fall on the same days of the week again, from 1901 to 2099."""
_DAY_MAX: Final = INSTANT_MAX // DAY


class BadCron(ValueError):
    """The text is no cron expression; the message says which part and why."""


class Cron(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed expression. `minutes_of_day` ascend; `days_of_week` count from Sunday, 0."""

    minutes_of_day: tuple[int, ...]
    days_of_month: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]
    either_day: bool

    def on(self, day: int) -> bool:
        """Whether it has times on a day, counted from 1970-01-01."""
        civil = EPOCH + timedelta(days=day)
        if civil.month not in self.months:
            return False
        of_month = civil.day in self.days_of_month
        of_week = (day + _THURSDAY) % 7 in self.days_of_week
        return of_month or of_week if self.either_day else of_month and of_week

    def next_after(self, at: Micros, zone: str) -> Micros:
        """The first instant after `at` at which it is due; `NEVER` where none is before 2100.

        Local times that a change of clocks skips are due at the first instant after the gap,
        all of them once; repeated ones the first time only.
        """
        day, minute = local_of(zone, at)
        while day <= _DAY_MAX:
            if self.on(day):
                first = bisect_left(self.minutes_of_day, minute)
                for due in self.minutes_of_day[first:]:
                    found = instant_of(zone, day, due)
                    if found > at:
                        return found if found < INSTANT_MAX else NEVER
            day, minute = day + 1, 0
        return NEVER


def parse_cron(text: str) -> Cron:
    """Read an expression.

    Raises:
        BadCron: with the field, the part and what is wrong with it.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        names = ", ".join(name for name, *_ in _FIELDS)
        raise BadCron(f"five fields are needed ({names}), found {len(parts)}")
    minutes, hours, days, months, weekdays = (
        _values(part, *field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    return Cron(
        minutes_of_day=tuple(hour * 60 + minute for hour in sorted(hours) for minute in minutes),
        days_of_month=frozenset(days),
        months=frozenset(months),
        days_of_week=frozenset(day % _SUNDAY for day in weekdays),
        either_day=not (parts[2].startswith("*") or parts[4].startswith("*")),
    )


def _values(text: str, field: str, low: int, high: int, names: str) -> list[int]:
    named = {name: low + number for number, name in enumerate(names.split())}
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        first_text, dash, last_text = span.partition("-")
        if span == "*":
            # Sunday has two numbers, and a step must not meet it twice.
            first, last = low, high - 1 if high == _SUNDAY else high
        else:
            first = _value(first_text, part, field, low, high, named)
            last = _value(last_text, part, field, low, high, named) if dash else first
            if last == 0 < first and high == _SUNDAY:
                last = _SUNDAY  # fri-sun
        if last < first:
            raise BadCron(f"{field} {part!r}: the range ends before it begins")
        step = 1
        if slash:
            if span != "*" and not dash:
                raise BadCron(f"{field} {part!r}: a step goes with * or a range")
            if not _is_number(step_text) or int(step_text) == 0:
                raise BadCron(f"{field} {part!r}: the step is no whole number from 1 on")
            step = int(step_text)
        found.update(range(first, last + 1, step))
    return sorted(found)


def _value(text: str, part: str, field: str, low: int, high: int, named: dict[str, int]) -> int:
    if text.lower() in named:
        return named[text.lower()]
    if not _is_number(text):
        raise BadCron(f"{field} {part!r}: {text!r} is not understood")
    value = int(text)
    if not low <= value <= high:
        raise BadCron(f"{field} {part!r}: {value} is outside {low} to {high}")
    return value


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


@lru_cache(maxsize=1_000)
def period_of(cron: Cron) -> int | None:
    """The shortest time between two times of it by the clock, in microseconds; None where it
    never comes."""
    days = [day for day in range(_CYCLE_DAYS) if cron.on(day)]
    if not days:
        return None
    times = cron.minutes_of_day
    within = [(later - earlier) * MINUTE for earlier, later in pairwise(times)]
    over_night = (times[0] - times[-1]) * MINUTE
    following = [*days[1:], days[0] + _CYCLE_DAYS]
    between = [
        (later - earlier) * DAY + over_night for earlier, later in zip(days, following, strict=True)
    ]
    return min(within + between)
