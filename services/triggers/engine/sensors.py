"""Entries that no single event decides: what they remember of a person, when they look again.

A sensor is the compiled entry of one trigger. What it remembers of one person is a slot: a
flat list that begins with the instant at which it has to look again, `NEVER` where it waits
for nothing. The instant may be too early, never too late: looking then puts it off.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from services.contracts.definitions import Trigger
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.conditions import ReadTag
from services.triggers.engine.ears import Ear
from services.triggers.engine.limits import SLOT_BYTES
from services.triggers.engine.readings import Reading
from services.triggers.engine.state import PersonState, Slot
from services.triggers.engine.waits import Match
from services.triggers.engine.windows import Calendar

DUE: Final = 0
"""Index of the instant in a slot."""


def put(state: PersonState, key: int, slot: Slot | None) -> None:
    """Keep a slot as it is now, or do away with it."""
    if slot is None:
        state.slots.pop(key, None)
        return
    if state.slots_bytes is not None and key not in state.slots:
        state.slots_bytes += SLOT_BYTES
    state.slots[key] = slot


class Entered(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A person came in: the event that stands for it, or `<kind>@<instant>` without one."""

    event_id: str
    properties: dict[str, Any]
    origin_received_at: Micros


Sensed = tuple[Slot | None, Sequence[Entered]]
"""The slot as it is now (None: nothing to remember) and who came in by it."""


class Sensor(Protocol):
    """One compiled entry. Pure: all it knows of a person is the slot and the state."""

    @property
    def hears(self) -> frozenset[str]:
        """Names of the events that concern it."""

    @property
    def for_everyone(self) -> bool:
        """Whether it also concerns people to whom nothing happens."""

    @property
    def for_blank(self) -> bool:
        """Whether it remembers anything of a person without tags and traits."""

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, late: bool
    ) -> Sensed:
        """An event of these names; tags hold it already. A late one lets nobody in.

        What it changes in the slot in place is its own; its instant may stay too early.
        """

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """The instant of the slot has come, or `for_everyone` and there is no slot yet."""

    def merge(
        self, slot: Slot | None, other: Slot | None, state: PersonState, now: Micros
    ) -> Sensed:
        """Another turned out to be this person: take in what was remembered of them, in
        `other`. Tags and traits hold theirs already."""


@runtime_checkable
class Listens(Protocol):
    """A sensor that writes out what it does at nearly every event."""

    def listen(self, ear: Ear, name: str, slot: str, tell: str) -> list[str]:
        """Statements over `x`, the slot or None, and what `ears` names, for events of this name
        that are not late. `slot` names the slot's key, `tell` is the call of `hear`."""


@runtime_checkable
class Waits(Protocol):
    """A sensor that an exit can end: it waits for something in the person."""

    def leave(self, slot: Slot, mark: int | None) -> Slot | None:
        """The slot without what waited in it, with a `mark` without what bears it."""


class WayOut(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The compiled exit of a trigger; `slot` and `waits` where its entry waits for events."""

    trigger: str
    match: Match
    key: tuple[str, ...]
    slot: int | None
    waits: Waits | None


class Making(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a sensor is made from."""

    trigger: Trigger
    read_tag: Mapping[str, ReadTag]
    readings: Mapping[str, Reading]
    """How each tag is read, and what it is made of."""
    calendar: Calendar
    """The workspace's."""
    late_after: int


Make = Callable[[Making], Sensor]
