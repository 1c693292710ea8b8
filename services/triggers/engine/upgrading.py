"""Slots as version 2 of a state has them: what waits was no bytes, and nothing was put aside."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.triggers.engine.kept import pack_event, pack_wait, stamp_of

_properties: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode

Slots = dict[int, list[Any]]


def of_version_2(slots: Slots) -> tuple[Slots, Slots]:
    """The slots as they are kept now, and those to be put aside. What each is, its form tells."""
    still = {key: slot for key, slot in slots.items() if len(slot) == 1}
    return {key: _slot(slot) for key, slot in slots.items() if key not in still}, still


def _slot(slot: list[Any]) -> list[Any]:
    kept = slot[1]
    if isinstance(kept, list):
        events = [pack_event(stamp_of(at), key, mark, parts) for at, key, parts, mark in kept]
        return [slot[0], b"".join(events), *slot[2:]]
    if isinstance(kept, Mapping):
        waits = {
            key: pack_wait(stamp_of(at), mark, event_id, _properties(properties))
            for key, (at, event_id, mark, properties) in kept.items()
        }
        return [slot[0], waits, *slot[2:]]
    return slot
