"""One after the other, close enough together: `entry.sequence`.

Slot: `[NEVER, events, settled]`. `events` are those that may yet serve, in order of event time
(of arrival where that is equal), in the bytes of `kept`: each has a bit for each part that it
fitted when it arrived. Nothing is kept of an event but this, so one is remembered too
that came before the part it follows. `settled` holds for each key the end of its last sequence.
"""

from typing import Final

from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.ears import Ear
from services.triggers.engine.kept import (
    EVENT_BYTES,
    STAMP_BYTES,
    at_of,
    key_of_event,
    mark_of_event,
    pack_event,
    split_events,
    stamp_of,
    unpack_events,
)
from services.triggers.engine.limits import NEVER, SEQUENCE_EVENTS_MAX, SLOT_BYTES, SLOTS_BYTES_MAX
from services.triggers.engine.sensors import Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot
from services.triggers.engine.waits import (
    NO_KEY,
    SETTLED,
    compile_match,
    has_room,
    has_room_for,
    key_reader,
    settle,
    settle_both,
    write_key,
    write_mark,
)

_EVENTS: Final = 1
_MORE_BYTES: Final = EVENT_BYTES + 4
"""Of another event, with what the length of all takes."""
_FULL: Final = SEQUENCE_EVENTS_MAX * EVENT_BYTES


class SequenceSensor:
    """Completed by whichever of its events arrives last; that one stands for it."""

    for_everyone = for_blank = False

    def __init__(self, making: Making) -> None:
        entry, way_out = making.trigger.entry.sequence, making.trigger.exit
        assert entry is not None
        self._entry = entry
        self._parts = [compile_match(part, making.read_tag) for part in entry.parts]
        self.hears = frozenset().union(*(part.events for part in self._parts))
        self._last = 1 << len(self._parts) - 1
        self._by_name = {
            name: [
                (1 << n, test)
                for n, part in enumerate(self._parts)
                if (test := part.test_of(name)) is not None
            ]
            for name in self.hears
        }
        self._within = parse_duration(entry.within)
        self._key = key_reader(entry.key)
        self._exit_paths = way_out.key if way_out is not None else ()
        self._exit_key = key_reader(self._exit_paths)
        self._late_after = making.late_after

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, late: bool
    ) -> Sensed:
        """Keep it in its place, and see whether it completes a sequence of its key."""
        parts, properties = 0, event.properties
        if not late:
            now = state.now
            for bit, fits in self._by_name[event.name]:
                if fits(properties, state, now):
                    parts |= bit
        if not parts:
            return slot, ()
        key = self._key(properties)
        if key is None:
            return slot, ()
        if slot is None:
            slot = [NEVER, b"", {}]
        if at < slot[SETTLED].get(key, -NEVER):
            return slot, ()
        mark = self._exit_key(properties) or NO_KEY
        stamp = stamp_of(at)
        events = self._forget(slot[_EVENTS], state.now)
        place = _place(events, stamp)
        newest = place == len(events)
        events = events[:place] + pack_event(stamp, key, mark, parts) + events[place:]
        slot[_EVENTS] = events
        # Until now none was complete: the newest completes one only as its last part.
        end = None if newest and not parts & self._last else self._end(events, key)
        if end is None:
            return self._bounded(slot, state, _MORE_BYTES), ()
        self._use_up(slot, key, end, state)
        entered = Entered(
            event_id=event.message_id,
            properties=event.properties,
            origin_received_at=event.received_at,
        )
        return slot, (entered,)

    def listen(self, ear: Ear, name: str, slot: str, tell: str) -> list[str]:
        """Nearly always there is room for one that is the newest and not a last part."""
        key = write_key(ear, self._entry.key)
        fits = [
            (1 << n, None if part.where is None else ear.expression(part.where))
            for n, part in enumerate(self._entry.parts)
            if name in part.events
        ]
        if len(fits) > 1:
            test = " or ".join(one or "True" for _, one in fits)
            return [f"if {key} is not None and ({test}):", f"    {tell}"]
        part, wanted = fits[0]
        fitting = (
            f"if {key} is not None:" if wanted is None else f"if {key} is not None and {wanted}:"
        )
        if part == self._last:
            return [fitting, f"    {tell}"]
        stamp, mark = ear.stamp(), write_mark(ear, self._exit_paths)
        since = ear.stamp("now", -self._late_after - self._within)
        kept = ear.later(f"{ear.constant(pack_event)}({stamp}, {key}, {mark}, {part})")
        done = f"at < x[{SETTLED}].get({key}, {ear.constant(-NEVER)})"
        older, settled = f"not {since} <= (e := x[{_EVENTS}])", f"x[{SETTLED}] and {done}"
        newer = f"e[-{EVENT_BYTES}:-{EVENT_BYTES - STAMP_BYTES}] > {stamp}"
        less = ear.constant(_without_one)
        return [
            fitting,
            "    if x is None:",
            f"        slots[{slot}] = [{ear.constant(NEVER)}, {kept}, {{}}]",
            f"        z += {ear.adding(SLOT_BYTES + _MORE_BYTES)}",
            f"    elif {older} or {settled} or {newer}:",
            f"        {tell}",
            "    else:",
            f"        x[{_EVENTS}] = e + {kept} if len(e) < {_FULL} else {less}(e + {kept})",
            f"        z += {_MORE_BYTES}",
        ]

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """Never asked for: time alone completes nothing."""
        return slot, ()

    def leave(self, slot: Slot, mark: int | None) -> Slot | None:
        """Forget the events that may yet serve, with a mark only those that bear it."""
        slot[_EVENTS] = b"".join(
            one for one in split_events(slot[_EVENTS]) if mark not in (None, mark_of_event(one))
        )
        return slot if slot[_EVENTS] or slot[SETTLED] else None

    def merge(
        self, slot: Slot | None, other: Slot | None, state: PersonState, now: Micros
    ) -> Sensed:
        """The events of both in one order: what neither of the two had done may be complete."""
        if slot is None or other is None:
            slot = slot or other
            return None if slot is None else self._bounded(slot, state, SLOTS_BYTES_MAX), ()
        settle_both(slot, other)
        done = slot[SETTLED]
        events = split_events(slot[_EVENTS]) + split_events(other[_EVENTS])
        events.sort(key=lambda one: one[:STAMP_BYTES])
        slot[_EVENTS] = b"".join(
            one
            for one in split_events(self._forget(b"".join(events), state.now))
            if at_of(one) >= done.get(key_of_event(one), -NEVER)
        )
        entered = []
        for key in dict.fromkeys(map(key_of_event, split_events(slot[_EVENTS]))):
            while (end := self._end(slot[_EVENTS], key)) is not None:
                at = at_of(slot[_EVENTS][end:])
                self._use_up(slot, key, end, state)
                entered.append(
                    Entered(event_id=f"sequence@{at}", properties={}, origin_received_at=now)
                )
        return self._bounded(slot, state, SLOTS_BYTES_MAX), entered

    def _use_up(self, slot: Slot, key: int, end: int, state: PersonState) -> None:
        """A completed sequence takes with it all of its key that came before its end."""
        events: bytes = slot[_EVENTS]
        settle(state, slot, key, at_of(events[end:]), state.now - self._late_after)
        end += EVENT_BYTES
        left = [one for one in split_events(events[:end]) if key_of_event(one) != key]
        slot[_EVENTS] = b"".join(left) + events[end:]

    @staticmethod
    def _bounded(slot: Slot, state: PersonState, more: int) -> Slot | None:
        """The slot with as many of its events as there is room for, `more` bytes of them new."""
        while len(slot[_EVENTS]) > _FULL:
            slot[_EVENTS] = _without_one(slot[_EVENTS])
        if not has_room_for(state, more):
            while slot[_EVENTS] and not has_room(state, slot):
                slot[_EVENTS] = _without_one(slot[_EVENTS])
        return slot if slot[_EVENTS] or slot[SETTLED] else None

    def _forget(self, events: bytes, now: Micros) -> bytes:
        """Without the events from which no sequence can begin any more, whatever still arrives."""
        before, gone = stamp_of(now - self._late_after - self._within), 0
        while gone < len(events) and events[gone : gone + STAMP_BYTES] < before:
            gone += EVENT_BYTES
        return events[gone:]

    def _end(self, events: bytes, key: int) -> int | None:
        """Where the event begins with which the first complete sequence of the key ends."""
        # For each number of parts: the latest instant at which so many of them can have begun.
        last = len(self._parts) - 1
        begun: list[Micros | None] = [None] * len(self._parts)
        for n, (stamp, its_key, _, parts) in enumerate(unpack_events(events)):
            if its_key != key:
                continue
            at = at_of(stamp)
            # From the last part to the first, so that no event serves as two.
            for part in range(last, -1, -1):
                if not parts >> part & 1:
                    continue
                since = at if part == 0 else begun[part - 1]
                if since is None or at - since > self._within:
                    continue
                if part == last:
                    return n * EVENT_BYTES
                before = begun[part]
                begun[part] = since if before is None else max(before, since)
        return None


def _place(events: bytes, stamp: bytes) -> int:
    """Where an event belongs among others: behind those that are not later."""
    place = len(events)
    while place and events[place - EVENT_BYTES : place - EVENT_BYTES + STAMP_BYTES] > stamp:
        place -= EVENT_BYTES
    return place


def _without_one(events: bytes) -> bytes:
    """Without the event to do without: one that its key's next replaces, else one that waits
    for something before it to arrive yet, else the oldest."""
    latest: dict[int, tuple[int, int, int]] = {}
    gone = without_beginning = None
    for number, (_, key, mark, parts) in enumerate(unpack_events(events)):
        before = latest.get(key)
        if before is not None:
            other, its_mark, its_parts = before
            if its_parts == parts and its_mark == mark and not parts & (parts - 1):
                gone = other
                break
        elif not parts & 1 and without_beginning is None:
            without_beginning = number
        latest[key] = number, mark, parts
    at = (without_beginning or 0 if gone is None else gone) * EVENT_BYTES
    return events[:at] + events[at + EVENT_BYTES :]
