"""Workers that merge people, killed on the way: what they leave is judged from the log alone.

A run cannot be compared with another one here: what workers write to each other's logs stands
between the rest as it came. So the same log is folded once more, undisturbed, and then the
auditor of the simulation looks at who was merged with whom.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    DEFINITIONS,
    EVENTS,
    KIND_ANSWER,
    KIND_ASK,
    KIND_FORWARD,
    URGENT_COMMANDS,
    Topic,
)
from services.runtime.process import Child
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import read_topic
from services.triggers.worker.engine_port import triggers_engine
from tests.simulation.reference import NOTICES, Definitions, Reference
from tests.simulation.rows import kind
from tests.simulation.unions import Unions
from tests.simulation.world import Row
from tests.support import worker_runs as runs
from tests.support.worker_log import Row as LogRow
from tests.support.worker_log import produce

SETTLE_SECONDS_MAX = 120.0
READ_SECONDS_MAX = 60.0
HOPS = (KIND_ASK, KIND_ANSWER, KIND_FORWARD)


@dataclass(frozen=True, kw_only=True)
class Logs:
    """What stands on the topics, by partition."""

    topics: Mapping[str, Sequence[Sequence[Row]]]
    partitions: int

    @property
    def hops(self) -> "Counter[bytes]":
        """How many of each kind."""
        kinds = (kind(row) for rows in self.topics[EVENTS.name] for row in rows)
        return Counter(one for one in kinds if one in HOPS)


async def shaken_run(settings: KafkaSettings, rows: Sequence[LogRow], folder: Path) -> Logs:
    """Two workers over the log while it is written, each killed once, one comes back."""
    await runs.prepare(settings)
    quarter = len(rows) // 4
    first, second = (runs.worker(settings, name, folder) for name in ("first", "second"))
    with runs.started(first, second):
        await produce(settings, rows[:quarter])
        await runs.wait_processed(settings, quarter // 2, first, second)
        await produce(settings, rows[quarter : 2 * quarter])
        runs.kill(first)
        await runs.wait_processed(settings, 2 * quarter, second)
        first.start()
        await produce(settings, rows[2 * quarter : 3 * quarter])
        await runs.wait_processed(settings, 2 * quarter + quarter // 2, first, second)
        await produce(settings, rows[3 * quarter :])
        runs.kill(second)
        await _settled(settings, first)
        assert first.stop(), first.log_tail()
    return await read_logs(settings)


async def _settled(settings: KafkaSettings, *workers: Child) -> None:
    """Wait until all is folded that stands on the log, what workers wrote there included."""
    before = -1
    async with asyncio.timeout(SETTLE_SECONDS_MAX):
        while (count := sum(map(len, await _read(settings, EVENTS)))) != before:
            before = count
            await runs.wait_processed(settings, count, *workers)


async def read_logs(settings: KafkaSettings) -> Logs:
    """Everything that a run has left."""
    topics = (
        EVENTS, DEFINITIONS, COMMANDS, URGENT_COMMANDS, DECISIONS, DEAD_LETTERS, runs.STATES
    )  # fmt: skip
    return Logs(
        topics={topic.name: await _read(settings, topic) for topic in topics},
        partitions=settings.partitions,
    )


async def _read(settings: KafkaSettings, topic: Topic) -> list[list[Row]]:
    found: list[list[Row]] = [[] for _ in range(settings.partitions)]
    async for record in read_topic(settings, topic, timeout_seconds=READ_SECONDS_MAX):
        found[record.partition].append(
            Row(
                offset=record.offset,
                key=record.key,
                value=record.value,
                headers=tuple(record.headers),
                timestamp=record.timestamp,
            )
        )
    return found


def problems_of(logs: Logs) -> list[str]:
    """What is wrong with a run; empty if nothing was lost, doubled or sent against a cap."""
    engine = triggers_engine("default")
    definitions = Definitions(logs, engine)
    references = [
        Reference(logs, engine, definitions, partition, replay=True)
        for partition in range(logs.partitions)
    ]
    problems = list(Unions(logs, references).audit())
    for partition, reference in enumerate(references):
        stored = {
            (row.key or b"").decode(): row.value or b""
            for row in logs.topics[runs.STATES.name][partition]
        }
        differing = [
            person
            for person in stored.keys() | reference.stored.keys()
            if stored.get(person) != reference.stored.get(person)
        ]
        problems += [f"partition {partition}: the state of {person}" for person in differing]
        for topic in (COMMANDS.name, URGENT_COMMANDS.name, DECISIONS.name):
            found = {row.value for row in logs.topics[topic][partition]}
            wanted = set(reference.outputs[topic])
            if topic == URGENT_COMMANDS.name:
                wanted |= set(reference.outputs[NOTICES])
            problems += [f"partition {partition}: {topic}: {value!r}" for value in found ^ wanted]
        problems += [
            f"{person} still waits for {asking}"
            for person in reference.stored
            if (asking := reference.asking(person))
        ]
    return problems
