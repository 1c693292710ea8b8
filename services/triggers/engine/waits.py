"""What entries that wait for events share: matches, keys, and how much they may keep."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from services.contracts.entries import EventMatch, Exit
from services.contracts.event import Event
from services.contracts.steps import WaitFor
from services.contracts.time import Micros
from services.triggers.engine.clauses import lookup
from services.triggers.engine.conditions import ReadTag, Test, compile_test
from services.triggers.engine.ears import Ear
from services.triggers.engine.fingerprint import fingerprint_parts, value_text
from services.triggers.engine.limits import (
    KEYS_MEMO_MAX,
    SETTLED_KEYS_MAX,
    SLOT_BYTES,
    SLOTS_BYTES_MAX,
    WAIT_PROPERTIES_BYTES_MAX,
)
from services.triggers.engine.state import PersonState, Slot

encode: Final = msgspec.msgpack.Encoder().encode
decode_properties: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode

_HEADER_BYTES: Final = 5
INSTANT_BYTES: Final = 9
"""Of an instant or a fingerprint (msgpack), at most."""
SETTLED_BYTES: Final = 2 * INSTANT_BYTES
UNSTORABLE: Final = (OverflowError, TypeError, UnicodeEncodeError, RecursionError)

NO_KEY: Final = 0
"""The key of everything where none is asked."""

SETTLED: Final = 2
"""Index, in the slots of entries that wait, of the instants up to which nothing begins."""


class Match(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Events of these names on which a condition holds."""

    events: frozenset[str]
    holds: Test | None

    def fits(self, event: Event, state: PersonState) -> bool:
        """Whether the event is one of these; tags hold it already."""
        return event.name in self.events and (
            self.holds is None or self.holds(event.properties, state, state.now)
        )

    def test_of(self, name: str) -> Test | None:
        """What an event of this name has to fulfil; None where it is none of these."""
        if name not in self.events:
            return None
        return _always if self.holds is None else self.holds


def _always(*_: object) -> bool:
    return True


def compile_match(match: EventMatch | Exit | WaitFor, readers: Mapping[str, ReadTag]) -> Match:
    """The test of a checked match."""
    return Match(
        events=frozenset(match.events),
        holds=None if match.where is None else compile_test(match.where, readers),
    )


_fingerprint = lru_cache(maxsize=KEYS_MEMO_MAX)(fingerprint_parts)
"""Several triggers ask the same of one event, and the next event of a person often has it too."""


def key_of(properties: Mapping[str, Any], paths: Sequence[str]) -> int | None:
    """Fingerprint of the values at these paths, None where one is missing or no scalar."""
    if not paths:
        return NO_KEY
    parts = []
    for path in paths:
        value = lookup(properties, path)
        if not isinstance(value, str | int | float | bool):
            return None
        parts.append(value_text(value))
    return _fingerprint(tuple(parts))


def mark_of(properties: Mapping[str, Any], paths: Sequence[str]) -> int:
    """The key by which an exit finds what waits, `NO_KEY` where it never will."""
    mark = key_of(properties, paths)
    return NO_KEY if mark is None else mark


@lru_cache(maxsize=KEYS_MEMO_MAX)
def _key_of_text(text: str) -> int:
    return fingerprint_parts((value_text(text),))


KeyOf = Callable[[Mapping[str, Any]], int | None]


@lru_cache(maxsize=KEYS_MEMO_MAX)
def key_reader(paths: tuple[str, ...]) -> KeyOf:
    """`key_of` of these paths; of one text under a plain name, as nearly all keys are, quickly.

    The same for the same paths."""
    if len(paths) != 1 or "." in paths[0]:
        return lambda properties: key_of(properties, paths)
    (name,) = paths

    def read(properties: Mapping[str, Any]) -> int | None:
        value = properties.get(name)
        return _key_of_text(value) if type(value) is str else key_of(properties, paths)

    return read


def write_key(ear: Ear, paths: tuple[str, ...]) -> str:
    """The name under which generated text has the key of an event, or none."""
    if not paths:
        return ear.constant(NO_KEY)
    read = f"{ear.constant(key_reader(paths))}(p)"
    if len(paths) != 1 or "." in paths[0]:
        return ear.once(read)
    value = ear.once(f"p.get({ear.constant(paths[0])})")
    return ear.once(f"{ear.constant(_key_of_text)}({value}) if type({value}) is str else {read}")


def write_mark(ear: Ear, paths: tuple[str, ...]) -> str:
    """The name under which generated text has the `mark_of` an event."""
    return ear.once(f"{write_key(ear, paths)} or {NO_KEY}") if paths else ear.constant(NO_KEY)


def same_key(one: Mapping[str, Any], other: Mapping[str, Any], paths: Sequence[str]) -> bool:
    """Whether the values at these paths are there and the same; without paths they always are."""
    key = key_of(one, paths)
    return key is not None and key == key_of(other, paths)


def kept_properties(properties: Mapping[str, Any]) -> bytes:
    """An entry event's properties as msgpack; of too large ones, in order, those that fit."""
    try:
        whole = encode(properties)
    except UNSTORABLE:
        whole = None
    if whole is not None and len(whole) <= WAIT_PROPERTIES_BYTES_MAX:
        return whole
    kept: dict[str, Any] = {}
    room = WAIT_PROPERTIES_BYTES_MAX - _HEADER_BYTES
    for name, value in properties.items():
        try:
            size = len(encode(name)) + len(encode(value))
        except UNSTORABLE:
            continue
        if size <= room:
            kept[name] = value
            room -= size
    return encode(kept)


def measure(state: PersonState) -> None:
    """See how much the slots take, at most; not known where that is beyond their bound."""
    size = len(encode(state.slots)) + SLOT_BYTES * len(state.slots) + len(state.still)
    state.slots_bytes = size if size <= SLOTS_BYTES_MAX else None


def has_room(state: PersonState, slot: Slot) -> bool:
    """Whether this slot, as it is now, and all others of the person are within their bound."""
    # Counted with their keys, and the slot twice, they nearly always fit all the same.
    measure(state)
    if has_room_for(state, len(encode(slot))):
        return True
    state.slots_bytes = None
    others = sum(len(encode(one)) for one in state.slots.values() if one is not slot)
    return len(encode(slot)) + others + len(state.still) <= SLOTS_BYTES_MAX


def has_room_for(state: PersonState, more: int) -> bool:
    """Whether so many bytes more in a slot are surely within the bound; then they count. Else
    `has_room` has to be asked."""
    size = state.slots_bytes
    if size is None or size + more > SLOTS_BYTES_MAX:
        return False
    state.slots_bytes = size + more
    return True


def settle_both(slot: Slot, other: Slot) -> None:
    """What two people are done with, they are done with together."""
    settled: dict[int, Micros] = slot[SETTLED]
    for key, at in other[SETTLED].items():
        settled[key] = max(at, settled.get(key, at))
    while len(settled) > SETTLED_KEYS_MAX:
        del settled[min(settled, key=settled.__getitem__)]


def settle(state: PersonState, slot: Slot, key: int, at: Micros, forgotten: Micros) -> None:
    """Remember that up to `at` nothing of this key begins any more. With a new key go those
    that are older than `forgotten`, and past the bound the oldest."""
    settled: dict[int, Micros] = slot[SETTLED]
    before = settled.get(key)
    if before is not None:
        if at > before:
            settled[key] = at
        return  # an instant takes as much room as another
    for old in [one for one, until in settled.items() if until < forgotten]:
        del settled[old]
    settled[key] = at
    if len(settled) > SETTLED_KEYS_MAX:
        del settled[min(settled, key=settled.__getitem__)]
    if not has_room_for(state, SETTLED_BYTES) and not has_room(state, slot):
        settled.clear()
