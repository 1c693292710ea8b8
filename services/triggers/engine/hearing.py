"""What the sensors that listen to events of one name do at one, compiled to one function.

A sensor that `Listens` writes out what it does at nearly every event. Everything else, and all
that other sensors do, is a call of `hear`. As in `conditions`, the generated text holds
nothing of a definition.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.conditions import ReadTag, Writer
from services.triggers.engine.sensors import Entered, Listens, Sensor, put
from services.triggers.engine.state import PersonState

Hear = Callable[
    [PersonState, Event, Micros, Micros, bool], tuple[tuple[Any, Sequence[Entered]], ...]
]
"""`hear(state, event, at, now, late)`: tells the event to the sensors. Gives the payloads of
those by which somebody came in, each with who did."""


def compile_hearing(
    sensors: Sequence[tuple[int, Any, Sensor]], readers: Mapping[str, ReadTag]
) -> Hear:
    """One function for the sensors that listen to one event name: their keys and payloads.

    Tags hold the event already, and no sensor that follows tags is due. `next_due` is not
    later than any slot's instant afterwards.
    """
    writer = Writer(readers)
    lines = ["slots, g, due, found = s.slots, s.tags, s.next_due, ()"]
    for key, payload, sensor in sensors:
        slot = writer.constant(key)
        tell = [
            f"n, came = {writer.constant(sensor.hear)}(x, s, event, at, late)",
            "if n is not x:",
            f"    put(s, {slot}, n)",
            "if n is not None and n[0] < due:",
            "    due = n[0]",
            "if came:",
            f"    found += (({writer.constant(payload)}, came),)",
        ]
        lines.append(f"x = slots.get({slot})")
        usual = sensor.listen(writer) if isinstance(sensor, Listens) else []
        if usual:
            lines += usual
            tell = [f"    {line}" for line in tell]
        lines += tell
    lines += ["s.next_due = due", "return found"]
    writer.namespace["put"] = put
    hear: Hear = writer.build("s, event, at, now, late", lines)
    return hear
