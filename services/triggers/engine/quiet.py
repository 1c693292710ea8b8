"""Quiet hours: is the person's clock inside them, and at which instant does it leave them.

An instant is quiet where the local clock, as it stands then, is. So an hour that a change of
clocks repeats can be quiet twice, one that it skips never comes, and the end is the first
instant from which the clock is outside.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from services.contracts.command import NotBetween
from services.contracts.definitions import QuietHours
from services.contracts.time import DAY, MINUTE, Micros
from services.triggers.engine.local import (
    MINUTES_OF_DAY,
    minute_of_day,
    next_change,
    offset_of,
)

ZONES_MEMO_MAX: Final = 1_024

QuietTable = tuple[int, ...]
"""For each minute of a local day how many quiet minutes follow by the clock, 0: not quiet."""


def hours_of(hours: Iterable[QuietHours], channel: str) -> tuple[QuietHours, ...]:
    """The windows that concern a channel; those without channels concern all."""
    return tuple(one for one in hours if not one.channels or channel in one.channels)


@lru_cache(maxsize=ZONES_MEMO_MAX)
def quiet_windows(hours: tuple[QuietHours, ...], zone: str) -> tuple[NotBetween, ...]:
    """The windows as a command bears them."""
    return tuple(NotBetween(start=one.start, end=one.end, zone=zone) for one in hours)


def quiet_minutes(hours: Iterable[QuietHours], channel: str) -> list[bool]:
    """Which minutes of a local day are quiet for a channel; windows add up."""
    quiet = [False] * MINUTES_OF_DAY
    for one in hours_of(hours, channel):
        minute, end = minute_of_day(one.start), minute_of_day(one.end)
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
        clock = (until + offset_of(zone, until)) % DAY
        minutes = table[clock // MINUTE]
        if minutes == 0:
            return until if until > at else None
        end = until + minutes * MINUTE - clock % MINUTE
        changes_at = next_change(zone, until, end)
        if changes_at is None:
            return end
        until = changes_at
