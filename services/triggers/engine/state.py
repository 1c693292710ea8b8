"""What is remembered of one person, and its bytes.

Encoded: 8 bytes, the big-endian `wake_at` (0 where there is none), then msgpack. The same
state gives the same bytes: every container keeps the order in which the log filled it.
"""

from typing import Any, Final

import msgspec

from services.contracts.errors import Malformed
from services.contracts.time import Micros

STATE_VERSION: Final = 1
_WAKE_BYTES: Final = 8


class TagState(msgspec.Struct, array_like=True, gc=False):
    """One tag's data.

    `buckets` are ascending bucket numbers and `values` stands parallel to them; for
    `distinct` and `top_k`, `values` maps each value to what is kept of it. `total` is the
    running aggregate (for `distinct` the sampling level). Before `leaves_at` nothing leaves
    the window.
    """

    leaves_at: Micros
    total: Any
    buckets: list[int]
    values: Any


class Sent(msgspec.Struct, array_like=True, gc=False):
    """One send: reserved at `at`, committed once `accepted`."""

    at: Micros
    key: int
    trigger: str
    channel: str
    category: str
    accepted: bool = False


class Pending(msgspec.Struct, array_like=True, gc=False):
    """A send put off: decided again at `due_at`, dropped as expired from `expires_at` on."""

    due_at: Micros
    expires_at: Micros
    entered_at: Micros
    trigger: str
    trigger_version: int
    event_id: str
    origin_received_at: Micros
    properties: dict[str, Any]


class PersonState(msgspec.Struct, array_like=True, gc=False):
    """One person. Mutable, and changed in place by the engine only (`applied`: by the shell).

    `applied` is the last position of `events` folded into it, `offset << 16 | index`.
    `wake_at` is the earliest instant at which the person needs attention without an event.
    Fields are only ever added at the end, with a default: old bytes stay readable.
    """

    v: int
    person: str
    applied: int = -1
    now: Micros = 0
    wake_at: Micros | None = None
    revision: int = -1
    first_seen_at: Micros | None = None
    last_seen_at: Micros | None = None
    emitted_at: Micros = 0
    changed: bool = False
    user_id: str | None = None
    anonymous_id: str | None = None
    zone: str | None = None
    traits: dict[str, Any] = {}
    traits_at: Micros | None = None
    aliases: list[str] = []
    seen: bytearray = msgspec.field(default_factory=bytearray)
    tags: dict[int, TagState] = {}
    sends: list[Sent] = []
    pending: list[Pending] = []
    dedup_keys: dict[int, Micros] = {}
    once_keys: dict[int, Micros] = {}
    entries: dict[str, Micros] = {}
    accepted: int = 0
    failed: int = 0
    last_message_at: Micros | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(PersonState)


def new_state(person: str) -> PersonState:
    """A person of whom nothing is known yet."""
    return PersonState(v=STATE_VERSION, person=person)


def encode_state(state: PersonState) -> bytes:
    """Bytes of a state; equal states give equal bytes."""
    return (state.wake_at or 0).to_bytes(_WAKE_BYTES, "big") + _encode(state)


def decode_state(data: bytes) -> PersonState:
    """The state of these bytes.

    Raises:
        Malformed: `bad_state`, or `newer_schema` for bytes of a later version of this code.
    """
    try:
        state = _decoder.decode(memoryview(data)[_WAKE_BYTES:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("bad_state", "not a person's state") from error
    if state.v > STATE_VERSION:
        raise Malformed("newer_schema", f"state has schema version {state.v}")
    return state


def wake_at_of(data: bytes) -> Micros | None:
    """`wake_at` of an encoded state, read without decoding it."""
    return int.from_bytes(data[:_WAKE_BYTES], "big") or None
