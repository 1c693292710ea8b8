"""What a marketer publishes is live in the running workers within two seconds.

The API and a worker run as processes; events flow on every partition all the time. Measured
from the API's answer to what a partition's own outputs show, so that no partition is behind.
"""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.cli.migrations import migrate_all
from services.contracts.codec import encode_json
from services.contracts.decision import Decision, Outcome
from services.contracts.topics import DECISIONS, EVENTS, TOPICS, Topic
from services.runtime.kafka import (
    create_topics,
    make_consumer,
    make_producer,
    partition_of,
    topic_name,
)
from services.runtime.process import Child, free_port
from services.runtime.settings import KafkaSettings

TOKEN = "a-token-for-tests"
LIVE_SECONDS_MAX = 2.0
EVENT_EVERY_SECONDS = 0.02
START_SECONDS_MAX = 60.0
TRIGGER: dict[str, Any] = {
    "id": "thanks",
    "entry": {"events": ["Order Completed"], "where": {"tag": "orders", "op": "gte", "value": 1}},
    "steps": [{"send": {"channel": "log", "content": {"body": "Thank you"}}}],
}
NARROWER = {"audience": {"trait": "vip", "op": "eq", "value": True}}
TAG = {"id": "orders", "aggregate": "count", "events": ["Order Completed"]}


class Rig:
    """Both processes, a stream of events and the decisions made on it."""

    def __init__(self, database_url: str, kafka: KafkaSettings, logs: Path) -> None:
        self.kafka = kafka
        self.partitions = range(kafka.partitions)
        self.decisions: dict[int, list[tuple[float, Decision]]] = {p: [] for p in self.partitions}
        ports = {"api": free_port(), "triggers": free_port()}
        environment = {
            **os.environ,
            "CUESTREAM_API_TOKENS": TOKEN,
            "CUESTREAM_DATABASE_URL": database_url,
            "CUESTREAM_KAFKA": kafka.kafka,
            "CUESTREAM_KAFKA_IDEMPOTENCE": str(kafka.kafka_idempotence).lower(),
            "CUESTREAM_KAFKA_SESSION_TIMEOUT_MS": str(kafka.kafka_session_timeout_ms),
            "CUESTREAM_TOPIC_PREFIX": kafka.topic_prefix,
            "CUESTREAM_PARTITIONS": str(kafka.partitions),
            "CUESTREAM_API_PORT": str(ports["api"]),
            "CUESTREAM_TRIGGERS_PORT": str(ports["triggers"]),
        }
        self.children = [
            Child(
                name,
                [sys.executable, "-m", module],
                log=logs / f"{name}.log",
                environment=environment,
            )
            for name, module in (
                ("api", "services.triggers.api"),
                ("triggers", "services.triggers.worker"),
            )
        ]
        self._ready_urls = [f"http://127.0.0.1:{port}/readyz" for port in ports.values()]
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ports['api']}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )

    async def start(self) -> None:
        """Start both and wait until they are ready."""
        for child in self.children:
            child.start()
        async with asyncio.timeout(START_SECONDS_MAX):
            for url in self._ready_urls:
                while not await self._ready(url):  # noqa: ASYNC110  (another process)
                    await asyncio.sleep(0.05)

    async def _ready(self, url: str) -> bool:
        for child in self.children:
            assert child.alive, child.log_tail()
        try:
            return (await self.client.get(url)).status_code == 200
        except httpx.TransportError:
            return False

    async def stop(self) -> None:
        """Stop both; each has to end cleanly."""
        await self.client.aclose()
        for child in self.children:
            assert child.stop(), f"{child.name} had to be killed: {child.log_tail()}"
            assert child.exit_code == 0, child.log_tail()

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Events arrive on every partition, each of a new person, and decisions are read."""
        tasks = [asyncio.create_task(self._produce()), asyncio.create_task(self._read(DECISIONS))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with pytest.raises(asyncio.CancelledError):
                    await task

    async def _produce(self) -> None:
        producer = make_producer(self.kafka)
        await producer.start()
        try:
            for number in itertools.count():
                person = f"person-{number}"
                message = {
                    "type": "track",
                    "event": "Order Completed",
                    "userId": person,
                    "messageId": f"m-{number}",
                }
                key = person.encode()
                partition = partition_of(key, len(self.partitions))
                name = topic_name(self.kafka, EVENTS)
                await producer.send_and_wait(
                    name, encode_json(message), key=key, partition=partition
                )
                await asyncio.sleep(EVENT_EVERY_SECONDS / len(self.partitions))
        finally:
            await producer.stop()

    async def _read(self, topic: Topic) -> None:
        consumer: AIOKafkaConsumer = make_consumer(self.kafka, group=None)
        await consumer.start()
        try:
            places = [TopicPartition(topic_name(self.kafka, topic), p) for p in self.partitions]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            async for record in consumer:
                decision = msgspec.json.decode(record.value, type=Decision)
                self.decisions[record.partition].append((time.monotonic(), decision))
        finally:
            await consumer.stop()

    async def live_after(self, since: float, shows: Callable[[Decision], bool]) -> dict[int, float]:
        """For each partition, seconds from `since` to its first decision that shows it."""
        found: dict[int, float] = {}
        async with asyncio.timeout(30):
            while len(found) < len(self.partitions):
                for partition in self.partitions:
                    for at, decision in self.decisions[partition]:
                        if partition not in found and at >= since and shows(decision):
                            found[partition] = at - since
                await asyncio.sleep(0.01)
        return found

    async def post(self, path: str, body: Any = None) -> tuple[float, dict[str, Any]]:
        """The moment the API answered, and what."""
        answer = await self.client.post(path, json=body)
        assert answer.is_success, answer.text
        return time.monotonic(), dict(answer.json())


@pytest.fixture
async def rig(
    database_url: str, kafka_settings: KafkaSettings, tmp_path: Path
) -> AsyncIterator[Rig]:
    """Both processes, ready."""
    await migrate_all(database_url)
    await create_topics(kafka_settings, TOPICS)
    made = Rig(database_url, kafka_settings, tmp_path)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


@pytest.mark.embedded
async def test_what_is_published_paused_resumed_and_rolled_back_is_live_within_two_seconds(
    rig: Rig, record_property: Callable[[str, object], None]
) -> None:
    given = [{"kind": "tag", **TAG}, {"kind": "trigger", **TRIGGER}]
    async with rig.flowing():
        at, answer = await rig.post("/v1/apply", {"definitions": given})
        published = answer["revision"]
        sent = await rig.live_after(
            at, lambda one: one.outcome is Outcome.SENT and one.revision == published
        )
        at, answer = await rig.post("/v1/triggers/thanks/pause")
        paused = answer["revision"]
        stopped = await rig.live_after(
            at, lambda one: one.outcome is Outcome.PAUSED and one.revision == paused
        )
        at, answer = await rig.post("/v1/triggers/thanks/resume")
        resumed = answer["revision"]
        again = await rig.live_after(
            at, lambda one: one.outcome is Outcome.SENT and one.revision == resumed
        )
        at, answer = await rig.post("/v1/apply", {"definitions": [{**given[1], **NARROWER}]})
        narrowed = answer["revision"]
        refused = await rig.live_after(
            at, lambda one: one.outcome is Outcome.AUDIENCE and one.revision == narrowed
        )
        at, answer = await rig.post("/v1/triggers/thanks/rollback", {"version": 1})
        assert (answer["version"], "audience" in answer["published"]) == (5, False)
        restored = answer["revision"]
        back = await rig.live_after(
            at, lambda one: one.outcome is Outcome.SENT and one.revision == restored
        )
    slowest = {
        what: round(max(seconds.values()), 3)
        for what, seconds in (
            ("publish", sent), ("pause", stopped), ("resume", again), ("change", refused),
            ("roll back", back),
        )
    }  # fmt: skip
    record_property("seconds_to_live", slowest)
    print(f"seconds from the API's answer to the slowest partition: {slowest}")
    assert max(slowest.values()) < LIVE_SECONDS_MAX, slowest
    for partition in rig.partitions:
        outcomes = [(one.revision, one.outcome) for _, one in rig.decisions[partition]]
        # The marker divides each partition's log: not one send under the paused revision.
        assert outcomes == sorted(outcomes, key=lambda one: one[0])
        expected = {paused: Outcome.PAUSED, narrowed: Outcome.AUDIENCE}
        for revision, outcome in outcomes:
            assert outcome is expected.get(revision, Outcome.SENT), revision
