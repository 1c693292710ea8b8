"""The real ingest process, and what it wrote to a real topic."""

import asyncio
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError

from services.contracts.codec import decode_pack
from services.contracts.event import Event
from services.contracts.topics import DEAD_LETTERS, EVENTS, KIND_HEADER, KIND_PACK, Topic
from services.runtime.kafka import create_topics, make_consumer, partition_of
from services.runtime.process import Child, free_port
from services.runtime.settings import KafkaSettings
from tests.support.processes import wait_until

KEY = "test-key"
READ_SECONDS_MAX = 20.0


class RunningIngest:
    """`python -m services.ingest` as a child process; a context manager."""

    def __init__(self, kafka: KafkaSettings, logs: Path, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {
            "kafka": kafka.kafka,
            "kafka_idempotence": kafka.kafka_idempotence,
            "topic_prefix": kafka.topic_prefix,
            "ingest_port": self.port,
            "write_keys": KEY,
            "log_format": "json",
        } | settings
        self.child = Child(
            "ingest",
            [sys.executable, "-m", "services.ingest"],
            log=logs / f"ingest-{self.port}.log",
            environment={**os.environ, **_environment(given)},
        )

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self) -> None:
        """Return once it can take events; fails the test with its log when it ends before."""
        wait_until(lambda: not self.child.alive or self.get("/readyz")[0] == 200, "ingest")
        assert self.child.alive, self.child.log_tail()

    def __enter__(self) -> Self:
        self.child.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.child.stop()


def _environment(settings: Mapping[str, object]) -> dict[str, str]:
    return {
        f"CUESTREAM_{name.upper()}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
    }


async def make_topics(kafka: KafkaSettings) -> None:
    """The two topics that ingest writes."""
    await create_topics(kafka, [EVENTS, DEAD_LETTERS])


async def read_records(kafka: KafkaSettings, topic: Topic, enough: "Enough") -> list[bytes]:
    """Records of a topic from its beginning, until `enough` says so of what was read."""
    consumer = make_consumer(kafka, topic, group=None)
    await consumer.start()
    values: list[bytes] = []
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            while not enough(values):
                for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                    for record in records:
                        if topic is EVENTS:
                            assert (KIND_HEADER, KIND_PACK) in record.headers
                            check_partition(record.value, partition.partition, kafka.partitions)
                        values.append(record.value)
    finally:
        await consumer.stop()
    return values


class Enough:
    """Says when a reader may stop: at `count` events, or records for other topics."""

    def __init__(self, count: int, *, packed: bool) -> None:
        self._count = count
        self._packed = packed

    def __call__(self, values: list[bytes]) -> bool:
        if not self._packed:
            return len(values) >= self._count
        return sum(len(decode_pack(value)) for value in values) >= self._count


async def read_events(kafka: KafkaSettings, count: int) -> list[Event]:
    """At least `count` events, in the order of each partition."""
    values = await read_records(kafka, EVENTS, Enough(count, packed=True))
    return [event for value in values for event in decode_pack(value)]


async def read_dead_letters(kafka: KafkaSettings, count: int) -> list[bytes]:
    """At least `count` dead letters."""
    return await read_records(kafka, DEAD_LETTERS, Enough(count, packed=False))


def check_partition(pack: bytes, partition: int, partitions: int) -> None:
    """Every event stands where murmur2 puts its person."""
    for event in decode_pack(pack):
        assert partition_of(event.person.encode(), partitions) == partition
