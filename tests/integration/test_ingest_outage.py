"""Ingest while a real Kafka stands still for longer than its records may wait."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.contracts.event import Event
from services.runtime.settings import KafkaSettings
from tests.ingest.running import KEY, RunningIngest, make_topics, read_events
from tests.ingest.support import track
from tests.integration.conftest import KAFKA_SCRIPT

STANDSTILL_SECONDS = 6.0
PHASE_EVENTS = 20
BACKOFF_SECONDS = 0.05


@contextmanager
def own_kafka(data: Path) -> Iterator[tuple[str, int]]:
    """A broker that nobody else uses: its address, and the id of its process."""
    command = [sys.executable, str(KAFKA_SCRIPT), "run", "--port", "0", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words, "Kafka did not start; its words stand on stderr above"
        tasks = Path(f"/proc/{process.pid}/task")
        children = [
            pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()
        ]
        (java,) = map(int, children)
        try:
            yield words[1].decode(), java
        finally:
            os.kill(java, signal.SIGCONT)
            process.stdin.close()


class Sender:
    """Sends one event after the other of one person, each until it is acknowledged or given up."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._next = 0
        self.acknowledged: list[str] = []
        self.statuses: list[int] = []

    async def send(self) -> int:
        message_id = f"{self._next:06}"
        self._next += 1
        answer = await self._client.post("/v1/track", json=track(1, messageId=message_id))
        self.statuses.append(answer.status_code)
        if answer.status_code == 200:
            self.acknowledged.append(message_id)
        else:
            await asyncio.sleep(BACKOFF_SECONDS)
        return answer.status_code


@pytest.mark.timeout(180)
async def test_what_was_acknowledged_stands_there_once_and_in_order_after_a_standstill(
    tmp_path: Path,
) -> None:
    with own_kafka(tmp_path / "kafka") as (address, java):
        kafka = KafkaSettings(kafka=address, partitions=4)
        await make_topics(kafka)
        with RunningIngest(
            kafka, tmp_path, ingest_ack_timeout_ms=1000, kafka_request_timeout_ms=2000
        ) as ingest:
            ingest.wait_ready()
            async with httpx.AsyncClient(auth=(KEY, ""), base_url=ingest.url, timeout=30) as client:
                sender = Sender(client)
                for _ in range(PHASE_EVENTS):
                    assert await sender.send() == 200
                os.kill(java, signal.SIGSTOP)
                until = asyncio.get_running_loop().time() + STANDSTILL_SECONDS
                while asyncio.get_running_loop().time() < until:
                    assert await sender.send() == 503
                assert ingest.get("/healthz")[0] == 200
                os.kill(java, signal.SIGCONT)
                while await sender.send() != 200:
                    pass
                for _ in range(PHASE_EVENTS):
                    assert await sender.send() == 200
            events = await read_events(kafka, len(sender.acknowledged))
            check(events, sender.acknowledged)


def check(events: list[Event], acknowledged: list[str]) -> None:
    """What was refused by 503 may stand there or not; the rest stands there once, in order."""
    written = [event.message_id for event in events]
    kept = [message_id for message_id in written if message_id in set(acknowledged)]
    assert kept == acknowledged
    assert len(written) == len(set(written))
