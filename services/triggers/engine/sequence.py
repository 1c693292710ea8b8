"""One after the other, close enough together: `entry.sequence`.

Slot: `[NEVER, events, settled]`. `events` are those that may yet serve, in order of event time
(of arrival where that is equal), each `[at, key, parts, mark]`: `parts` has a bit for each part
that it fitted when it arrived. Nothing is kept of an event but this, so one is remembered too
that came before the part it follows. `settled` holds for each key the end of its last sequence.
"""

from bisect import bisect_right
from typing import Any

from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.limits import NEVER, SEQUENCE_EVENTS_MAX, SLOTS_BYTES_MAX
from services.triggers.engine.sensors import Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot
from services.triggers.engine.waits import (
    INSTANT_BYTES,
    NO_KEY,
    SETTLED,
    compile_match,
    has_room,
    has_room_for,
    key_reader,
    settle,
    settle_both,
)

_EVENTS = 1
_AT, _KEY, _PARTS, _MARK = 0, 1, 2, 3
_KEPT_BYTES = 4 * INSTANT_BYTES + 1

Kept = list[Any]


class SequenceSensor:
    """Completed by whichever of its events arrives last; that one stands for it."""

    for_everyone = False

    def __init__(self, making: Making) -> None:
        entry, way_out = making.trigger.entry.sequence, making.trigger.exit
        assert entry is not None
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
        self._exit_key = key_reader(way_out.key if way_out is not None else ())
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
            slot = [NEVER, [], {}]
        if at < slot[SETTLED].get(key, -NEVER):
            return slot, ()
        events: list[Kept] = slot[_EVENTS]
        kept = [at, key, parts, self._exit_key(properties) or NO_KEY]
        if events:
            self._forget(events, state.now)
        newest = not events or at >= events[-1][_AT]
        if newest:
            events.append(kept)
        else:
            events.insert(bisect_right(events, at, key=_at), kept)
        # Until now none was complete: the newest completes one only as its last part.
        end = None if newest and not parts & self._last else self._end(events, key)
        if end is None:
            return self._bounded(slot, state, _KEPT_BYTES), ()
        self._use_up(slot, key, end, state)
        entered = Entered(
            event_id=event.message_id,
            properties=event.properties,
            origin_received_at=event.received_at,
        )
        return slot, (entered,)

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """Never asked for: time alone completes nothing."""
        return slot, ()

    def leave(self, slot: Slot, mark: int | None) -> Slot | None:
        """Forget the events that may yet serve, with a mark only those that bear it."""
        slot[_EVENTS] = [one for one in slot[_EVENTS] if mark is not None and one[_MARK] != mark]
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
        events: list[Kept] = sorted([*slot[_EVENTS], *other[_EVENTS]], key=_at)
        self._forget(events, state.now)
        slot[_EVENTS] = [one for one in events if one[_AT] >= done.get(one[_KEY], -NEVER)]
        entered = []
        for key in dict.fromkeys(one[_KEY] for one in slot[_EVENTS]):
            while (end := self._end(slot[_EVENTS], key)) is not None:
                at = slot[_EVENTS][end][_AT]
                self._use_up(slot, key, end, state)
                entered.append(
                    Entered(event_id=f"sequence@{at}", properties={}, origin_received_at=now)
                )
        return self._bounded(slot, state, SLOTS_BYTES_MAX), entered

    def _use_up(self, slot: Slot, key: int, end: int, state: PersonState) -> None:
        """A completed sequence takes with it all of its key that came before its end."""
        events: list[Kept] = slot[_EVENTS]
        settle(state, slot, key, events[end][_AT], state.now - self._late_after)
        slot[_EVENTS] = [one for n, one in enumerate(events) if n > end or one[_KEY] != key]

    @staticmethod
    def _bounded(slot: Slot, state: PersonState, more: int) -> Slot | None:
        """The slot with as many of its events as there is room for, `more` bytes of them new."""
        events: list[Kept] = slot[_EVENTS]
        while len(events) > SEQUENCE_EVENTS_MAX:
            del events[_dispensable(events)]
        if not has_room_for(state, more):
            while events and not has_room(state, slot):
                del events[_dispensable(events)]
        return slot if events or slot[SETTLED] else None

    def _forget(self, events: list[Kept], now: Micros) -> None:
        """Drop the events from which no sequence can begin any more, whatever still arrives."""
        before = now - self._late_after - self._within
        gone = 0
        while gone < len(events) and events[gone][_AT] < before:
            gone += 1
        del events[:gone]

    def _end(self, events: list[Kept], key: int) -> int | None:
        """Index of the event with which the first complete sequence of the key ends."""
        # For each number of parts: the latest instant at which so many of them can have begun.
        last = len(self._parts) - 1
        begun: list[Micros | None] = [None] * len(self._parts)
        for n, (at, its_key, parts, _) in enumerate(events):
            if its_key != key:
                continue
            # From the last part to the first, so that no event serves as two.
            for part in range(last, -1, -1):
                if not parts >> part & 1:
                    continue
                since = at if part == 0 else begun[part - 1]
                if since is None or at - since > self._within:
                    continue
                if part == last:
                    return n
                before = begun[part]
                begun[part] = since if before is None else max(before, since)
        return None


def _at(event: Kept) -> Micros:
    at: Micros = event[_AT]
    return at


def _dispensable(events: list[Kept]) -> int:
    """The event to do without: one that its key's next replaces, else one that waits for
    something before it to arrive yet, else the oldest."""
    latest: dict[int, tuple[int, Kept]] = {}
    without_beginning: int | None = None
    for n, one in enumerate(events):
        _, key, parts, mark = one
        before = latest.get(key)
        if before is not None:
            number, other = before
            if other[_PARTS] == parts and other[_MARK] == mark and not parts & (parts - 1):
                return number
        elif not parts & 1 and without_beginning is None:
            without_beginning = n
        latest[key] = n, one
    return without_beginning or 0
