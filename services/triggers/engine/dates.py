"""A day of the person's own: `entry.date`."""

import re
from datetime import date, timedelta
from typing import Any, Final

from services.contracts.event import IDENTIFY, RESERVED_NAMES, Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.clauses import lookup
from services.triggers.engine.limits import NEVER
from services.triggers.engine.local import (
    EPOCH,
    earliest_anywhere,
    instant_of,
    local_of,
    minute_of_day,
    own_calendar,
)
from services.triggers.engine.sensors import DUE, Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot

_DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:$|[T ])")
_YEAR_MAX: Final = 2_110
"""No log goes so far."""
_BASE: Final = 1
_DAY: Final = 2


def date_of(value: Any) -> date | None:
    """The date that a trait's text begins with, as it is written; None where there is none.

    A time of day may follow, and an offset: neither is looked at, for most such texts are
    dates that a program wrote out with the midnight of some zone.
    """
    match = _DATE.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return date.fromisoformat(match[1])
    except ValueError:
        return None


def anniversary(base: date, year: int) -> date:
    """The same day of another year; 29 February is the 28th where there is none."""
    try:
        return base.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


class DateSensor:
    """Slot: `[due, base, day]`: the trait's date and the next day to come, as day numbers.

    Zones change until the day is there: it looks first when the time has come anywhere, and
    then when it has come for the person. The slot stays when no day is left, so that the same
    date told again begins nothing.
    """

    hears = frozenset({RESERVED_NAMES[IDENTIFY]})
    for_everyone = True
    for_blank = False

    def __init__(self, making: Making) -> None:
        entry = making.trigger.entry.date
        assert entry is not None
        self._trait = entry.trait
        self._offset = entry.offset_days
        self._minute = minute_of_day(entry.at)
        self._yearly = entry.yearly
        self._send_within = parse_duration(making.trigger.send_within)
        self._calendar = making.calendar

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, late: bool
    ) -> Sensed:
        """Another date begins anew; the same in another zone may be there earlier."""
        base = date_of(lookup(state.traits, self._trait))
        if base is None:
            return None, ()
        if slot is None or slot[_BASE] != (base - EPOCH).days:
            return self._begin(base, state, state.now), ()
        if slot[DUE] != NEVER:
            slot[DUE] = min(slot[DUE], self._instant(slot[_DAY], state))
        return slot, ()

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """Whoever could not be looked at for longer than `send_within` has missed the day."""
        base = date_of(lookup(state.traits, self._trait))
        if base is None:
            return None, ()
        if slot is None:
            return self._begin(base, state, now), ()
        day = slot[_DAY]
        instant = self._instant(day, state)
        if now < instant:
            slot[DUE] = instant
            return slot, ()
        slot = self._slot(base, day + 1, state, now)
        if now >= instant + self._send_within:
            return slot, ()
        entered = Entered(event_id=f"date@{instant}", properties={}, origin_received_at=now)
        return slot, (entered,)

    def merge(
        self, slot: Slot | None, other: Slot | None, state: PersonState, now: Micros
    ) -> Sensed:
        """Their own day stays; the other's is taken over with the date."""
        base = date_of(lookup(state.traits, self._trait))
        if base is None:
            return None, ()
        day = (base - EPOCH).days
        kept = next((one for one in (slot, other) if one is not None and one[_BASE] == day), None)
        if kept is None:
            return self._begin(base, state, now), ()
        if kept[DUE] != NEVER:
            kept[DUE] = min(kept[DUE], self._instant(kept[_DAY], state))
        return kept, ()

    def _begin(self, base: date, state: PersonState, now: Micros) -> Slot:
        return self._slot(base, local_of(self._zone(state), now)[0], state, now)

    def _slot(self, base: date, from_day: int, state: PersonState, now: Micros) -> Slot:
        """The slot of the first of its days from `from_day` on whose time is still to come."""
        base_day = (base - EPOCH).days
        day = self._next_day(base, from_day)
        if day is not None and self._instant(day, state) <= now:
            day = self._next_day(base, day + 1)
        if day is None:
            return [NEVER, base_day, base_day]
        early = earliest_anywhere(day, self._minute)
        return [early if early > now else self._instant(day, state), base_day, day]

    def _next_day(self, base: date, from_day: int) -> int | None:
        if not self._yearly:
            day = (base - EPOCH).days + self._offset
            return day if day >= from_day else None
        first = max(base.year, (EPOCH + timedelta(days=from_day - self._offset)).year)
        for year in range(first, min(first + 2, _YEAR_MAX)):
            day = (anniversary(base, year) - EPOCH).days + self._offset
            if day >= from_day:
                return day
        return None

    def _instant(self, day: int, state: PersonState) -> Micros:
        return instant_of(self._zone(state), day, self._minute)

    def _zone(self, state: PersonState) -> str:
        return own_calendar(state, self._calendar).zone
