"""From an HTTP request leaving the client to its send command read from Kafka, live pace.

Ingest, worker and broker run as they do in production, on all cores, with the wall clock. The
client paces `RATE_PER_SECOND` events in small batches; a consumer of `commands` notes when
each command can be read. What is timed is what a user would feel: request, packing, Kafka,
fold, Kafka. `python -m tests.benchmarks.latency` prints one run as JSON, on the broker that
`CUESTREAM_KAFKA` names or an embedded one.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer

from services.contracts.command import SendCommand
from services.contracts.topics import COMMANDS, TOPICS, URGENT_COMMANDS
from services.runtime.embedded import EmbeddedBroker
from services.runtime.embedded.broker import ENVIRONMENT
from services.runtime.kafka import create_topics, topic_name
from services.runtime.process import free_port
from services.runtime.settings import KafkaSettings
from tests.benchmarks.bench_ingest import requests
from tests.benchmarks.harness import PARTITIONS, child, percentile, scrape
from tests.benchmarks.pipeline import PREFIX, publish_definitions
from tests.benchmarks.workload import bundle
from tests.ingest.running import KEY

RATE_PER_SECOND = 2_000
BATCH_EVENTS = 10
CONNECTIONS = 4
WARM_UP_SECONDS = 3
MEASURED_SECONDS = 30
READY_TIMEOUT_SECONDS = 60.0
DRAIN_TIMEOUT_SECONDS = 15.0
RUN_SECONDS_MAX = 300.0
KAFKA_LOCAL = Path(__file__).parents[2] / "deploy" / "kafka-local" / "kafka.py"


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds over `samples` commands; `rate` is what the client really sent a second."""

    rate: float
    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float


async def _read_commands(settings: KafkaSettings, arrived: dict[str, float]) -> None:
    decoder = msgspec.json.Decoder(SendCommand)
    consumer = AIOKafkaConsumer(
        topic_name(settings, COMMANDS),
        topic_name(settings, URGENT_COMMANDS),
        bootstrap_servers=settings.kafka,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=2,
    )
    await consumer.start()
    try:
        async for record in consumer:
            if record.headers:
                continue  # no command
            arrived.setdefault(decoder.decode(record.value).event_id, time.perf_counter())
    finally:
        await consumer.stop()


async def _post(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], body: bytes) -> None:
    reader, writer = connection
    writer.write(body)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    answer = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{head!r} {answer!r}")


async def _drive(port: int, seconds: int) -> tuple[dict[str, float], float]:
    """Send for so long; gives when each message left, and the rate that was kept."""
    bodies = requests(RATE_PER_SECOND * seconds, BATCH_EVENTS)
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    locks = [asyncio.Lock() for _ in connections]
    left: dict[str, float] = {}

    async def send(number: int) -> None:
        at = number % CONNECTIONS
        async with locks[at]:
            now = time.perf_counter()
            for event in range(number * BATCH_EVENTS, (number + 1) * BATCH_EVENTS):
                left[f"m-{event}"] = now
            await _post(connections[at], bodies[number])

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(len(bodies)):
            due = started + number * BATCH_EVENTS / RATE_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(send(number))
    took = time.perf_counter() - started
    for _, writer in connections:
        writer.close()
    return left, len(left) / took


async def _wait_until_ready(worker: int, ingest: int) -> None:
    give_up_at = time.perf_counter() + READY_TIMEOUT_SECONDS
    while scrape(f"http://127.0.0.1:{worker}", "cuestream_definitions_revision") < PARTITIONS:
        if time.perf_counter() > give_up_at:
            raise RuntimeError("the worker did not take up the definitions")
        await asyncio.sleep(0.2)
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", ingest)
        except OSError:
            await asyncio.sleep(0.2)
        else:
            writer.close()
            return


async def _measure(settings: KafkaSettings, ingest: int, worker: int) -> Latency:
    await _wait_until_ready(worker, ingest)
    arrived: dict[str, float] = {}
    reading = asyncio.create_task(_read_commands(settings, arrived))
    left, rate = await _drive(ingest, WARM_UP_SECONDS + MEASURED_SECONDS)
    give_up_at = time.perf_counter() + DRAIN_TIMEOUT_SECONDS
    seen = -1
    while seen != len(arrived) and time.perf_counter() < give_up_at:
        seen = len(arrived)
        await asyncio.sleep(1)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    skip = WARM_UP_SECONDS * RATE_PER_SECOND
    took = [1000 * (at - left[name]) for name, at in arrived.items() if int(name[2:]) >= skip]
    return Latency(
        rate=rate,
        samples=len(took),
        p50_ms=percentile(took, 0.5),
        p99_ms=percentile(took, 0.99),
        max_ms=max(took),
    )


def run(folder: Path, given: str | None = None) -> Latency:
    """One run on the Kafka at this address, else on an embedded broker of its own."""
    with ExitStack() as stack:
        if given is None:
            address = stack.enter_context(EmbeddedBroker(log_dir=folder)).address
            env = dict(ENVIRONMENT)
        else:
            address, env = given, {}
        settings = KafkaSettings(
            kafka=address,
            kafka_idempotence=given is not None,
            topic_prefix=f"{PREFIX}{uuid4().hex[:8]}.",
            partitions=PARTITIONS,
        )

        async def prepare() -> None:
            await create_topics(settings, TOPICS)
            await publish_definitions(settings, bundle())

        asyncio.run(prepare())
        ingest, worker = free_port(), free_port()
        env |= {
            "CUESTREAM_KAFKA": address,
            "CUESTREAM_TOPIC_PREFIX": settings.topic_prefix,
            "CUESTREAM_PARTITIONS": str(PARTITIONS),
            "CUESTREAM_TRIGGERS_PORT": str(worker),
            "CUESTREAM_INGEST_PORT": str(ingest),
            "CUESTREAM_WRITE_KEYS": KEY,
            "CUESTREAM_LOG_LEVEL": "warning",
        }
        stack.enter_context(child(["-m", "services.ingest"], None, env))
        stack.enter_context(child(["-m", "services.triggers.worker"], None, env))
        return asyncio.run(_measure(settings, ingest, worker))


def run_on_kafka() -> Latency | None:
    """The same in a process beside a real Apache Kafka; None without Java and Maven."""
    if not (shutil.which("java") and shutil.which("mvn")):
        return None
    command = [
        sys.executable,
        str(KAFKA_LOCAL),
        "exec",
        sys.executable,
        "-m",
        "tests.benchmarks.latency",
    ]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=RUN_SECONDS_MAX)
    return msgspec.json.decode(answer.stdout.splitlines()[-1], type=Latency)


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        found = run(Path(scratch), os.environ.get("CUESTREAM_KAFKA"))
    print(msgspec.json.encode(found).decode())
