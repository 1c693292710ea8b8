"""What the sensors that listen to events of one name do at one, compiled to one function.

A sensor that `Listens` writes out what it does at nearly every event that is not late, while
there is room for what it keeps. Everything else, and all that other sensors do, is a call of
`hear`; a property test holds the two equal. As in `conditions`, the generated text holds
nothing of a definition.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.conditions import ReadTag
from services.triggers.engine.ears import Ear
from services.triggers.engine.limits import SLOTS_BYTES_MAX
from services.triggers.engine.readings import Reading
from services.triggers.engine.sensors import DUE, Entered, Listens, Sensed, Sensor, put
from services.triggers.engine.state import PersonState, Slot
from services.triggers.engine.waits import measure

_TOO_MUCH: Final = SLOTS_BYTES_MAX + 1

Hear = Callable[
    [PersonState, Event, Micros, Micros, bool, int], tuple[tuple[Any, Sequence[Entered]], ...]
]
"""`hear(state, event, at, now, late, crossed)`: tells the event to the sensors. Gives the
payloads of those by which somebody came in, each with who did. `crossed` has a bit for each of
the `Crossings` that may have been one."""


def compile_hearing(
    name: str,
    sensors: Sequence[tuple[int, Any, Sensor]],
    readers: Mapping[str, ReadTag],
    readings: Mapping[str, Reading],
    bits: Mapping[int, int],
) -> Hear:
    """One function for the sensors that listen to this event: their keys and payloads.

    Tags hold the event already, and no sensor that follows tags is due. `next_due` is not
    later than any slot's instant afterwards. `bits` has the keys of those whom an event concerns
    only with one of these in `crossed`.
    """
    ear = Ear(readers, readings)
    lines = write_hearing(ear, name, sensors, bits)
    lines = ["p, t, g = event.properties, s.traits, s.tags", *lines, "return came"]
    written: Hear = ear.build("s, event, at, now, late, crossed", lines)
    return written


def write_hearing(
    ear: Ear, name: str, sensors: Sequence[tuple[int, Any, Sensor]], bits: Mapping[int, int]
) -> list[str]:
    """Statements over the names that `ears` speaks of, `late` and `crossed`, for `came`."""
    lines: list[str] = []
    for key, payload, sensor in sensors:
        slot, hear = ear.constant(key), ear.constant(sensor.hear)
        call = f"tell({slot}, {ear.constant(payload)}, {hear}, x, s, event, at, late, due, came, z)"
        tell = f"due, came, z = {call}"
        get = f"x = slots.get({slot})"
        if not isinstance(sensor, Listens):
            lines += [get, tell]
        elif key not in bits:
            lines += [get, *sensor.listen(ear, name, slot, tell)]
        else:
            with ear.apart():
                body = [get, *sensor.listen(ear, name, slot, tell)]
                body = [*ear.before, *body]
            lines += [f"if crossed & {bits[key]}:", *(f"    {line}" for line in body)]
    ear.namespace.update(tell=_tell, each=one_by_one(sensors))
    lines = [
        "slots, due, came = s.slots, s.next_due, ()",
        *ear.before,
        *lines,
        "s.next_due, s.slots_bytes = due, z",
    ]
    return [
        "z = s.slots_bytes",
        f"if late or z is None or z > {SLOTS_BYTES_MAX - ear.more}:",
        "    came = each(s, event, at, now, late, crossed)",
        "else:",
        *(f"    {line}" for line in lines),
    ]


def _tell(
    key: int,
    payload: Any,
    hear: Callable[..., Sensed],
    slot: Slot | None,
    state: PersonState,
    event: Event,
    at: Micros,
    late: bool,
    due: Micros,
    found: tuple[Any, ...],
    size: int,
) -> tuple[Micros, tuple[Any, ...], int]:
    """Tell one sensor; gives when the first looks, who came in and the slots' size, with it."""
    state.slots_bytes = size
    now, came = hear(slot, state, event, at, late)
    if now is not slot:
        put(state, key, now)
    if now is not None and now[DUE] < due:
        due = now[DUE]
    if came:
        found += ((payload, came),)
    # What is not known is too much, until it is measured again.
    return due, found, _TOO_MUCH if state.slots_bytes is None else state.slots_bytes


def one_by_one(sensors: Sequence[tuple[int, Any, Sensor]]) -> Hear:
    """Tells an event to these by calls alone, and measures the slots afterwards."""
    told = [(key, payload, sensor.hear) for key, payload, sensor in sensors]

    def hear(
        state: PersonState, event: Event, at: Micros, now: Micros, late: bool, crossed: int
    ) -> tuple[tuple[Any, Sequence[Entered]], ...]:
        due, found = state.next_due, ()
        for key, payload, sensor in told:
            size = _TOO_MUCH if state.slots_bytes is None else state.slots_bytes
            due, found, _ = _tell(
                key, payload, sensor, state.slots.get(key), state, event, at, late, due, found, size
            )
        state.next_due = due
        if not late:
            measure(state)
        return found

    return hear
