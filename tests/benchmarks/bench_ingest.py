"""Events a second over HTTP into ingest on one core, in batches of 100.

`python -m tests.benchmarks.bench_ingest [events] [batch]`. Ingest runs on one core; the client and
the broker share the other, so the wall-clock rate is what the two of them leave. The rate
by ingest's own CPU time is what one core of ingest could do for faster clients.
"""

import asyncio
import base64
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.contracts.codec import encode_json
from services.contracts.topics import DEAD_LETTERS, EVENTS
from services.runtime.embedded import EmbeddedBroker
from services.runtime.kafka import create_topics
from services.runtime.settings import KafkaSettings
from tests.benchmarks.harness import (
    BROKER_CORE,
    PARTITIONS,
    WORKER_CORE,
    cpu_seconds,
    percentile,
    pinned,
)
from tests.benchmarks.workload import as_message, shoppers
from tests.ingest.running import KEY, RunningIngest

EVENTS_SENT: Final = 200_000
BATCH_EVENTS: Final = 100
CONNECTIONS: Final = 8
TIMEOUT_SECONDS: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run."""

    events: int
    wall_seconds: float
    cpu_seconds: float
    request_seconds: list[float]


def requests(events: int, batch: int) -> list[bytes]:
    """Whole HTTP requests, made beforehand: the client's own work is no part of the figure."""
    messages = [as_message(shopper) for shopper in shoppers(events)]
    authorization = base64.b64encode(f"{KEY}:".encode()).decode()
    made = []
    for start in range(0, events, batch):
        body = encode_json({"batch": messages[start : start + batch]})
        head = (
            "POST /v1/batch HTTP/1.1\r\nHost: ingest\r\nContent-Type: application/json\r\n"
            f"Authorization: Basic {authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def send(port: int, made: list[bytes], took: list[float]) -> None:
    """One connection: the next request leaves when the last one is answered.

    Raises:
        RuntimeError: an answer other than 200.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in made:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head!r} {body!r}")
        took.append(time.perf_counter() - started)
    writer.close()


async def run(events: int = EVENTS_SENT, batch: int = BATCH_EVENTS) -> Result:
    """Start everything, warm up, send `events`, stop everything."""
    made = requests(events, batch)
    with tempfile.TemporaryDirectory() as folder, pinned(BROKER_CORE):
        logs = Path(folder)
        with EmbeddedBroker(log_dir=logs) as broker:
            kafka = KafkaSettings(
                kafka=broker.address, kafka_idempotence=False, partitions=PARTITIONS
            )
            await create_topics(kafka, [EVENTS, DEAD_LETTERS])
            ingest = RunningIngest(kafka, logs)
            with pinned(WORKER_CORE):
                ingest.child.start()
            try:
                ingest.wait_ready()
                assert ingest.child.pid is not None
                await send(ingest.port, made[: len(made) // 20], [])
                took: list[float] = []
                lanes = [made[lane::CONNECTIONS] for lane in range(CONNECTIONS)]
                cpu_before, started = cpu_seconds(ingest.child.pid), time.perf_counter()
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await asyncio.gather(*(send(ingest.port, lane, took) for lane in lanes))
                return Result(
                    events=events,
                    wall_seconds=time.perf_counter() - started,
                    cpu_seconds=cpu_seconds(ingest.child.pid) - cpu_before,
                    request_seconds=took,
                )
            finally:
                ingest.child.stop()


def main() -> None:
    """Print one run."""
    given = [int(argument) for argument in sys.argv[1:]]
    result = asyncio.run(run(*given))
    milliseconds = [1000 * seconds for seconds in result.request_seconds]
    print(f"events/s, wall clock      {result.events / result.wall_seconds:10,.0f}")
    print(f"events/s, by ingest's CPU {result.events / result.cpu_seconds:10,.0f}")
    print(f"request p50 / p99, ms     {statistics.median(milliseconds):10.1f}"
          f" / {percentile(milliseconds, 0.99):.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
