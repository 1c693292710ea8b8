"""What the records of `events` are, read as nobody's worker would."""

from services.contracts.codec import decode_pack
from services.contracts.errors import Malformed
from services.contracts.event import Event
from services.contracts.segment import parse_message
from services.contracts.topics import KIND_EVENT, KIND_PACK
from services.triggers.worker.reading import kind_of
from tests.simulation.world import Row


def kind(row: Row) -> bytes:
    """The record's kind; nothing for a bad one."""
    try:
        return kind_of(row.headers)
    except Malformed:
        return b""


def events_of(row: Row) -> list[Event]:
    """The events that it holds; none where it is something else, or bad."""
    try:
        if kind(row) == KIND_PACK:
            return decode_pack(row.value or b"")
        if kind(row) == KIND_EVENT and row.value is not None:
            return [parse_message(row.value, received_at=row.timestamp * 1000)]
    except Malformed:
        pass  # the worker says so too, or the dead letters differ
    return []
