"""Tags that count time: `recency` and `tenure`, whole days since the last and the first event.

Data: `[NEVER, at]`. A day is 24 hours: 0 until the first is over, by event time throughout.
"""

from collections.abc import Callable
from typing import Any, Final

from services.contracts.time import DAY, Micros
from services.triggers.engine.limits import NEVER
from services.triggers.engine.state import PersonState, TagData, Tags
from services.triggers.engine.tags import Properties, Rolling

_AT: Final = 1


def recency(key: int) -> Rolling:
    """Whole days since the latest event."""
    return _since(key, max)


def tenure(key: int) -> Rolling:
    """Whole days since the earliest event."""
    return _since(key, min)


def _since(key: int, better: Callable[[Micros, Micros], Micros]) -> Rolling:
    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        data = tags.get(key)
        if data is None:
            tags[key] = [NEVER, at]
        else:
            data[_AT] = better(data[_AT], at)
        return True

    def merge(data: TagData, other: TagData, now: Micros) -> None:
        data[_AT] = better(data[_AT], other[_AT])

    return Rolling(key=key, update=update, read=_days, empty=None, merge=merge)


def _days(data: TagData, now: Micros) -> Any:
    # An event may be dated a little ahead: it is of today.
    return max(0, now - data[_AT]) // DAY


class DaysClock:
    """The clock of one of these tags."""

    ends: tuple[int, ...] = ()

    def __init__(self, key: int) -> None:
        self._key = key

    def value(self, state: PersonState, at: Micros) -> int | None:
        """Days since the event that counts."""
        data = state.tags.get(self._key)
        return None if data is None else max(0, at - data[_AT]) // DAY

    def reaches(self, state: PersonState, value: int, at: Micros) -> Micros:
        """That event's time, so many days later."""
        begins: Micros = state.tags[self._key][_AT]
        return begins + value * DAY
