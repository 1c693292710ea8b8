"""Slots of entries that no event concerns, put aside: encoded, they cost events next to nothing.

They are taken up where time opens one, where other rules come into force and where two people
become one; until then the earliest of their instants stands for them.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from services.triggers.engine.limits import NEVER
from services.triggers.engine.sensors import DUE, Sensor
from services.triggers.engine.state import PersonState, Slot

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[int, Slot]).decode


def only_time_opens(sensors: Mapping[int, Sensor]) -> frozenset[int]:
    """The keys of those who listen to no event."""
    return frozenset(key for key, one in sensors.items() if not one.hears)


def take_up(state: PersonState) -> None:
    """Put the slots that were put aside behind the others."""
    if state.still:
        state.slots.update(_decode(state.still))
        state.still, state.still_due = b"", NEVER


def put_aside(state: PersonState, keys: AbstractSet[int]) -> None:
    """Put the slots of these entries aside, all of them taken up before."""
    still = {key: state.slots.pop(key) for key in [one for one in state.slots if one in keys]}
    if still:
        state.still, state.still_due = _encode(still), min(one[DUE] for one in still.values())


def slot_of(state: PersonState, key: int) -> Slot | None:
    """What an entry remembers of a person, put aside or not; to be read only."""
    slot = state.slots.get(key)
    return _decode(state.still).get(key) if slot is None and state.still else slot
