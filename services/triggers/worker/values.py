"""What the fold asks of its shell: to write something, or for the rules of a revision."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from services.contracts.time import Micros
from services.runtime.batch.writer import Headed

FLUSH_PEOPLE_MAX: Final = 5_000
"""A flush holds no more people than this: bounds memory and how long the loop is kept."""
FLUSH_DECISIONS_MAX: Final = 20_000
"""The same bound for what comes out: one event can be decided by many triggers."""
FLUSH_HOPS_MAX: Final = 1_000
"""And the same of hops to other people's logs, each of which can hold a person's state."""
FLUSH_EVENTS_MAX: Final = 40_000
"""And comes after so many events: a batch of packs would else be written seconds later."""
STRETCH_EVENTS_MAX: Final = 1_000
"""Events folded before the loop may turn, and those of one person: a batch of packs can hold a
hundred thousand, and a member that is silent for so long loses its partitions."""
TOGETHER_MAX: Final = 16
"""Events of one person folded before it is seen how much has come of them."""
WOKEN_TOGETHER_MAX: Final = 500
"""People woken by a tick before the loop may turn."""
ARMED_TOGETHER_MAX: Final = 20_000
"""Timers set before the loop may turn."""

Records = list[tuple[bytes | None, bytes]]
"""(key, value) pairs."""
States = list[tuple[bytes | None, bytes | None]]
"""The same; no value takes a state away."""


@dataclass(slots=True)
class Flush:
    """What a stretch of one partition's log led to: to be written in this order.

    First commands with the `notices` behind them, decisions, profiles, letters and hops, then
    `states`, then `meta`, then, if it is the batch's `last`, the offset. Each step needs the
    one before acknowledged.
    """

    commands: Records
    """Of the normal lane; the others are `urgent`."""
    decisions: Records
    profiles: Records
    letters: Records
    states: States
    meta: bytes | None
    last: bool
    origins: list[Micros]
    """`origin_received_at` of each command."""
    events: dict[str, int]
    """Events by outcome."""
    skipped: dict[str, int]
    """Values that fitted no profile, by kind."""
    quality: Records = field(default_factory=list)
    """What cleaning found."""
    urgent: Records = field(default_factory=list)
    """Commands of the other lanes."""
    notices: list[Headed] = field(default_factory=list)
    """For the topic of urgent commands, behind all of them."""
    erased: list[Headed] = field(default_factory=list)
    """Those of the notices that the topic of commands needs as well."""
    tombstones: list[Headed] = field(default_factory=list)
    """For the topic of profiles, behind those: they take some away."""
    hops: dict[int, list[Headed]] = field(default_factory=dict)
    """For other people's logs: in their order for each partition of `events`."""
    hopped: dict[str, int] = field(default_factory=dict)
    """Hops by kind."""
    merged: int = 0
    """People handed over to another."""
    decided: dict[str, int] = field(default_factory=dict)
    capped: dict[str, int] = field(default_factory=dict)
    lettered: "Counter[str]" = field(default_factory=Counter)

    @property
    def has_outputs(self) -> bool:
        """Whether anything has to be acknowledged before the states."""
        told = (self.commands, self.urgent, self.notices, self.decisions, self.tombstones)
        return any((*told, self.profiles, self.quality, self.letters, self.hops))


@dataclass(frozen=True, slots=True)
class NeedRules:
    """The fold cannot go on without the rules of this revision.

    `required`: they are in force already, and there is nothing to fall back on.
    """

    revision: int
    required: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is asked: the event loop may turn, so that heartbeats and writes go on."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The answer: compiled rules."""

    rules: Any


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The answer: they cannot be had; the marker is a dead letter with this reason."""

    code: str
    reason: str


Answer = InForce | Unavailable
