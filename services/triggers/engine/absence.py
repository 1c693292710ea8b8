"""Something happened, and what should have followed did not: `entry.absence`.

Slot: `[due, waits, settled]`. `waits` holds for each key `[at, event id, mark, properties]` of
the last `after`. `settled` holds for each key the instant up to which nothing begins any more,
because `without` happened or the entry fired: an `after` overtaken on its way may come later.
What is overtaken by more than `late_after` begins nothing, so that long it is remembered.
"""

from typing import Any

from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.limits import (
    NEVER,
    UTF8_BYTES_A_CHAR_MAX,
    WAITING_KEYS_MAX,
)
from services.triggers.engine.sensors import DUE, Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot
from services.triggers.engine.waits import (
    INSTANT_BYTES,
    NO_KEY,
    SETTLED,
    compile_match,
    decode_properties,
    encode,
    has_room,
    has_room_for,
    kept_properties,
    key_reader,
    settle,
    settle_both,
)

_WAITS = 1
_WAIT_BYTES = 4 * INSTANT_BYTES + 10
"""Of a wait with its key, at most, without its event's id and properties."""
_AT, _EVENT_ID, _MARK, _PROPERTIES = 0, 1, 2, 3

Waits = dict[int, list[Any]]


class AbsenceSensor:
    """Waits by event time, for each key by itself; the last `after` of a key counts."""

    for_everyone = False

    def __init__(self, making: Making) -> None:
        entry, way_out = making.trigger.entry.absence, making.trigger.exit
        assert entry is not None
        after, without = (
            compile_match(one, making.read_tag) for one in (entry.after, entry.without)
        )
        self.hears = after.events | without.events
        self._tests = {name: (after.test_of(name), without.test_of(name)) for name in self.hears}
        self._within = parse_duration(entry.within)
        self._key = key_reader(entry.key)
        self._exit_key = key_reader(way_out.key if way_out is not None else ())
        self._late_after = making.late_after

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, late: bool
    ) -> Sensed:
        """Begin to wait, wait anew, or be content. What would do both begins anew."""
        after, without = self._tests[event.name]
        properties = event.properties
        now = state.now
        begins = not late and after is not None and after(properties, state, now)
        if not begins and (without is None or not without(properties, state, now)):
            return slot, ()
        key = self._key(properties)
        if key is None:
            return slot, ()
        if slot is None:
            slot = [NEVER, {}, {}]
        waits: Waits = slot[_WAITS]
        waiting = waits.get(key)
        if not begins:
            if waiting is not None and waiting[_AT] <= at:
                del waits[key]
            settle(state, slot, key, at, now - self._late_after)
        elif at > slot[SETTLED].get(key, -NEVER) and (waiting is None or at >= waiting[_AT]):
            self._wait(slot, key, at, event, state)
        return self._tidy(slot), ()

    def _wait(self, slot: Slot, key: int, at: Micros, event: Event, state: PersonState) -> None:
        waits: Waits = slot[_WAITS]
        waiting = waits.get(key)
        kept = kept_properties(event.properties)
        wait = waits[key] = [at, event.message_id, self._exit_key(event.properties) or NO_KEY, kept]
        if at + self._within < slot[DUE]:
            slot[DUE] = at + self._within
        size = len(kept) + UTF8_BYTES_A_CHAR_MAX * len(event.message_id) + _WAIT_BYTES
        surely = has_room_for(state, size) and len(waits) <= WAITING_KEYS_MAX
        if not surely and (waiting is None or len(encode(wait)) > len(encode(waiting))):
            self._bound(waits, slot, state)

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
            settle(state, slot, key, at, now - self._late_after)
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

    @staticmethod
    def _tidy(slot: Slot) -> Slot | None:
        if slot[_WAITS]:
            return slot
        slot[DUE] = NEVER
        return slot if slot[SETTLED] else None
