"""Runs of the real worker over a fixed log, undisturbed or shaken, and what came out of them.

Everything but the settings is the same for the embedded broker and a real Kafka.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from services.cli.topics import committed, read_topic
from services.contracts.codec import encode_json, encode_pack
from services.contracts.control import Marker, Tick
from services.contracts.definitions import (
    HEAD_KEY,
    DefinitionRecord,
    Policy,
    Scope,
    Tag,
    Trigger,
    definition_key,
)
from services.contracts.event import Event
from services.contracts.time import HOUR, MINUTE
from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    DEFINITIONS,
    EVENTS,
    KIND_HEADER,
    KIND_MARKER,
    KIND_PACK,
    KIND_TICK,
    TOPICS,
    Topic,
)
from services.runtime.kafka import create_topics, make_producer, partition_of, topic_name
from services.runtime.process import Child
from services.runtime.settings import KafkaSettings

PACK_EVENTS = 20
CALM_ATTEMPTS_MAX = 3
POISON_SHARE = 0.002
READ_SECONDS_MAX = 60.0
PROCESS_SECONDS_MAX = 90.0
POLL_SECONDS = 0.1
STATES = Topic(name="triggers-state-changelog", keyed_by="person", co_partitioned=True)
GROUP = "triggers"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record to be produced."""

    partition: int
    key: bytes | None
    value: bytes
    kind: bytes | None
    timestamp_ms: int


@dataclass(kw_only=True)
class Outcome:
    """What stands on the topics after a run; duplicates of a record are collapsed.

    `differing` are records that were written again with other bytes.
    """

    states: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    commands: dict[str, bytes] = field(default_factory=dict)
    decisions: set[bytes] = field(default_factory=set)
    letters: set[bytes] = field(default_factory=set)
    differing: list[str] = field(default_factory=list)
    commands_written: int = 0


def definitions(revision: int) -> list[Tag | Trigger | Policy]:
    """A small workspace whose caps, windows and put-off sends keep history in every state."""
    triggers: list[dict[str, Any]] = [
        {
            "id": "third_view",
            "entry": {"events": ["Product Viewed"]},
            "audience": {"tag": "views", "op": "gte", "value": 3},
            "dedup": {"key": ["sku"], "window": "6h"},
            "when_capped": {"action": "defer", "expires_after": "12h"},
            "steps": [{"send": {"channel": "log"}}],
        },
        {
            "id": "thanks",
            "category": "transactional",
            "entry": {"events": ["Order Completed"]},
            "steps": [{"send": {"channel": "log"}}],
        },
    ]
    if revision > 1:
        triggers[1]["reentry"] = {"mode": "cooldown", "cooldown": "2h"}
    return [
        *(msgspec.convert(trigger, Trigger) for trigger in triggers),
        Tag(id="views", aggregate="count", events=("Product Viewed",), window="24h"),
        Tag(id="spend", aggregate="sum", events=("Order Completed",), value="total", window="30d"),
        Policy(
            id="marketing_daily",
            limit=2,
            window="4h",
            scope=Scope(kind="category", value="marketing"),
        ),
    ]


class _LogMaker:
    """Builds a log record by record; `at` is the time of the next."""

    def __init__(self, partitions: int, draw: random.Random) -> None:
        self.rows: list[Row] = []
        # Kafka refuses what is stamped in the future, and drops what is older than it keeps.
        self.at = (int(time.time()) // 3600 - 25) * HOUR
        self._draw = draw
        self._packs: list[list[Event]] = [[] for _ in range(partitions)]

    def put(self, partition: int, key: bytes | None, value: bytes, kind: bytes | None) -> None:
        self.rows.append(
            Row(
                partition=partition,
                key=key,
                value=value,
                kind=kind,
                timestamp_ms=self.at // 1000,
            )
        )

    def ship(self, events_min: int = 1) -> None:
        for partition, pack in enumerate(self._packs):
            if len(pack) >= events_min:
                self.put(partition, None, encode_pack(pack), KIND_PACK)
                pack.clear()

    def everywhere(self, value: bytes, kind: bytes) -> None:
        self.ship()
        for partition in range(len(self._packs)):
            self.put(partition, None, value, kind)

    def happening(self, number: int, *, packed: bool) -> None:
        draw = self._draw
        person = f"shopper-{int(200 * draw.random() ** 2)}"
        partition = partition_of(person.encode(), len(self._packs))
        name = draw.choice(("Product Viewed", "Product Viewed", "Order Completed", "Search"))
        properties = {"sku": draw.randrange(6), "total": draw.randrange(1, 9000) / 100}
        if draw.random() < POISON_SHARE:
            self.put(partition, person.encode(), b"{poison", None)
        if packed:
            event = Event(
                person=person,
                type="track",
                name=name,
                message_id=f"m{number}",
                occurred_at=self.at,
                received_at=self.at,
                properties=properties,
                user_id=person,
            )
            self._packs[partition].append(event)
            self.ship(PACK_EVENTS)
            return
        message = {
            "type": "track",
            "userId": person,
            "event": name,
            "messageId": f"m{number}",
            "properties": properties,
            "timestamp": self.at,
        }
        self.put(partition, person.encode(), msgspec.json.encode(message), None)


def make_log(*, events: int, partitions: int, packed: bool, seed: int = 7) -> list[Row]:
    """A day of shoppers: events, a tick each minute, two markers, now and then poison."""
    log = _LogMaker(partitions, random.Random(seed))
    step = 24 * HOUR // events
    for number in range(events):
        before, log.at = log.at, log.at + step
        for revision, share in ((1, 20), (2, 2)):
            if number == events // share:
                marker = Marker(revision=revision, at=log.at)
                log.everywhere(encode_json(marker), KIND_MARKER)
        if before // MINUTE != log.at // MINUTE:
            log.everywhere(encode_json(Tick(at=log.at)), KIND_TICK)
        log.happening(number, packed=packed)
    log.ship()
    return log.rows


async def publish_definitions(settings: KafkaSettings) -> None:
    """Revisions 1 and 2, as the API's relay writes them."""
    producer = make_producer(settings)
    await producer.start()
    try:
        name = topic_name(settings, DEFINITIONS)
        for revision in (1, 2):
            records = [
                (
                    definition_key(type(one).__name__.lower(), one.id),
                    DefinitionRecord(
                        kind=type(one).__name__.lower(),  # type: ignore[arg-type]
                        id=one.id,
                        version=revision,
                        revision=revision,
                        definition=msgspec.to_builtins(one),
                    ),
                )
                for one in definitions(revision)
            ]
            head = DefinitionRecord(kind="revision", id="head", version=revision, revision=revision)
            for key, record in [*records, (HEAD_KEY, head)]:
                await producer.send_and_wait(name, encode_json(record), key=key, partition=0)
    finally:
        await producer.stop()


async def produce(settings: KafkaSettings, rows: Sequence[Row]) -> None:
    """Append the rows; each partition's in their order."""
    producer = make_producer(settings, linger_ms=2)
    await producer.start()
    try:
        for row in rows:
            await producer.send(
                topic_name(settings, EVENTS),
                row.value,
                key=row.key,
                partition=row.partition,
                timestamp_ms=row.timestamp_ms,
                headers=[] if row.kind is None else [(KIND_HEADER, row.kind)],
            )
        await producer.flush()
    finally:
        await producer.stop()


def worker(settings: KafkaSettings, name: str, folder: Path, **more: str) -> Child:
    """The worker as a child process, not started; it writes to a file in `folder`."""
    environment = {
        **os.environ,
        "CUESTREAM_KAFKA": settings.kafka,
        "CUESTREAM_KAFKA_IDEMPOTENCE": str(settings.kafka_idempotence).lower(),
        "CUESTREAM_KAFKA_SESSION_TIMEOUT_MS": str(settings.kafka_session_timeout_ms),
        "CUESTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "CUESTREAM_PARTITIONS": str(settings.partitions),
        "CUESTREAM_TRIGGERS_PORT": "0",
        "CUESTREAM_CLOCK": "replay",
        **more,
    }
    return Child(
        name,
        [sys.executable, "-m", "services.triggers.worker"],
        log=folder / f"{name}.log",
        environment=environment,
    )


@contextmanager
def started(*children: Child) -> Iterator[None]:
    """Start them, and kill what still runs at the end."""
    try:
        for child in children:
            child.start()
        yield
    finally:
        for child in children:
            child.stop(grace_seconds=0)


def kill(child: Child) -> None:
    """SIGKILL, and wait until it is gone."""
    assert child.alive, child.log_tail()
    child.signal(signal.SIGKILL)
    child.stop()
    assert child.exit_code == -signal.SIGKILL


async def processed(settings: KafkaSettings) -> int:
    """Records of `events` whose offsets are committed."""
    return sum((await committed(settings, GROUP, EVENTS)).values())


async def read_log(settings: KafkaSettings) -> list[list[Row]]:
    """What stands on `events`, by partition."""
    found: list[list[Row]] = [[] for _ in range(settings.partitions)]
    async for record in read_topic(settings, EVENTS, timeout_seconds=READ_SECONDS_MAX):
        found[record.partition].append(
            Row(
                partition=record.partition,
                key=record.key,
                value=record.value,
                kind=record.headers[0][1] if record.headers else None,
                timestamp_ms=record.timestamp,
            )
        )
    return found


async def wait_processed(settings: KafkaSettings, count: int, *children: Child) -> None:
    """Return once so many records are committed; fails when a child ends by itself."""
    async with asyncio.timeout(PROCESS_SECONDS_MAX):
        while await processed(settings) < count:
            for child in children:
                assert child.alive, f"{child.name} ended:\n{child.log_tail()}"
            await asyncio.sleep(POLL_SECONDS)


async def outcome(settings: KafkaSettings) -> Outcome:
    """Read everything a run has left."""
    found = Outcome()
    async for record in read_topic(settings, STATES, timeout_seconds=READ_SECONDS_MAX):
        found.states[record.partition, record.key] = record.value
    async for record in read_topic(settings, COMMANDS, timeout_seconds=READ_SECONDS_MAX):
        send_id = msgspec.json.decode(record.value)["send_id"]
        found.commands_written += 1
        if found.commands.setdefault(send_id, record.value) != record.value:
            found.differing.append(send_id)
    async for record in read_topic(settings, DECISIONS, timeout_seconds=READ_SECONDS_MAX):
        found.decisions.add(record.value)
    async for record in read_topic(settings, DEAD_LETTERS, timeout_seconds=READ_SECONDS_MAX):
        letter = msgspec.json.decode(record.value)
        del letter["topic"]  # its prefix is the run's own
        found.letters.add(msgspec.json.encode(letter, order="sorted"))
    return found


async def prepare(settings: KafkaSettings) -> None:
    """Make topics and definitions."""
    await create_topics(settings, TOPICS)
    await publish_definitions(settings)


async def undisturbed_run(settings: KafkaSettings, rows: Sequence[Row], folder: Path) -> Outcome:
    """One worker over the whole log."""
    await prepare(settings)
    await produce(settings, rows)
    calm = worker(settings, f"calm-{settings.topic_prefix}", folder)
    with started(calm):
        await wait_processed(settings, len(rows), calm)
        assert calm.stop(), calm.log_tail()
    return await outcome(settings)


async def shaken_run(settings: KafkaSettings, rows: Sequence[Row], folder: Path) -> Outcome:
    """Two workers over the same log while it is written: each is killed once, one comes back."""
    await prepare(settings)
    quarter = len(rows) // 4
    first, second = (worker(settings, name, folder) for name in ("first", "second"))
    with started(first, second):
        await produce(settings, rows[:quarter])
        await wait_processed(settings, quarter // 2, first, second)
        # In mid-stream: what was just written is being folded.
        await produce(settings, rows[quarter : 2 * quarter])
        kill(first)
        await wait_processed(settings, 2 * quarter, second)
        first.start()
        await produce(settings, rows[2 * quarter : 3 * quarter])
        await wait_processed(settings, 2 * quarter + quarter // 2, first, second)
        await produce(settings, rows[3 * quarter :])
        kill(second)
        await wait_processed(settings, sum(map(len, await read_log(settings))), first)
        assert first.stop(), first.log_tail()
    return await outcome(settings)


async def compare(
    settings: KafkaSettings, *, events: int, packed: bool, folder: Path
) -> tuple[Outcome, Outcome]:
    """An undisturbed and a shaken run over the same log; (calm, shaken).

    Without idempotence a producer that hears nothing for a while may write a record twice.
    So the undisturbed run gets what really stands on the shaken one's log.
    """
    rows = make_log(events=events, partitions=settings.partitions, packed=packed)
    shaken = await shaken_run(settings, rows, folder)
    log = await read_log(settings)
    for attempt in range(CALM_ATTEMPTS_MAX):
        prefix = f"{settings.topic_prefix}calm{attempt}-"
        other = settings.model_copy(update={"topic_prefix": prefix})
        calm = await undisturbed_run(other, [row for part in log for row in part], folder)
        if await read_log(other) == log:
            return calm, shaken
    raise AssertionError("the log could not be copied without a difference")


def same(calm: Outcome, shaken: Outcome) -> None:
    """Fail unless a shaken run left what an undisturbed one leaves."""
    assert not shaken.differing, "decided again to other bytes"
    assert shaken.commands.keys() - calm.commands.keys() == set(), "sent what should not be"
    assert calm.commands.keys() - shaken.commands.keys() == set(), "lost"
    assert shaken.commands == calm.commands
    assert shaken.states == calm.states
    assert shaken.decisions == calm.decisions
    assert shaken.letters == calm.letters
