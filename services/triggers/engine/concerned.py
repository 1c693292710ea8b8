"""What an event of one name concerns, compiled: one look-up, and mostly one call.

Tags take it in first, then entries match on it, then the sensors hear it. Where nothing can come
between, both are one function: a call costs as much as what many a sensor does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.conditions import Condition
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.cleaning import Cleaner
from services.triggers.engine.conditions import ReadTag
from services.triggers.engine.ears import Ear
from services.triggers.engine.hearing import Hear, compile_hearing, write_hearing
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.reactions import (
    Crossings,
    Listening,
    Moments,
    React,
    compile_reaction,
    write_reaction,
)
from services.triggers.engine.readings import Reading
from services.triggers.engine.sensors import Entered, Sensor
from services.triggers.engine.state import PersonState

Both = Callable[
    [Mapping[str, Any], PersonState, Micros, Micros, bool, Outputs, Event],
    tuple[tuple[Any, ...], tuple[tuple[Any, Sequence[Entered]], ...]],
]
"""`both(properties, state, at, now, late, out, event)`: what `react` and then `hear` do. Gives
the payloads of the entries that match, and of those by which somebody came in, with who did."""

Concerned = tuple[Cleaner | None, Both | None, React | None, Hear | None, bool]
"""What cleans an event, `both` where there are both and it is not awaited, `reactions`,
`hearing`, `awaited`."""
UNCONCERNED: Final[Concerned] = (None, None, None, None, False)


class Parts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All that events of any name are for; of `entries` and `sensors` with a payload each."""

    cleaners: Mapping[str, Cleaner]
    tags: Sequence[Listening]
    entries: Sequence[tuple[Sequence[str], Condition | None, Any]]
    sensors: Mapping[int, tuple[Any, Sensor]]
    awaited: frozenset[str]
    readers: Mapping[str, ReadTag]
    readings: Mapping[str, Reading]
    moments: Moments
    crossings: Crossings
    bits: Mapping[int, int]


def compile_concerned(
    parts: Parts,
) -> tuple[dict[str, React], dict[str, Hear], dict[str, Concerned]]:
    """By the event's name: what reacts, who hears it, and all that it concerns."""
    reactions: dict[str, React] = {}
    hearing: dict[str, Hear] = {}
    concerned: dict[str, Concerned] = {}
    names = {*parts.cleaners, *parts.awaited}
    names.update(name for one in parts.tags for name in one.events)
    names.update(name for events, _, _ in parts.entries for name in events)
    names.update(name for _, one in parts.sensors.values() for name in one.hears)
    for name in sorted(names):
        tags = [one for one in parts.tags if name in one.events]
        entries = [(where, payload) for events, where, payload in parts.entries if name in events]
        told = [(key, rule, one) for key, (rule, one) in parts.sensors.items() if name in one.hears]
        if tags or entries:
            reactions[name] = compile_reaction(
                tags, entries, parts.readers, parts.moments, parts.crossings
            )
        if told:
            hearing[name] = compile_hearing(name, told, parts.readers, parts.readings, parts.bits)
        awaited, both = name in parts.awaited, None
        if name in reactions and told and not awaited:
            ear = Ear(parts.readers, parts.readings)
            lines = write_reaction(ear, tags, entries, parts.moments, parts.crossings)
            lines += write_hearing(ear, name, told, parts.bits)
            lines.append("return found, came")
            both = ear.build("p, s, at, now, late, out, event", lines)
        concerned[name] = (
            parts.cleaners.get(name),
            both,
            reactions.get(name),
            hearing.get(name),
            awaited,
        )
    return reactions, hearing, concerned
