"""Rounds: new rules can concern people to whom nothing happens, so everyone is woken once.

The first tick after the marker begins a round, and in the minute that follows each person has
an instant of their own. What is due when depends on the log and on the person alone, so a
crash in the middle changes nothing; the round itself stands in the partition's meta, and who
has had their turn, or came by anyway, has something applied that is later than the marker.
"""

from typing import Final

import msgspec
from xxhash import xxh3_64_intdigest

from services.contracts.time import SECOND, Micros
from services.triggers.worker.reading import PartitionMeta

ROUND_SECONDS: Final = 60
"""Long enough that a million people are a small part of what a worker does meanwhile."""
_SPAN: Final = ROUND_SECONDS * SECOND


def in_force(meta: PartitionMeta, revision: int, position: int, *, everyone: bool) -> PartitionMeta:
    """The meta after a marker; `everyone`: the new rules want something new of all people.

    A round under way goes on, or makes room for the new one, which does its work too.
    """
    meta = msgspec.structs.replace(meta, revision=revision, applied=position)
    if not everyone:
        return meta
    return msgspec.structs.replace(meta, round_since=position, round_at=None)


def begun(meta: PartitionMeta, at: Micros, position: int) -> PartitionMeta | None:
    """The meta with a round that begins at this tick; None where none does."""
    waits = meta.round_since >= 0 and meta.round_at is None
    # A tick from before the marker, in a replay, began nothing then.
    if not waits or position <= meta.applied:
        return None
    return msgspec.structs.replace(meta, round_at=at)


def ended(meta: PartitionMeta, at: Micros, position: int) -> PartitionMeta | None:
    """The meta without the round, once everyone who was due at this tick has had their turn."""
    if meta.round_at is None or position < meta.round_since or at < meta.round_at + _SPAN:
        return None
    return msgspec.structs.replace(meta, round_since=-1, round_at=None)


def due_at(meta: PartitionMeta, person: str, wake_at: Micros | None, applied: int) -> Micros | None:
    """When a person has to be woken, the round included; who does not exist has no turn."""
    if meta.round_at is None or not 0 <= applied < meta.round_since:
        return wake_at
    turn = meta.round_at + xxh3_64_intdigest(person.encode()) % _SPAN
    return turn if wake_at is None else min(turn, wake_at)
