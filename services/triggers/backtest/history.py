"""Reading history for a backtest: a file of messages, or the topic `events`."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Final

import msgspec

from services.contracts.codec import decode_erase
from services.contracts.errors import CuestreamError, Malformed
from services.contracts.event import FUTURE_TOLERANCE, Event
from services.contracts.segment import parse_message
from services.contracts.time import Micros
from services.contracts.topics import EVENTS, KIND_ERASE, KIND_EVENT, KIND_PACK
from services.runtime.kafka import partition_of
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import partitions_of, read_topic
from services.triggers.backtest.spool import Spool
from services.triggers.engine.limits import INSTANT_MAX
from services.triggers.worker.reading import (
    MILLIS,
    check_person,
    kind_of,
    read_event,
    read_pack,
    value_of,
)

LINE_BYTES_MAX: Final = 1024 * 1024
"""A longer line is no event: those have at most 32 KiB, whatever stands around them."""
EVENTS_MAX: Final = 100_000_000
READ_SECONDS_MAX: Final = 3600.0
PROGRESS_EVENTS: Final = 10_000
_GZIP: Final = b"\x1f\x8b"
HEAD_BYTES_MAX: Final = 64

Tables = Mapping[bytes, Callable[[Path], Iterable[bytes]]]
"""Files of other forms by how they begin, at most `HEAD_BYTES_MAX` bytes, and how they are read:
a message of Segment's form for each line after the first."""

Progress = Callable[[float | None, int], None]
"""Hears the share that has been read (None: not known) and how many events that gave."""

_NO_TABLES: Final[Tables] = {}


class Taken(msgspec.Struct, kw_only=True):
    """What became of what was read. `refused` counts by ingest's codes, `first_refusal` is
    the place and reason of the first; `after` lies at or past the end that was asked for."""

    events: int = 0
    after: int = 0
    refused: dict[str, int] = msgspec.field(default_factory=dict)
    first_refusal: str | None = None


class _Taker:
    """Puts events into the spool at the instant at which they happened."""

    def __init__(self, spool: Spool, until: Micros | None, progress: Progress) -> None:
        self.taken = Taken()
        self._spool = spool
        self._until = INSTANT_MAX if until is None else until
        self._progress = progress

    def take(self, event: Event, share: float | None = None) -> None:
        at = event.occurred_at
        if at > event.received_at + FUTURE_TOLERANCE:
            at = event.received_at  # as the engine takes it live
        if not 0 <= at < INSTANT_MAX:
            raise Malformed("bad_time", "an instant outside 1970 to 2100")
        if at >= self._until:
            self.taken.after += 1
            return
        self._spool.add(at, event)
        taken = self.taken
        taken.events += 1
        if taken.events % PROGRESS_EVENTS == 0:
            self._progress(share, taken.events)
            if taken.events >= EVENTS_MAX:
                raise CuestreamError(f"more than {EVENTS_MAX} events: choose a shorter time")

    def refuse(self, place: str, error: Malformed) -> None:
        taken = self.taken
        taken.refused[error.code] = taken.refused.get(error.code, 0) + 1
        taken.first_refusal = taken.first_refusal or f"{place}: {error.message}"


def read_file(
    path: Path, spool: Spool, until: Micros | None, progress: Progress, tables: Tables = _NO_TABLES
) -> Taken:
    """Read a file, plain or gzipped: a message of Segment's form on each line, or one of the
    `tables`. A message that ingest would refuse is counted, as it would be.

    Raises:
        CuestreamError: what is wrong with the file, and in which line.
    """
    taker = _Taker(spool, until, progress)
    try:
        with path.open("rb") as raw, _unpacked(raw) as lines:
            head: bytes = lines.peek(HEAD_BYTES_MAX)  # type: ignore[attr-defined]
            table = next((tables[one] for one in tables if head.startswith(one)), None)
            if table is None:
                _read_messages(lines, raw, path.stat().st_size, taker)
        if table is not None:
            _read_table(table(path), taker)
    except Malformed as error:
        raise CuestreamError(f"{path}: {error.message}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CuestreamError(f"{path}: not a whole gzip file") from error
    except OSError as error:
        raise CuestreamError(f"{path}: {error.strerror or error}") from error
    return _checked(taker.taken, str(path))


@contextmanager
def _unpacked(raw: BufferedReader) -> Iterator[IO[bytes]]:
    if raw.peek(2).startswith(_GZIP):
        with gzip.GzipFile(fileobj=raw) as unpacked, BufferedReader(unpacked) as lines:
            yield lines
    else:
        yield raw


def _read_messages(lines: IO[bytes], raw: BufferedReader, size: int, taker: _Taker) -> None:
    number = 0
    while line := lines.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise CuestreamError(f"{raw.name}: line {number}: longer than {LINE_BYTES_MAX} bytes")
        line = line.strip()
        if not line:
            continue
        try:
            taker.take(parse_message(line, received_at=None), raw.tell() / size)
        except Malformed as error:
            if error.code == "bad_json":
                reason = "not one JSON object in UTF-8, as every line has to be"
                raise CuestreamError(f"{raw.name}: line {number}: {reason}") from error
            taker.refuse(f"line {number}", error)


def _read_table(messages: Iterable[bytes], taker: _Taker) -> None:
    for number, message in enumerate(messages, start=2):
        try:
            taker.take(parse_message(message, received_at=None))
        except Malformed as error:
            taker.refuse(f"line {number}", error)


async def read_events_topic(
    settings: KafkaSettings, spool: Spool, until: Micros | None, progress: Progress
) -> Taken:
    """Read what the topic holds when reading begins; what a worker refuses is counted. Of who was
    forgotten there, nothing of before is played.

    Raises:
        Transient: the broker fails.
        CuestreamError: there are no events.
    """
    partitions = await partitions_of(settings, EVENTS)
    settings = settings.model_copy(update={"partitions": partitions})
    taker, replay = _Taker(spool, until, progress), settings.clock == "replay"
    async for record in read_topic(settings, EVENTS, timeout_seconds=READ_SECONDS_MAX):
        place = f"partition {record.partition}, offset {record.offset}"
        try:
            kind = kind_of(record.headers) if record.headers else KIND_EVENT
            if kind == KIND_PACK:
                events, key = read_pack(record), None
            elif kind == KIND_EVENT:
                events, key = [read_event(record, replay=replay)], record.key or b""
            else:
                if kind == KIND_ERASE:
                    erase = decode_erase(value_of(record))
                    spool.forget(erase.person, max(erase.at, record.timestamp * MILLIS))
                continue
        except Malformed as error:
            taker.refuse(place, error)
            continue
        for event in events:
            try:
                _check_place(event, key, record.partition, partitions)
                taker.take(event)
            except Malformed as error:
                taker.refuse(place, error)
    return _checked(taker.taken, "the topic events")


def _check_place(event: Event, key: bytes | None, partition: int, partitions: int) -> None:
    """Refuse what stands where a worker would not look for it."""
    if partition_of(check_person(event.person, key), partitions) != partition:
        raise Malformed("wrong_partition", "the person belongs to another partition")


def _checked(taken: Taken, where: str) -> Taken:
    if taken.events:
        return taken
    if taken.first_refusal is not None:
        refused = sum(taken.refused.values())
        raise CuestreamError(f"{where}: none of {refused} can be used; {taken.first_refusal}")
    raise CuestreamError(f"{where}: no events{' before the end asked for' if taken.after else ''}")
