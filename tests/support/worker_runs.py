"""Runs of the real worker over a fixed log, undisturbed or shaken, and what came out of them.

Everything but the settings is the same for the embedded broker and a real Kafka.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    TOPICS,
    URGENT_COMMANDS,
    Topic,
)
from services.runtime.kafka import create_topics
from services.runtime.process import Child
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import committed, read_topic
from tests.support.worker_log import Row, make_log, produce, publish_definitions, read_log

CALM_ATTEMPTS_MAX = 3
READ_SECONDS_MAX = 60.0
PROCESS_SECONDS_MAX = 90.0
POLL_SECONDS = 0.1
STATES = Topic(name="triggers-state-changelog", keyed_by="person", co_partitioned=True)
GROUP = "triggers"


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
    notices: set[bytes | None] = field(default_factory=set)


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
    for topic in (COMMANDS, URGENT_COMMANDS):
        async for record in read_topic(settings, topic, timeout_seconds=READ_SECONDS_MAX):
            if record.headers:
                found.notices.add(record.value)
                continue
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


async def suspended_run(settings: KafkaSettings, rows: Sequence[Row], folder: Path) -> Outcome:
    """Two workers, one of which sleeps in mid-stream until the other has its partitions."""
    await prepare(settings)
    quarter = len(rows) // 4
    first, second = (worker(settings, name, folder) for name in ("first", "second"))
    with started(first, second):
        await produce(settings, rows[:quarter])
        await wait_processed(settings, quarter // 2, first, second)
        await produce(settings, rows[quarter : 2 * quarter])
        first.signal(signal.SIGSTOP)
        await wait_processed(settings, 2 * quarter, second)
        await produce(settings, rows[2 * quarter : 3 * quarter])
        first.signal(signal.SIGCONT)
        await produce(settings, rows[3 * quarter :])
        await wait_processed(settings, sum(map(len, await read_log(settings))), second)
        assert second.stop(), second.log_tail()
        first.stop()
    return await outcome(settings)


Run = Callable[[KafkaSettings, Sequence[Row], Path], Awaitable[Outcome]]


async def compare(
    settings: KafkaSettings,
    *,
    events: int,
    packed: bool,
    folder: Path,
    shake: Run = shaken_run,
) -> tuple[Outcome, Outcome]:
    """An undisturbed and a shaken run over the same log; (calm, shaken).

    Without idempotence a producer that hears nothing for a while may write a record twice.
    So the undisturbed run gets what really stands on the shaken one's log.
    """
    rows = make_log(events=events, partitions=settings.partitions, packed=packed)
    shaken = await shake(settings, rows, folder)
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
    assert shaken.notices == calm.notices
    assert shaken.states == calm.states
    assert shaken.decisions == calm.decisions
    assert shaken.letters == calm.letters
