"""Sends a second of the dispatcher on one core: log channel, durable ledger, deliveries.

`python -m tests.benchmarks.bench_dispatcher [sends]`. The dispatcher runs on one core; its
broker and PostgreSQL share another. A send counts when its delivery is acknowledged.
"""

import asyncio
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from services.contracts.codec import encode_json
from services.contracts.topics import COMMANDS, DEAD_LETTERS, EVENTS
from services.dispatcher.ledger_reads import LedgerReader
from services.runtime.database import make_engine, migrate
from services.runtime.embedded import EmbeddedBroker, EmbeddedPostgres
from services.runtime.kafka import create_topics, make_producer, topic_name
from services.runtime.process import Child, free_port
from services.runtime.settings import DatabaseSettings, KafkaSettings
from tests.benchmarks.harness import BROKER_CORE, WORKER_CORE, Progress, pinned, scrape
from tests.dispatcher.support import a_command

SENDS: Final = 40_000
POLL_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 300


async def prefill(settings: KafkaSettings, sends: int) -> None:
    """Put the commands on their topic."""
    await create_topics(settings, (COMMANDS, EVENTS, DEAD_LETTERS))
    producer = make_producer(settings, linger_ms=5)
    await producer.start()
    topic = topic_name(settings, COMMANDS)
    written = []
    for number in range(sends):
        command = a_command(number)
        written.append(
            await producer.send(topic, encode_json(command), key=command.person.encode())
        )
    await asyncio.gather(*written)
    await producer.stop()


async def reported(url: str, sends: int) -> Progress:
    """Watch the ledger until all sends are accepted and told."""
    engine = make_engine(DatabaseSettings(database_url=SecretStr(url)))
    reader, progress = LedgerReader(engine), Progress()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while progress.done < sends:
        counts = await reader.counts()
        progress.add(time.monotonic(), counts["accepted"] - counts["unreported"])
        if time.monotonic() > deadline:
            raise TimeoutError(f"{progress.done} of {sends} after {TIMEOUT_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)
    await engine.dispose()
    return progress


def measure(sends: int) -> tuple[float, float]:
    """Sends a second in steady state, and a CPU second of the dispatcher, its start included."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            pinned(BROKER_CORE),
            EmbeddedBroker(log_dir=folder) as broker,
            EmbeddedPostgres(folder / "postgres", log_dir=folder) as postgres,
        ):
            url = postgres.url()
            settings = KafkaSettings(kafka=broker.address, kafka_idempotence=False)
            location = resources.files("services.dispatcher").joinpath("migrations")
            asyncio.run(migrate(url, script_location=str(location), schema="dispatcher"))
            asyncio.run(prefill(settings, sends))
            dispatcher = Child(
                "dispatcher",
                [sys.executable, "-m", "services.dispatcher"],
                log=folder / "dispatcher.log",
                environment={
                    "CUESTREAM_KAFKA": broker.address,
                    "CUESTREAM_KAFKA_IDEMPOTENCE": "false",
                    "CUESTREAM_DATABASE_URL": url,
                    "CUESTREAM_DISPATCHER_PORT": str(port),
                },
            )
            with pinned(WORKER_CORE):
                dispatcher.start()
            try:
                progress = asyncio.run(reported(url, sends))
                cpu = scrape(f"http://127.0.0.1:{port}", "process_cpu_seconds_total")
            finally:
                dispatcher.stop()
            return progress.steady_rate(sends), sends / cpu


if __name__ == "__main__":
    a_second, a_cpu_second = measure(int(sys.argv[1]) if len(sys.argv) > 1 else SENDS)
    print(f"{a_second:,.0f} sends/s, {a_cpu_second:,.0f} sends a CPU second")
