"""`cuestream dlq replay` and `discard`: dead letters that somebody has seen to."""

import time
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Final

import msgspec
import typer

from services.cli import console
from services.cli.dead_letters import LIST_MAX, matches, read_done, read_letters
from services.contracts.codec import encode_json, encode_pack
from services.contracts.command import SendCommand
from services.contracts.deadletter import DeadLetter, LetterDone
from services.contracts.errors import CuestreamError, Transient
from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    EVENTS,
    KIND_DONE,
    KIND_HEADER,
    KIND_PACK,
    KIND_REPLAY,
    RECORD_BYTES_MAX,
    URGENT_COMMANDS,
)
from services.runtime.kafka import KAFKA_ERRORS, make_producer, partition_of, topic_name
from services.runtime.settings import KafkaSettings, load

AMBIGUOUS: Final = "ambiguous"
MILLIS: Final = 1000


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters: those at `offsets`, or without any the ones that match; done ones never."""

    offsets: Collection[int] = ()
    code: str | None = None
    origin: str | None = None
    limit: int = LIST_MAX


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it goes back to where the letter came from."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    partition: int | None = None
    timestamp_ms: int | None = None


async def choose(settings: KafkaSettings, chosen: Chosen) -> dict[int, DeadLetter]:
    """The letters, by offset, oldest first.

    Raises:
        CuestreamError: an offset has no letter, or nothing says which ones.
    """
    if not chosen.offsets and chosen.code is None and chosen.origin is None:
        raise CuestreamError("say which: offsets, --code or --origin")
    done = await read_done(settings)
    found: dict[int, DeadLetter] = {}
    async for one in read_letters(settings):
        if one.letter is None or one.offset in done or len(found) == chosen.limit:
            continue
        if chosen.offsets:
            wanted = one.offset in chosen.offsets
        else:
            wanted = matches(one.letter, code=chosen.code, origin=chosen.origin)
        if wanted:
            found[one.offset] = one.letter
    if missing := sorted(set(chosen.offsets) - found.keys()):
        raise CuestreamError(f"no open dead letter at {', '.join(map(str, missing))}")
    return found


def again(
    letter: DeadLetter,
    settings: KafkaSettings,
    *,
    now: Micros,
    within: int | None,
    ambiguous: bool,
) -> Again:
    """The record to write.

    A send goes back to its topic as `replay/1`: the ledger lets it wait again if it was given up
    and nothing otherwise, so an effect that has happened is never repeated. With `within`
    (microseconds) it may be sent until then, whatever its own deadline was. An event goes
    back to `events` with its own time: the engine skips a message id that it knows.

    Raises:
        CuestreamError: it cannot be replayed; the message says why.
    """
    value = letter.value
    if value is None:
        raise CuestreamError("the record had no value")
    if letter.topic in (topic_name(settings, one) for one in (COMMANDS, URGENT_COMMANDS)):
        if letter.code == AMBIGUOUS and not ambiguous:
            raise CuestreamError("it may have arrived: --ambiguous sends it again nevertheless")
        return _command(letter, value, within=within, now=now)
    if letter.topic == topic_name(settings, EVENTS):
        return _event(letter, value)
    raise CuestreamError(f"what stood in {letter.topic} has to be sent again by whoever sent it")


def _command(letter: DeadLetter, value: bytes, *, within: int | None, now: Micros) -> Again:
    headers = list(letter.headers.items())
    if KIND_HEADER not in letter.headers:
        headers = [(KIND_HEADER, KIND_REPLAY)]
    if within is not None:
        try:
            command = msgspec.json.decode(value, type=SendCommand)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise CuestreamError("no command that could get a new deadline") from None
        value = encode_json(msgspec.structs.replace(command, expires_at=now + within))
    return Again(topic=letter.topic, key=letter.key, value=value, headers=headers)


def _event(letter: DeadLetter, value: bytes) -> Again:
    if letter.index is None:
        return Again(
            topic=letter.topic,
            key=letter.key,
            value=value,
            headers=list(letter.headers.items()),
            partition=letter.partition,
            timestamp_ms=letter.at // MILLIS,
        )
    try:
        event = msgspec.json.decode(value, type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CuestreamError("only a part of the event was kept") from None
    return Again(
        topic=letter.topic,
        key=event.person.encode(),
        value=encode_pack([event]),
        headers=[(KIND_HEADER, KIND_PACK)],
        timestamp_ms=letter.at // MILLIS,
    )


async def replay(
    settings: KafkaSettings,
    chosen: Chosen,
    *,
    now: Micros,
    within: int | None = None,
    ambiguous: bool = False,
) -> tuple[list[int], dict[int, str]]:
    """Write them to their topics again; returns the offsets, and of the others why not.

    Each is marked as replayed after its record is acknowledged: if that fails, it can be
    replayed once more without harm.

    Raises:
        CuestreamError: see `choose`.
        Transient: the broker is away.
    """
    records: dict[int, Again] = {}
    refused: dict[int, str] = {}
    for offset, letter in (await choose(settings, chosen)).items():
        try:
            record = again(letter, settings, now=now, within=within, ambiguous=ambiguous)
        except CuestreamError as error:
            refused[offset] = str(error)
            continue
        if len(record.value) > RECORD_BYTES_MAX:
            refused[offset] = "larger than a record may be"
        else:
            records[offset] = record
    await _write(settings, records, "replayed", now)
    return list(records), refused


async def discard(settings: KafkaSettings, chosen: Chosen, *, now: Micros) -> list[int]:
    """Mark them as done with; they stay on the topic as long as it keeps them.

    Raises:
        CuestreamError: see `choose`.
        Transient: the broker is away.
    """
    offsets = list(await choose(settings, chosen))
    await _write(settings, dict.fromkeys(offsets), "discarded", now)
    return offsets


async def _write(settings: KafkaSettings, records: dict[int, Any], what: Any, now: Micros) -> None:
    if not records:
        return
    producer = make_producer(settings)
    try:
        await producer.start()
        for offset, record in records.items():
            if record is not None:
                await _send(producer, record)
            done = LetterDone(offset=offset, what=what, at=now)
            await producer.send_and_wait(
                topic_name(settings, DEAD_LETTERS),
                encode_json(done),
                headers=[(KIND_HEADER, KIND_DONE)],
            )
    except KAFKA_ERRORS as error:
        raise Transient(f"broker: {error!r}") from error
    finally:
        await producer.stop()


async def _send(producer: Any, record: Again) -> None:
    partition = record.partition
    if partition is None and record.key is not None:
        partition = partition_of(record.key, len(await producer.partitions_for(record.topic)))
    await producer.send_and_wait(
        record.topic,
        record.value,
        key=None if (KIND_HEADER, KIND_PACK) in record.headers else record.key,
        partition=partition,
        headers=record.headers,
        timestamp_ms=record.timestamp_ms,
    )


Offsets = Annotated[list[int] | None, typer.Argument(min=0, help="as `dlq list` shows them")]
Code = Annotated[str | None, typer.Option(help="all with this reason code")]
Origin = Annotated[str | None, typer.Option(help="all from this service")]
Limit = Annotated[int, typer.Option(min=1, max=LIST_MAX, help="the oldest so many")]


def _chosen(offsets: Sequence[int] | None, code: str | None, origin: str | None, n: int) -> Chosen:
    return Chosen(offsets=frozenset(offsets or ()), code=code, origin=origin, limit=n)


def replay_command(
    offsets: Offsets = None,
    code: Code = None,
    origin: Origin = None,
    limit: Limit = LIST_MAX,
    within: Annotated[
        str | None, typer.Option(help="sends: a new deadline from now on, such as 2h")
    ] = None,
    ambiguous: Annotated[
        bool, typer.Option(help="also sends that may have arrived: perhaps a second time")
    ] = False,
) -> None:
    """Try dead letters again: sends that were given up, events that could not be folded."""
    try:
        within_micros = None if within is None else parse_duration(within)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    replayed, refused = console.run(
        replay(
            load(KafkaSettings),
            _chosen(offsets, code, origin, limit),
            now=time.time_ns() // MILLIS,
            within=within_micros,
            ambiguous=ambiguous,
        )
    )
    typer.echo(f"{len(replayed)} replayed")
    for offset, reason in refused.items():
        typer.echo(f"{offset}: {reason}", err=True)
    if refused:
        raise typer.Exit(1)


def discard_command(
    offsets: Offsets = None, code: Code = None, origin: Origin = None, limit: Limit = LIST_MAX
) -> None:
    """Put dead letters aside: nobody has to see to them any more."""
    chosen = _chosen(offsets, code, origin, limit)
    discarded = console.run(discard(load(KafkaSettings), chosen, now=time.time_ns() // MILLIS))
    typer.echo(f"{len(discarded)} discarded")
