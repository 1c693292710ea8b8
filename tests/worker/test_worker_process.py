"""The worker as a process: rules without a restart, time, failure, and a clean end."""

import asyncio
import json
import signal
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from services.contracts.codec import encode_json
from services.contracts.control import Marker
from services.contracts.delivery import Delivery
from services.contracts.topics import (
    DEAD_LETTERS,
    EVENTS,
    KIND_DELIVERY,
    KIND_HEADER,
    KIND_MARKER,
    PROFILES,
    URGENT_COMMANDS,
    Topic,
)
from services.runtime.kafka import make_producer, partition_of, topic_name
from services.runtime.process import Child, free_port
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import committed, read_topic
from tests.support import worker_runs as runs
from tests.support.processes import wait_until

SECONDS_MAX = 60.0


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Live:
    """A running worker and a producer beside it."""

    def __init__(self, settings: KafkaSettings, child: Child, port: int, producer: Any) -> None:
        self.settings, self.child, self.producer = settings, child, producer
        self.address = f"http://127.0.0.1:{port}"
        self._sent = 0

    async def event(self, person: str, name: str, **properties: Any) -> int:
        self._sent += 1
        value = {
            "type": "track",
            "userId": person,
            "event": name,
            "messageId": f"m{self._sent}",
            "properties": properties,
        }
        return await self.raw(person, msgspec.json.encode(value))

    async def raw(self, person: str, value: bytes, kind: bytes | None = None) -> int:
        key = person.encode()
        partition = partition_of(key, self.settings.partitions)
        await self.producer.send_and_wait(
            topic_name(self.settings, EVENTS),
            value,
            key=key,
            partition=partition,
            headers=[] if kind is None else [(KIND_HEADER, kind)],
        )
        return partition

    async def marker(self, revision: int) -> None:
        value = encode_json(Marker(revision=revision, at=time.time_ns() // 1000))
        for partition in range(self.settings.partitions):
            await self.producer.send_and_wait(
                topic_name(self.settings, EVENTS),
                value,
                partition=partition,
                headers=[(KIND_HEADER, KIND_MARKER)],
            )

    async def read(self, topic: Topic) -> list[dict[str, Any]]:
        return [
            json.loads(record.value)
            async for record in read_topic(self.settings, topic, timeout_seconds=SECONDS_MAX)
        ]

    async def read_until(self, topic: Topic, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(SECONDS_MAX):
            while len(found := await self.read(topic)) < count:
                assert self.child.alive, self.child.log_tail()
                await asyncio.sleep(0.05)
        return found

    async def metric_is(self, name: str, value: float) -> None:
        """Gauges follow within a second."""
        await asyncio.to_thread(wait_until, lambda: self.metric(name) == value, name, SECONDS_MAX)

    def metric(self, name: str) -> float:
        lines = _get(f"{self.address}/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@asynccontextmanager
async def live(settings: KafkaSettings, folder: Path, **more: str) -> AsyncIterator[Live]:
    await runs.prepare(settings)
    port = free_port()
    child = runs.worker(
        settings,
        "worker",
        folder,
        CUESTREAM_CLOCK="wall",
        CUESTREAM_TRIGGERS_PORT=str(port),
        **more,
    )
    producer = make_producer(settings)
    await producer.start()
    try:
        with runs.started(child):
            yield Live(settings, child, port, producer)
    finally:
        await producer.stop()


async def ready(worker: Live) -> None:
    await asyncio.to_thread(
        wait_until,
        lambda: _get(f"{worker.address}/readyz")[0] == 200,
        f"the worker to be ready\n{worker.child.log_tail()}",
    )


async def test_published_definitions_take_effect_without_a_restart(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with live(kafka_settings, tmp_path) as worker:
        await ready(worker)
        await worker.event("ann", "Order Completed")
        await worker.marker(1)
        await worker.event("ann", "Order Completed")
        (command,) = await worker.read_until(URGENT_COMMANDS, 1)
        assert (command["trigger"], command["trigger_version"]) == ("thanks", 1)
        await worker.marker(2)
        await worker.event("bob", "Order Completed")
        commands = await worker.read_until(URGENT_COMMANDS, 2)
        assert commands[-1]["trigger_version"] == 2 or commands[0]["trigger_version"] == 2
        await worker.metric_is("cuestream_definitions_revision", 2 * kafka_settings.partitions)


async def test_a_broken_marker_or_record_stops_nothing(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with live(
        kafka_settings, tmp_path, CUESTREAM_TRIGGERS_DEFINITIONS_WAIT_SECONDS="0.2"
    ) as worker:
        await ready(worker)
        await worker.marker(1)
        await worker.raw("ann", b"\xff{", None)
        await worker.raw("ann", b'{"v":1,"revision":99,"at":1}', KIND_MARKER)
        await worker.event("ann", "Order Completed")
        await worker.read_until(URGENT_COMMANDS, 1)
        letters = await worker.read(DEAD_LETTERS)
        assert {letter["code"] for letter in letters} == {"bad_json", "definitions_missing"}
        await worker.metric_is("cuestream_dead_letters_total", 2)


async def test_time_passes_for_people_to_whom_nothing_happens(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with live(kafka_settings, tmp_path) as worker:
        await ready(worker)
        await worker.marker(1)
        for _ in range(3):
            await worker.event("ann", "Order Completed")
        # The second snapshot within a second is put off: only a tick brings it.
        profiles = await worker.read_until(PROFILES, 2)
        assert profiles[-1]["as_of"] > profiles[0]["as_of"]


async def test_a_delivery_reaches_the_person_and_latency_is_measured(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with live(kafka_settings, tmp_path) as worker:
        await ready(worker)
        await worker.marker(1)
        await worker.event("ann", "Order Completed")
        (command,) = await worker.read_until(URGENT_COMMANDS, 1)
        delivery = Delivery(
            send_id=command["send_id"],
            person="ann",
            trigger="thanks",
            channel="log",
            status="accepted",
            attempts=1,
            received_at=time.time_ns() // 1000,
        )
        await worker.raw("ann", encode_json(delivery), KIND_DELIVERY)
        await worker.metric_is("cuestream_ingest_to_command_seconds_count", 1)
        await worker.metric_is("cuestream_state_persons", 1)
        assert worker.metric("cuestream_decision_seconds_count") > 0


async def test_sigterm_commits_what_was_processed_and_ends_well(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with live(
        kafka_settings, tmp_path, CUESTREAM_TRIGGERS_COMMIT_INTERVAL_MS="60000"
    ) as worker:
        await ready(worker)
        await worker.marker(1)
        partition = await worker.event("ann", "Order Completed")
        await worker.read_until(URGENT_COMMANDS, 1)
        worker.child.signal(signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: not worker.child.alive, "its end", 10.0)
        assert worker.child.exit_code == 0, worker.child.log_tail()
        assert (await committed(kafka_settings, "triggers", EVENTS))[partition] >= 2


async def test_a_state_nobody_can_read_stops_the_worker_without_committing(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with live(kafka_settings, tmp_path) as worker:
        await ready(worker)
        partition = await worker.event("ann", "Search")
        await worker.read_until(PROFILES, 1)
        worker.child.signal(signal.SIGKILL)
        worker.child.stop()
        before = (await committed(kafka_settings, "triggers", EVENTS))[partition]
        await worker.producer.send_and_wait(
            topic_name(kafka_settings, runs.STATES),
            b"\x00" * 8 + b"?",
            key=b"ann",
            partition=partition,
        )
        await worker.event("ann", "Search")
        worker.child.start()
        await asyncio.to_thread(wait_until, lambda: not worker.child.alive, "its end", SECONDS_MAX)
        assert worker.child.exit_code == 1
        assert "StateUnreadable" in worker.child.log_tail()
        after = (await committed(kafka_settings, "triggers", EVENTS))[partition]
        assert after <= before + 1
