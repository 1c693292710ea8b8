"""Records of `events` to what they hold."""

from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from services.contracts import codec
from services.contracts.errors import Malformed
from services.contracts.event import Event
from services.contracts.segment import parse_message
from services.contracts.time import Micros
from services.contracts.topics import (
    KIND_ANSWER,
    KIND_ASK,
    KIND_DELIVERY,
    KIND_ERASE,
    KIND_EVENT,
    KIND_FORWARD,
    KIND_HEADER,
    KIND_MARKER,
    KIND_PACK,
    KIND_TICK,
)

INDEX_BITS: Final = 16
PACK_INDEX_MAX: Final = (1 << INDEX_BITS) - 1
MILLIS: Final = 1000
KINDS: Final = (
    KIND_ERASE,
    KIND_EVENT,
    KIND_PACK,
    KIND_TICK,
    KIND_MARKER,
    KIND_DELIVERY,
    KIND_ASK,
    KIND_ANSWER,
    KIND_FORWARD,
)
_NAMES: Final = frozenset(kind.partition(b"/")[0] for kind in KINDS)


class Record(Protocol):
    """What is read of one record; `timestamp` is Kafka's, in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes]]: ...


class PartitionMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition remembers beside its people: the revision in force, and since where.

    `round_since`: people of whom the last applied position is before this have still to be
    woken, -1 where there is no such round; `round_at` is its beginning, the first tick's time.
    """

    v: int = 1
    revision: int = 0
    applied: int = -1
    round_since: int = -1
    round_at: Micros | None = None


META_KEY: Final = "\x00partition"
"""Key of `PartitionMeta` among the states; no person's id begins with U+0000."""
_meta_decoder: Final = msgspec.json.Decoder(PartitionMeta)
encode_meta: Final = msgspec.json.Encoder().encode


def decode_meta(data: bytes | None) -> PartitionMeta:
    """What stands among the states; without it nothing is in force yet."""
    return PartitionMeta() if data is None else _meta_decoder.decode(data)


def kind_of(headers: Iterable[tuple[str, bytes]]) -> bytes:
    """The record's kind; an event where no header of ours stands.

    Raises:
        Malformed: `newer_schema` for a later version of a kind we know, else `unknown_kind`.
    """
    for name, kind in headers:
        if name == KIND_HEADER:
            if kind in KINDS:
                return kind
            if kind and kind.partition(b"/")[0] in _NAMES:
                raise Malformed("newer_schema", "the record's kind has a version not known here")
            raise Malformed("unknown_kind", "the record's header names no kind")
    return KIND_EVENT


def read_event(record: Record, *, replay: bool) -> Event:
    """The one event of a record in Segment's form.

    It was received when Kafka stamped it; in a replay of history, when it says it happened.

    Raises:
        Malformed: it can never be an event.
    """
    value = record.value
    if value is None:
        raise Malformed("empty_record", "the record has no value")
    return parse_message(value, received_at=None if replay else record.timestamp * MILLIS)


def read_pack(record: Record) -> list[Event]:
    """The events of a pack.

    Raises:
        Malformed: it is none, or longer than positions can tell apart.
    """
    events = codec.decode_pack(value_of(record))
    if len(events) > PACK_INDEX_MAX:
        raise Malformed("pack_too_long", f"a pack has at most {PACK_INDEX_MAX} events")
    return events


def split_pack(record: Record) -> list[tuple[str, msgspec.Raw]]:
    """The events of a pack, still encoded, each with its person.

    Raises:
        Malformed: it is none, or longer than positions can tell apart.
    """
    events = codec.split_pack(value_of(record))
    if len(events) > PACK_INDEX_MAX:
        raise Malformed("pack_too_long", f"a pack has at most {PACK_INDEX_MAX} events")
    return events


def check_person(person: str, key: bytes | None) -> bytes:
    """A person's id as bytes. `key` is the record's, None for what stands in a pack.

    Raises:
        Malformed: it can be no one's id, or the record stands under another key.
    """
    try:
        name = person.encode()
    except UnicodeEncodeError as error:
        raise Malformed("bad_person", "the person's id is not Unicode text") from error
    if key is not None and key != name:
        raise Malformed("wrong_key", "the record's key is not the person's id")
    if not person or person.startswith("\x00"):
        raise Malformed("bad_person", "the person's id is empty or reserved")
    return name


def value_of(record: Record) -> bytes:
    """The record's value.

    Raises:
        Malformed: `empty_record`, there is none.
    """
    if record.value is None:
        raise Malformed("empty_record", "the record has no value")
    return record.value


def position_of(record: Record, index: int = 0) -> int:
    """Place in the partition's log, of an event in a pack too; grows along the log."""
    return record.offset << INDEX_BITS | index
