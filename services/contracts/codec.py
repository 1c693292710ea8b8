"""Bytes to values and back. Every record carries a schema version; a newer one is refused."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from services.contracts.control import Answer, Ask, Erase, Forward, Marker, Tick
from services.contracts.delivery import Delivery
from services.contracts.errors import Malformed
from services.contracts.event import Event

T = TypeVar("T")


class _Owner(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first field of an `Event`: what follows it is passed over, not decoded."""

    person: str


_json_encoder: Final = msgspec.json.Encoder()
_msgpack_encoder: Final = msgspec.msgpack.Encoder()
encode_json: Final = _json_encoder.encode
"""Encode a value of this package as JSON."""

_pack_decoder: Final = msgspec.msgpack.Decoder(list[Event])
_raw_pack_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_owner_decoder: Final = msgspec.msgpack.Decoder(_Owner)
_tick_decoder: Final = msgspec.json.Decoder(Tick)
_marker_decoder: Final = msgspec.json.Decoder(Marker)
_erase_decoder: Final = msgspec.json.Decoder(Erase)
_delivery_decoder: Final = msgspec.json.Decoder(Delivery)
_event_decoder: Final = msgspec.msgpack.Decoder(Event)
_ask_decoder: Final = msgspec.msgpack.Decoder(Ask)
_answer_decoder: Final = msgspec.msgpack.Decoder(Answer)
_forward_decoder: Final = msgspec.msgpack.Decoder(Forward)

SCHEMA_VERSION_MAX: Final = 1


def encode_pack(events: Sequence[Event]) -> bytes:
    """Pack events of one partition into one record value (kind `pack/1`, msgpack)."""
    return _msgpack_encoder.encode(events)


def encode_event(event: Event) -> bytes:
    """One event as it stands inside a pack; see `join_pack`."""
    return _msgpack_encoder.encode(event)


def join_pack(encoded: Sequence[bytes]) -> bytes:
    """A `pack/1` record of events that `encode_event` wrote; the same bytes as `encode_pack`.

    Whoever bounds a pack by its size knows the size of each event before it joins.
    """
    count = len(encoded)
    # The msgpack specification's array headers: fixarray, then array 16.
    header = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return b"".join((header, *encoded))


def decode_pack(value: bytes) -> list[Event]:
    """Unpack a record of kind `pack/1`.

    Raises:
        Malformed: `bad_pack`, the bytes are not a list of events.
    """
    try:
        return _pack_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("bad_pack", "not a packed list of events") from error


def split_pack(value: bytes) -> list[tuple[str, msgspec.Raw]]:
    """The events of a `pack/1` record, still encoded (`decode_event`), each with its person.

    Raises:
        Malformed: `bad_pack`, the bytes are no list of what could be events.
    """
    try:
        return [(_owner_decoder.decode(raw).person, raw) for raw in _raw_pack_decoder.decode(value)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("bad_pack", "not a packed list of events") from error


def decode_json(value: bytes, decoder: "msgspec.json.Decoder[T]", what: str) -> T:
    """Decode one of our JSON values and check its schema version.

    Raises:
        Malformed: `bad_<what>` for bytes that do not fit the schema, `newer_schema` for a
            version this code does not know.
    """
    return _decoded(value, decoder, what)


def encode_hop(hop: Ask | Answer | Forward) -> bytes:
    """A record of a merge (kinds `ask/1`, `answer/1`, `forward/1`, msgpack)."""
    return _msgpack_encoder.encode(hop)


def decode_ask(value: bytes) -> Ask:
    """Decode a record of kind `ask/1`; raises `Malformed`."""
    return _decoded(value, _ask_decoder, "ask")


def decode_answer(value: bytes) -> Answer:
    """Decode a record of kind `answer/1`; raises `Malformed`."""
    return _decoded(value, _answer_decoder, "answer")


def decode_forward(value: bytes) -> Forward:
    """Decode a record of kind `forward/1`; raises `Malformed`."""
    return _decoded(value, _forward_decoder, "forward")


def decode_event(value: bytes | msgspec.Raw) -> Event:
    """Decode what `encode_event` wrote; raises `Malformed`, `bad_event`."""
    try:
        return _event_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("bad_event", "not an event of a known schema") from error


def _decoded(
    value: bytes, decoder: "msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T]", what: str
) -> T:
    try:
        decoded = decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"bad_{what}", f"not a {what} of a known schema") from error
    version: int = getattr(decoded, "v", 1)
    if version > SCHEMA_VERSION_MAX:
        raise Malformed("newer_schema", f"{what} has schema version {version}")
    return decoded


def decode_tick(value: bytes) -> Tick:
    """Decode a record of kind `tick/1`; raises `Malformed`."""
    return decode_json(value, _tick_decoder, "tick")


def decode_erase(value: bytes) -> Erase:
    """Decode a record of kind `erase/1`; raises `Malformed`."""
    return decode_json(value, _erase_decoder, "erase")


def decode_marker(value: bytes) -> Marker:
    """Decode a record of kind `marker/1`; raises `Malformed`."""
    return decode_json(value, _marker_decoder, "marker")


def decode_delivery(value: bytes) -> Delivery:
    """Decode a record of kind `delivery/1`; raises `Malformed`."""
    return decode_json(value, _delivery_decoder, "delivery")
