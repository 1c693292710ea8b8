"""The process itself: starts on an empty database, publishes, carries, stops cleanly."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.contracts.codec import decode_marker
from services.contracts.topics import DEFINITIONS, EVENTS, TOPICS
from services.runtime.database import migrate
from services.runtime.kafka import create_topics
from services.runtime.process import Child, free_port
from services.runtime.settings import KafkaSettings
from tests.definitions.test_kafka import read

TOKEN = "a-token-for-tests"
TAG = {"id": "orders", "aggregate": "count", "events": ["Order Completed"]}
TRIGGER: dict[str, Any] = {
    "id": "cart_left",
    "entry": {"events": ["Cart Updated"]},
    "steps": [{"send": {"channel": "log"}}],
}


class Process:
    """One API process and a client of it."""

    def __init__(self, database_url: str, kafka: KafkaSettings, log: Path) -> None:
        self.port = free_port()
        environment = {
            **os.environ,
            "CUESTREAM_API_PORT": str(self.port),
            "CUESTREAM_API_TOKENS": TOKEN,
            "CUESTREAM_DATABASE_URL": database_url,
            "CUESTREAM_KAFKA": kafka.kafka,
            "CUESTREAM_KAFKA_IDEMPOTENCE": str(kafka.kafka_idempotence).lower(),
            "CUESTREAM_TOPIC_PREFIX": kafka.topic_prefix,
            "CUESTREAM_PARTITIONS": str(kafka.partitions),
        }
        self.child = Child(
            "api",
            [sys.executable, "-m", "services.triggers.api"],
            log=log,
            environment=environment,
        )
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )

    async def until(self, path: str, **wanted: object) -> dict[str, Any]:
        """Ask until the answer has these values."""
        async with asyncio.timeout(30):
            while True:
                assert self.child.exit_code is None, self.child.log_tail()
                try:
                    answer = await self.client.get(path)
                except httpx.TransportError:
                    pass
                else:
                    body: dict[str, Any] = answer.json()
                    if wanted.items() <= body.items():
                        return body
                await asyncio.sleep(0.05)


@pytest.fixture
async def process(
    database_url: str, kafka_settings: KafkaSettings, tmp_path: Path
) -> AsyncIterator[Process]:
    """Not started yet."""
    made = Process(database_url, kafka_settings, tmp_path / "api.log")
    yield made
    await made.client.aclose()
    made.child.stop()


async def migrated(database_url: str) -> None:
    folder = resources.files("services.triggers.definitions").joinpath("migrations")
    await migrate(database_url, script_location=str(folder), schema="triggers")


async def people_work_through_review(process: Process) -> str:
    """A person's token, a draft of theirs submitted twice under one key, and what the log says;
    gives the token.
    """
    asked = {"name": "Ann", "owner": "ann", "role": "administrator"}
    made = await process.client.post("/v1/tokens", json=asked)
    assert made.status_code == 201, made.text
    secret = str(made.json()["secret"])
    mine = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "once", "X-Request-Id": "r-1"}
    for _ in range(2):
        draft = await process.client.post("/v1/tags", json=TAG, headers=mine)
        assert draft.status_code == 201, draft.text
    mine["Idempotency-Key"] = "other"
    refused = await process.client.post("/v1/tags/orders/publish", headers=mine)
    assert refused.json()["code"] == "review_required"
    log = (await process.client.get("/v1/audit?request_id=r-1")).json()["items"]
    assert [(one["action"], one["actor_id"], one["id"]) for one in log] == [
        ("created", "ann", "orders")
    ]
    return secret


async def test_it_publishes_carries_and_stops_cleanly(
    process: Process, database_url: str, kafka_settings: KafkaSettings
) -> None:
    await migrated(database_url)
    # Kafka has no topics yet: the API serves, and what is published waits.
    process.child.start()
    await process.until("/readyz", status="ok")
    bare = await process.client.get("/v1/triggers", headers={"Authorization": "Bearer x"})
    assert bare.status_code == 401
    waiting = await process.until("/v1/revisions/current", pending=1)
    assert waiting["revision"] == 1
    made = await process.client.post("/v1/triggers?publish=true", json=TRIGGER)
    assert made.status_code == 201, made.text
    wrong = await process.client.post(
        "/v1/triggers",
        json=TRIGGER | {"id": "b", "audience": {"tag": "nowhere", "op": "exists"}},
    )
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["place"] == "triggers.b.audience.tag"
    secret = await people_work_through_review(process)
    metrics = (await process.client.get("/metrics")).text
    assert "cuestream_outbox_pending" in metrics

    await create_topics(kafka_settings, TOPICS)
    await process.until("/v1/revisions/current", pending=0, relay_problem=None)
    for partition in range(kafka_settings.partitions):
        found = await read(kafka_settings, EVENTS, partition, 2)
        assert [decode_marker(one.value).revision for one in found] == [1, 2]
    records = await read(kafka_settings, DEFINITIONS, 0, 6)
    assert [one.key for one in records] == [
        b"policy/marketing_daily",
        b"workspace/default",
        b"revision/head",
        b"trigger/cart_left",
        b"version/cart_left@1",
        b"revision/head",
    ]
    assert process.child.stop()
    assert process.child.exit_code == 0, process.child.log_tail()
    log = process.child.log.read_text()
    assert TOKEN not in log
    assert secret not in log


async def test_a_database_that_is_not_migrated_ends_it_with_the_reason(process: Process) -> None:
    process.child.start()
    async with asyncio.timeout(30):
        while process.child.alive:  # noqa: ASYNC110  (another process has no event)
            await asyncio.sleep(0.05)
    assert process.child.exit_code == 1
    assert "cuestream migrate" in process.child.log_tail()
