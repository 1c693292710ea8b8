"""What entries that wait keep of events, as bytes: those cost nothing to take up and lay down.

A stamp is an instant of which the bytes are in the order of time, so that what begins with one
is compared without being read: the bytes of a record are less than the stamp one later exactly
if its own is not later.
"""

from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from typing import Any, Final

import msgspec

from services.contracts.time import Micros
from services.triggers.engine.limits import NEVER

STAMP_BYTES: Final = 8
ZERO: Final = NEVER
"""Added to an instant: those as far before the epoch, and to as far after it, have a stamp."""

_EVENT: Final = Struct(">8sQQB")
"""Stamp, key, mark and a bit for each part."""
EVENT_BYTES: Final = _EVENT.size
KEY_AT: Final = STAMP_BYTES
REST_AT: Final = KEY_AT + 8
"""Where in it the key begins, and what follows that."""

_wait_of: Final = msgspec.msgpack.Decoder(tuple[int, str, dict[str, Any]]).decode


def stamp_of(at: Micros) -> bytes:
    """The stamp of an instant."""
    return (at + ZERO).to_bytes(STAMP_BYTES, "big")


def at_of(record: bytes) -> Micros:
    """The instant of what begins with its stamp."""
    return int.from_bytes(record[:STAMP_BYTES], "big") - ZERO


pack_event: Final[Callable[[bytes, int, int, int], bytes]] = _EVENT.pack
"""`pack_event(stamp, key, mark, parts)`: an event that may yet serve in a sequence."""


def unpack_events(events: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Stamps, keys, marks and parts of such events, one after the other."""
    return _EVENT.iter_unpack(events)


def split_events(events: bytes) -> list[bytes]:
    """Such events, each by itself."""
    return [events[at : at + EVENT_BYTES] for at in range(0, len(events), EVENT_BYTES)]


def key_of_event(event: bytes) -> int:
    """Its key."""
    return int.from_bytes(event[KEY_AT:REST_AT], "big")


def mark_of_event(event: bytes) -> int:
    """The key by which an exit finds it."""
    return int.from_bytes(event[REST_AT:-1], "big")


pack_rest: Final = msgspec.msgpack.Encoder().encode
"""`pack_rest((mark, event_id, properties))`: what follows the stamp in a wait."""


def pack_wait(stamp: bytes, mark: int, event_id: str, properties: Mapping[str, Any]) -> bytes:
    """An event after which something is waited for: its stamp, then msgpack."""
    return stamp + pack_rest((mark, event_id, properties))


def mark_of_wait(wait: bytes) -> int:
    """The key by which an exit finds it."""
    return _wait_of(wait[STAMP_BYTES:])[0]


def event_of_wait(wait: bytes) -> tuple[str, dict[str, Any]]:
    """Its event's id and properties."""
    return _wait_of(wait[STAMP_BYTES:])[1:]
