"""Something happened, and what should have followed did not: `entry.absence`.

Slot: `[due, waits, settled]`. `waits` holds for each key the last `after`, in the bytes of
`kept`. `settled` holds for each key the instant up to which nothing begins any more,
because `without` happened or the entry fired: an `after` overtaken on its way may come later.
What is overtaken by more than `late_after` begins nothing, so that long it is remembered.
"""

from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.ears import Ear
from services.triggers.engine.kept import (
    STAMP_BYTES,
    at_of,
    event_of_wait,
    mark_of_wait,
    pack_rest,
    pack_wait,
    stamp_of,
)
from services.triggers.engine.limits import (
    NEVER,
    SETTLED_KEYS_MAX,
    SLOT_BYTES,
    SLOTS_BYTES_MAX,
    WAIT_PROPERTIES_BYTES_MAX,
    WAITING_KEYS_MAX,
)
from services.triggers.engine.sensors import DUE, Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot
from services.triggers.engine.waits import (
    INSTANT_BYTES,
    NO_KEY,
    SETTLED,
    SETTLED_BYTES,
    UNSTORABLE,
    compile_match,
    decode_properties,
    has_room,
    has_room_for,
    kept_properties,
    key_reader,
    settle,
    settle_both,
    write_key,
    write_mark,
)

_WAITS = 1
_WAIT_BYTES = 2 * INSTANT_BYTES
"""Of a wait with its key, at most, without its bytes."""

Waits = dict[int, bytes]


def _wait_of(stamp: bytes, mark: int, event: Event) -> bytes:
    properties = event.properties
    try:
        # Written out: it is what an absence mostly costs.
        wait = stamp + pack_rest((mark, event.message_id, properties))
    except UNSTORABLE:
        pass
    else:
        if len(wait) <= WAIT_PROPERTIES_BYTES_MAX:
            return wait
    properties = decode_properties(kept_properties(properties))
    return pack_wait(stamp, mark, event.message_id, properties)


class AbsenceSensor:
    """Waits by event time, for each key by itself; the last `after` of a key counts."""

    for_everyone = for_blank = False

    def __init__(self, making: Making) -> None:
        entry, way_out = making.trigger.entry.absence, making.trigger.exit
        assert entry is not None
        self._entry = entry
        after, without = (
            compile_match(one, making.read_tag) for one in (entry.after, entry.without)
        )
        self.hears = after.events | without.events
        self._tests = {name: (after.test_of(name), without.test_of(name)) for name in self.hears}
        self._within = parse_duration(entry.within)
        self._key = key_reader(entry.key)
        self._exit_paths = way_out.key if way_out is not None else ()
        self._exit_key = key_reader(self._exit_paths)
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
            if waiting is not None and at_of(waiting) <= at:
                del waits[key]
            settle(state, slot, key, at, now - self._late_after)
        elif at > slot[SETTLED].get(key, -NEVER) and (waiting is None or at >= at_of(waiting)):
            mark = self._exit_key(properties) or NO_KEY
            self._wait(slot, key, at, _wait_of(stamp_of(at), mark, event), state)
        return self._tidy(slot), ()

    def listen(self, ear: Ear, name: str, slot: str, tell: str) -> list[str]:
        """Nearly always there is room: then an `after` takes the last one's place, and a
        `without` ends what waits."""
        after, without = self._tests[name]
        if after is not None and without is not None:
            return [tell]
        match = self._entry.without if after is None else self._entry.after
        key = write_key(ear, self._entry.key)
        test = "" if match.where is None else f" and {ear.expression(match.where)}"
        write = self._listen_without if after is None else self._listen_after
        lines = write(ear, key, slot, tell)
        return [f"if {key} is not None{test}:", *(f"    {line}" for line in lines)]

    def _listen_after(self, ear: Ear, key: str, slot: str, tell: str) -> list[str]:
        stamp, mark = ear.stamp(), write_mark(ear, self._exit_paths)
        wait = ear.later(f"{ear.constant(_wait_of)}({stamp}, {mark}, event)")
        over_at = ear.once(f"at + {ear.constant(self._within)}")
        more = ear.adding(SLOT_BYTES + _WAIT_BYTES)
        return [
            "if x is None:",
            f"    if z + len(n := {wait}) > {SLOTS_BYTES_MAX}:",
            f"        {tell}",
            "    else:",
            f"        slots[{slot}] = [{over_at}, {{{key}: n}}, {{}}]",
            f"        z += len(n) + {more}",
            f"        if {over_at} < due:",
            f"            due = {over_at}",
            f"elif at > x[{SETTLED}].get({key}, {ear.constant(-NEVER)}):",
            f"    w, n = x[{_WAITS}].get({key}), {wait}",
            f"    if len(x[{_WAITS}]) >= {WAITING_KEYS_MAX} or z + len(n) > {SLOTS_BYTES_MAX}:",
            f"        {tell}",
            f"    elif w is None or w[:{STAMP_BYTES}] <= {stamp}:",
            f"        x[{_WAITS}][{key}] = n",
            f"        z += len(n) + {_WAIT_BYTES}",
            f"        if {over_at} < x[{DUE}]:",
            f"            x[{DUE}] = {over_at}",
            f"            if {over_at} < due:",
            f"                due = {over_at}",
        ]

    def _listen_without(self, ear: Ear, key: str, slot: str, tell: str) -> list[str]:
        forgotten = ear.once(f"now - {ear.constant(self._late_after)}")
        more, stamp = ear.adding(SLOT_BYTES + SETTLED_BYTES), ear.stamp_later()
        # With another key those of before `forgotten` go: mostly there are none of these.
        crowded = f"len(d) >= {SETTLED_KEYS_MAX} or min(d.values()) < {forgotten}"
        return [
            "if x is None:",
            f"    slots[{slot}] = [{ear.constant(NEVER)}, {{}}, {{{key}: at}}]",
            f"    z += {more}",
            "else:",
            f"    d = x[{SETTLED}]",
            f"    u = d.get({key})",
            f"    if u is None and d and ({crowded}):",
            f"        {tell}",
            "    else:",
            "        if u is None:",
            f"            d[{key}] = at",
            f"            z += {SETTLED_BYTES}",
            "        elif at > u:",
            f"            d[{key}] = at",
            f"        w = x[{_WAITS}].get({key})",
            f"        if w is not None and w[:{STAMP_BYTES}] <= {stamp}:",
            f"            del x[{_WAITS}][{key}]",
            f"            if not x[{_WAITS}]:",
            f"                x[{DUE}] = {ear.constant(NEVER)}",
        ]

    def _wait(self, slot: Slot, key: int, at: Micros, wait: bytes, state: PersonState) -> None:
        waits: Waits = slot[_WAITS]
        waiting = waits.get(key)
        waits[key] = wait
        if at + self._within < slot[DUE]:
            slot[DUE] = at + self._within
        surely = has_room_for(state, len(wait) + _WAIT_BYTES) and len(waits) <= WAITING_KEYS_MAX
        if not surely and (waiting is None or len(wait) > len(waiting)):
            self._bound(waits, slot, state)

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """Those whose time is over come in, the first of them first."""
        assert slot is not None
        waits: Waits = slot[_WAITS]
        entered = []
        for at, key in sorted((at_of(wait), key) for key, wait in waits.items()):
            if at + self._within > now:
                break
            event_id, properties = event_of_wait(waits.pop(key))
            entered.append(
                Entered(
                    event_id=event_id,
                    properties=properties,
                    origin_received_at=now,
                )
            )
            settle(state, slot, key, at, now - self._late_after)
        slot[DUE] = self._due(waits)
        return self._tidy(slot), entered

    def leave(self, slot: Slot, mark: int | None) -> Slot | None:
        """End what waits, with a mark only what bears it."""
        waits: Waits = slot[_WAITS]
        for key in [key for key, wait in waits.items() if mark in (None, mark_of_wait(wait))]:
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
                if key not in waits or at_of(waits[key]) < at_of(wait):
                    waits[key] = wait
        done = slot[SETTLED]
        for key in [key for key, wait in waits.items() if at_of(wait) <= done.get(key, -NEVER)]:
            del waits[key]
        self._bound(waits, slot, state)
        slot[DUE] = self._due(waits)
        return self._tidy(slot), ()

    @staticmethod
    def _bound(waits: Waits, slot: Slot, state: PersonState) -> None:
        while waits and (len(waits) > WAITING_KEYS_MAX or not has_room(state, slot)):
            del waits[min(waits, key=lambda one: (at_of(waits[one]), one))]

    def _due(self, waits: Waits) -> Micros:
        return min((at_of(wait) + self._within for wait in waits.values()), default=NEVER)

    @staticmethod
    def _tidy(slot: Slot) -> Slot | None:
        if slot[_WAITS]:
            return slot
        slot[DUE] = NEVER
        return slot if slot[SETTLED] else None
