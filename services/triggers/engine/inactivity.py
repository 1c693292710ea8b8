"""Nobody heard of them for a time: `entry.inactivity`."""

from typing import Final

from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.ears import Ear
from services.triggers.engine.limits import NEVER, SLOT_BYTES
from services.triggers.engine.sensors import DUE, Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot

_LAST: Final = 1


class InactivitySensor:
    """Slot: `[due, last]`. Activity moves `last` alone; the look finds it and puts itself off."""

    for_everyone = for_blank = False

    def __init__(self, making: Making) -> None:
        entry = making.trigger.entry.inactivity
        assert entry is not None
        self.hears = frozenset(entry.events)
        self._lasts = parse_duration(entry.lasts)

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, late: bool
    ) -> Sensed:
        """Remember it; being late makes it no less a sign of life."""
        if slot is None:
            return [at + self._lasts, at], ()
        if at > slot[_LAST]:
            slot[_LAST] = at
            if slot[DUE] == NEVER:
                slot[DUE] = at + self._lasts
        return slot, ()

    def listen(self, ear: Ear, name: str, slot: str, tell: str) -> list[str]:
        """Nearly always they are heard of anew while they are waited for."""
        return [
            "if x is None:",
            f"    slots[{slot}] = [(y := at + {ear.constant(self._lasts)}), at]",
            f"    z += {ear.adding(SLOT_BYTES)}",
            "    if y < due:",
            "        due = y",
            f"elif x[{DUE}] == {ear.constant(NEVER)}:",
            f"    {tell}",
            f"elif at > x[{_LAST}]:",
            f"    x[{_LAST}] = at",
        ]

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """They come in once, and again only after another sign of life."""
        assert slot is not None
        due = slot[_LAST] + self._lasts
        if now < due:
            slot[DUE] = due
            return slot, ()
        slot[DUE] = NEVER
        entered = Entered(event_id=f"inactivity@{due}", properties={}, origin_received_at=now)
        return slot, (entered,)

    def merge(
        self, slot: Slot | None, other: Slot | None, state: PersonState, now: Micros
    ) -> Sensed:
        """The later sign of life counts, and whether they have come in since that one."""
        if slot is None or other is None:
            return slot or other, ()
        if other[_LAST] == slot[_LAST]:
            slot[DUE] = max(slot[DUE], other[DUE])
        return (other if other[_LAST] > slot[_LAST] else slot), ()

    def leave(self, slot: Slot, mark: int | None) -> Slot | None:
        """They are not waited for any more, until another sign of life."""
        # The last one stays: an older one that comes late is none.
        slot[DUE] = NEVER
        return slot
