"""Something happened, and what should have followed did not: `entry.absence`.

Slot: `[due, waits, settled]`. `waits` holds for each key `[at, event id, mark, properties]` of
the last `after`. `settled` holds for each key the instant up to which nothing begins any more,
because `without` happened or the entry fired: an `after` overtaken on its way may come later.
What is overtaken by more than `late_after` begins nothing, so that long it is remembered.
"""

from typing import Any

from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.limits import NEVER, WAITING_KEYS_MAX
from services.triggers.engine.sensors import DUE, Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot
from services.triggers.engine.waits import (
    SETTLED,
    compile_match,
    decode_properties,
    encode,
    has_room,
    kept_properties,
    key_of,
    mark_of,
    settle,
    settle_both,
)

_WAITS = 1
_AT, _EVENT_ID, _MARK, _PROPERTIES = 0, 1, 2, 3

Waits = dict[int, list[Any]]


class AbsenceSensor:
    """Waits by event time, for each key by itself; the last `after` of a key counts."""

    for_everyone = False

    def __init__(self, making: Making) -> None:
        entry, way_out = making.trigger.entry.absence, making.trigger.exit
        assert entry is not None
        self._after = compile_match(entry.after, making.read_tag)
        self._without = compile_match(entry.without, making.read_tag)
        self.hears = self._after.events | self._without.events
        self._within = parse_duration(entry.within)
        self._key = entry.key
        self._exit_key = way_out.key if way_out is not None else ()
        self._late_after = making.late_after

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, *, late: bool
    ) -> Sensed:
        """Begin to wait, wait anew, or be content. What would do both begins anew."""
        begins = not late and self._after.fits(event, state)
        if not begins and not self._without.fits(event, state):
            return slot, ()
        key = key_of(event.properties, self._key)
        if key is None:
            return slot, ()
        if slot is None:
            slot = [NEVER, {}, {}]
        waits: Waits = slot[_WAITS]
        waiting = waits.get(key)
        if not begins:
            if waiting is not None and waiting[_AT] <= at:
                del waits[key]
            self._settle(slot, key, at, state)
        elif at > slot[SETTLED].get(key, -NEVER) and (waiting is None or at >= waiting[_AT]):
            mark = mark_of(event.properties, self._exit_key)
            wait = [at, event.message_id, mark, kept_properties(event.properties)]
            waits[key] = wait
            slot[DUE] = min(slot[DUE], at + self._within)
            if waiting is None or len(encode(wait)) > len(encode(waiting)):
                self._bound(waits, slot, state)
        return self._tidy(slot), ()

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """Those whose time is over come in, the first of them first."""
        assert slot is not None
        waits: Waits = slot[_WAITS]
        entered = []
        for at, key in sorted((wait[_AT], key) for key, wait in waits.items()):
            if at + self._within > now:
                break
            wait = waits.pop(key)
            entered.append(
                Entered(
                    event_id=wait[_EVENT_ID],
                    properties=decode_properties(wait[_PROPERTIES]),
                    origin_received_at=now,
                )
            )
            self._settle(slot, key, at, state)
        slot[DUE] = min((wait[_AT] + self._within for wait in waits.values()), default=NEVER)
        return self._tidy(slot), entered

    def leave(self, slot: Slot, mark: int | None) -> Slot | None:
        """End what waits, with a mark only what bears it."""
        waits: Waits = slot[_WAITS]
        for key in [key for key, wait in waits.items() if mark is None or wait[_MARK] == mark]:
            del waits[key]
        return self._tidy(slot)

    def merge(
        self, slot: Slot | None, other: Slot | None, state: PersonState, now: Micros
    ) -> Sensed:
        """The last `after` of each key counts, unless either of the two is done with it."""
        if slot is None or other is None:
            slot, other = slot or other, None
        if slot is None:
            return None, ()
        waits: Waits = slot[_WAITS]
        if other is not None:
            settle_both(slot, other)
            for key, wait in other[_WAITS].items():
                if key not in waits or waits[key][_AT] < wait[_AT]:
                    waits[key] = wait
        done = slot[SETTLED]
        for key in [key for key, wait in waits.items() if wait[_AT] <= done.get(key, -NEVER)]:
            del waits[key]
        self._bound(waits, slot, state)
        slot[DUE] = min((wait[_AT] + self._within for wait in waits.values()), default=NEVER)
        return self._tidy(slot), ()

    @staticmethod
    def _bound(waits: Waits, slot: Slot, state: PersonState) -> None:
        while waits and (len(waits) > WAITING_KEYS_MAX or not has_room(state, slot)):
            del waits[min(waits, key=lambda one: (waits[one][_AT], one))]

    def _settle(self, slot: Slot, key: int, at: Micros, state: PersonState) -> None:
        settle(state, slot, key, at, state.now - self._late_after)

    @staticmethod
    def _tidy(slot: Slot) -> Slot | None:
        if slot[_WAITS]:
            return slot
        slot[DUE] = NEVER
        return slot if slot[SETTLED] else None
