"""Entries over tags: `entry.tag_change` and `entry.threshold`.

What a person's tags look like to the entry is remembered; they come in when it becomes
something else. Events change tags, and so does time: at the instants at which a bucket leaves
its window, and there it looks at each of them as of that instant.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import floor
from typing import Any, Final

from services.contracts.conditions import Condition
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.clauses import NUMERIC, clause_holds
from services.triggers.engine.conditions import compile_test
from services.triggers.engine.ears import Ear
from services.triggers.engine.fingerprint import fingerprint_parts, value_text
from services.triggers.engine.limits import KEYS_MEMO_MAX, NEVER, SLOT_BYTES
from services.triggers.engine.reactions import Crossings
from services.triggers.engine.readings import Inputs, Reading, inputs_of, together
from services.triggers.engine.sensors import DUE, Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot, new_state
from services.triggers.engine.tags import LEAVES_AT

_SEEN: Final = 1
_NOTHING: Final[dict[str, Any]] = {}
"""The properties of a condition that asks for none."""

_text_key = lru_cache(maxsize=KEYS_MEMO_MAX)(lambda text: fingerprint_parts([value_text(text)]))

Look = Callable[[PersonState, Micros], Any]
"""What the entry sees of the person at an instant; None where there is nothing to go by. It
reads every tag of the entry."""


class WatchSensor:
    """Slot: `[due, seen]`, none for whoever looks as one without any events does.

    Everyone is looked at once when the entry is new: what it sees then is where they stand,
    and lets nobody in.
    """

    for_everyone = True

    def __init__(
        self,
        inputs: Inputs,
        *,
        kind: str,
        look: Look,
        comes_in: Callable[[Any, Any], bool],
        write: Callable[[Ear], str],
        crosses: frozenset[float] | None = None,
    ) -> None:
        self.hears = inputs.events
        self.minds_traits = inputs.traits
        self.for_blank = inputs.traits or bool(inputs.clocks)
        self._keys = inputs.keys
        self._inputs = inputs if inputs.clocks else None
        self._kind = kind
        self._look = look
        self._comes_in = comes_in
        self._write = write
        self.crossing = None if crosses is None else (inputs.keys[0], crosses)
        """The tag data of which only these numbers matter; see `Crossings`."""
        self._at_first = look(new_state(""), 0)

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, late: bool
    ) -> Sensed:
        """A late event moves where they stand and lets nobody in."""
        slot, came_in = self._see(slot, state, state.now)
        if late or not came_in:
            return slot, ()
        entered = Entered(
            event_id=event.message_id,
            properties=event.properties,
            origin_received_at=event.received_at,
        )
        return slot, (entered,)

    def listen(self, ear: Ear, name: str, slot: str, tell: str) -> list[str]:
        """Nearly always they look as before, and the next change by time is where it was.

        Where a bucket has left meanwhile that is no instant, and so not where it was.
        """
        if self._inputs is not None or not self._keys:
            return [tell]
        changes_at = ear.leaves_at(self._keys[0])
        for one in self._keys[1:]:
            other = ear.leaves_at(one)
            changes_at = ear.once(f"{other} if {other} < {changes_at} else {changes_at}")
        never, at_first = ear.constant(NEVER), ear.constant(self._at_first)
        sees = self._write(ear)
        return [
            "if x is not None:",
            f"    if x[{DUE}] != {changes_at} or x[{_SEEN}] != {sees}:",
            f"        {tell}",
            f"elif {changes_at} != {never} or {sees} != {at_first}:",
            f"    if {changes_at} < 0 or {sees} != {at_first}:",
            f"        {tell}",
            "    else:",
            f"        slots[{slot}] = [{changes_at}, {at_first}]",
            f"        z += {ear.adding(SLOT_BYTES)}",
            f"        if {changes_at} < due:",
            f"            due = {changes_at}",
        ]

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """Look as of the instant that was due, be it long ago: others may follow."""
        if slot is None:
            return self._see(None, state, now)[0], ()
        due = slot[DUE]
        slot, came_in = self._see(slot, state, due)
        if not came_in:
            return slot, ()
        entered = Entered(event_id=f"{self._kind}@{due}", properties={}, origin_received_at=now)
        return slot, (entered,)

    def soon(self, slot: Slot | None, at: Micros) -> Slot:
        """The slot, to be looked at by then: something they look at was moved."""
        return [at, self._at_first] if slot is None else [min(at, slot[DUE]), slot[_SEEN]]

    def merge(
        self, slot: Slot | None, other: Slot | None, state: PersonState, now: Micros
    ) -> Sensed:
        """They come in if what is seen of both together is new to each of the two."""
        slot, came_in = self._see(slot, state, now)
        seen, theirs = (self._at_first if one is None else one[_SEEN] for one in (slot, other))
        if not came_in or not self._comes_in(theirs, seen):
            return slot, ()
        entered = Entered(event_id=f"{self._kind}@{now}", properties={}, origin_received_at=now)
        return slot, (entered,)

    def _see(self, slot: Slot | None, state: PersonState, at: Micros) -> tuple[Slot | None, bool]:
        before = self._at_first if slot is None else slot[_SEEN]
        seen = self._look(state, at)
        if seen is None:
            seen = before
        changes_at = NEVER
        for key in self._keys:
            data = state.tags.get(key)
            # A value that has left already leaves no second time.
            if data is not None and at < data[LEAVES_AT] < changes_at:
                changes_at = data[LEAVES_AT]
        if self._inputs is not None:
            changes_at = self._inputs.changes_at(state, at)
        came_in = self._comes_in(before, seen)
        if changes_at == NEVER and seen == self._at_first:
            return None, came_in
        return [changes_at, seen], came_in


def tag_change(making: Making) -> WatchSensor:
    """`entry.tag_change`: sees whether the condition holds, or which value there is."""
    entry = making.trigger.entry.tag_change
    assert entry is not None
    read = making.read_tag[entry.tag]
    changed = entry.change == "changed"
    condition = Condition(tag=entry.tag, op=entry.op or "exists", value=entry.value)
    holds = compile_test(condition, making.read_tag)
    comes_in = {
        "entered": lambda before, seen: seen and not before,
        "left": lambda before, seen: before and not seen,
        "changed": lambda before, seen: before != seen,
    }[entry.change]

    def look(state: PersonState, at: Micros) -> Any:
        return _value_key(read(state, at)) if changed else holds(_NOTHING, state, at)

    def write(ear: Ear) -> str:
        if changed:
            return f"{ear.constant(look)}(s, now)"
        ear.reads(entry.tag)
        return ear.expression(condition)

    reading = making.readings[entry.tag]
    inputs = reading.inputs if changed else inputs_of(condition, making.readings)
    crosses = None if changed else _crosses(reading, condition)
    return WatchSensor(
        inputs, kind="tag_change", look=look, comes_in=comes_in, write=write, crosses=crosses
    )


def _crosses(reading: Reading, condition: Condition) -> frozenset[float] | None:
    """Of a count the whole numbers of which the condition says another than of the one before,
    of a sum those between which it says the same; None where the tag is neither."""
    op, wanted = condition.op or "exists", condition.value
    bounds = wanted if isinstance(wanted, tuple) else (wanted,)
    numbers = [one for one in bounds if type(one) in NUMERIC and isinstance(one, int | float)]
    if reading.sum_of is not None:
        return frozenset(numbers)
    if reading.total_of is None or type(reading.empty) is not int:
        return None
    near = {floor(one) + n for one in numbers for n in range(3)}
    return frozenset(
        one for one in near if clause_holds(op, one, wanted) != clause_holds(op, one - 1, wanted)
    )


def _value_key(value: Any) -> int:
    """A fingerprint in the value's place: a list of texts would fill the slot."""
    if type(value) is str:
        return _text_key(value)
    return fingerprint_parts(
        [value_text(one) for one in (value if type(value) is list else [value])]
    )


def threshold(making: Making) -> WatchSensor:
    """`entry.threshold`: sees whether the value has reached the bound.

    A missing value has reached none. Where there is nothing to take a share of, the value
    stays on its side.
    """
    entry = making.trigger.entry.threshold
    assert entry is not None
    read, bound, up = making.read_tag[entry.tag], entry.bound, entry.direction == "up"
    of = None if entry.share_of is None else making.read_tag[entry.share_of]

    def look(state: PersonState, at: Micros) -> bool | None:
        value, wanted = read(state, at), bound
        if of is not None:
            whole = of(state, at)
            if type(whole) not in NUMERIC or whole == 0:
                return None
            wanted = bound * whole
        return type(value) in NUMERIC and bool(value >= wanted)

    def comes_in(before: Any, seen: Any) -> bool:
        return before is (not up) and seen is up

    def write(ear: Ear) -> str:
        if of is not None:
            return f"{ear.constant(look)}(s, now)"
        ear.reads(entry.tag)
        return ear.expression(condition)

    condition = Condition(tag=entry.tag, op="gte", value=bound)
    reading = making.readings[entry.tag]
    inputs = (
        reading.at_bounds([bound])
        if entry.share_of is None
        else together([reading.inputs, making.readings[entry.share_of].inputs])
    )
    crosses = _crosses(reading, condition) if entry.share_of is None else None
    return WatchSensor(
        inputs, kind="threshold", look=look, comes_in=comes_in, write=write, crosses=crosses
    )


def crossings(sensors: Mapping[int, object]) -> tuple[Crossings, dict[int, int]]:
    """What matters of each tag to those sensors who can be told of that alone, and their bits."""
    found: dict[int, tuple[int, frozenset[float]]] = {}
    bits: dict[int, int] = {}
    for key, sensor in sensors.items():
        if isinstance(sensor, WatchSensor) and sensor.crossing is not None:
            tag, numbers = sensor.crossing
            bit, known = found.get(tag, (1 << len(found), frozenset()))
            found[tag] = bit, known | numbers
            bits[key] = bit
    return found, bits
