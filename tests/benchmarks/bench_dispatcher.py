"""Webhooks a second through the dispatcher, its ledger on, against a local sink.

`python -m tests.benchmarks.bench_dispatcher [--sends N] [--processes N] [--rate N]`, on the
broker that `CUESTREAM_KAFKA` names (`deploy/kafka-local/kafka.py exec` runs one) or the embedded
one, which is slow to read very many small batches: latency says more on a real one.

Everything shares the machine's cores: dispatchers, sink, broker and PostgreSQL. Three figures: how
many commands a second while a pile is worked off, the same for a dispatcher that awaits each
command by itself, and how long after its production a command arrives when half as many come in.
"""

import argparse
import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from services.contracts.codec import encode_json
from services.contracts.topics import COMMANDS, TOPICS
from services.runtime.database import migrate
from services.runtime.embedded import EmbeddedBroker, EmbeddedPostgres
from services.runtime.kafka import create_topics, make_producer, topic_name
from services.runtime.process import free_port
from services.runtime.settings import KafkaSettings
from tests.benchmarks.harness import Progress, child, cpu_seconds
from tests.benchmarks.sink import Figures
from tests.dispatcher.support import a_command

SENDS: Final = 60_000
RATE: Final = 2_500
LIVE_SECONDS: Final = 12.0
WARM_SECONDS: Final = 30.0
"""The first seconds are connections being made, and a broker on a virtual machine compiles what it
runs until then, on the same cores: their latencies are not counted."""
PLAIN_SECONDS: Final = 6.0
SLICE_SECONDS: Final = 0.005
POLL_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 300.0
RUN_SECONDS_MAX: Final = 900.0
KAFKA_LOCAL: Final = Path(__file__).parents[2] / "deploy" / "kafka-local" / "kafka.py"
KEY: Final = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass(frozen=True, kw_only=True)
class Result:
    """What `run` measured."""

    a_second: float
    cpu_microseconds: float
    plain_a_second: float
    asked_a_second: float
    p50_ms: float
    p99_ms: float


class Bench:
    """A broker, a database and a sink, and commands for them."""

    def __init__(self, kafka: KafkaSettings, database: str, sink_port: int, *others: str) -> None:
        self.settings = kafka
        self.url = f"http://127.0.0.1:{sink_port}/"
        webhooks = {"sink": self.url, **dict(one.split("=", 1) for one in others)}
        self.environment = {
            "CUESTREAM_KAFKA": kafka.kafka,
            "CUESTREAM_KAFKA_IDEMPOTENCE": str(kafka.kafka_idempotence),
            "CUESTREAM_TOPIC_PREFIX": kafka.topic_prefix,
            "CUESTREAM_DATABASE_URL": database,
            "CUESTREAM_DISPATCHER_WEBHOOKS": json.dumps(
                {name: {"url": url, "secret": KEY} for name, url in webhooks.items()}
            ),
            "CUESTREAM_DISPATCHER_WEBHOOK_PRIVATE": "true",
            "CUESTREAM_DISPATCHER_WEBHOOK_CONCURRENCY": "400",
        }
        self._number = 0

    def figures(self) -> Figures:
        """What the sink says."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=Figures)

    async def produce(self, sends: int, *, rate: int | None = None) -> None:
        """Put commands on their topic, all at once or so many a second."""
        producer = make_producer(self.settings, linger_ms=2)
        await producer.start()
        topic, written = topic_name(self.settings, COMMANDS), []
        began = time.monotonic()
        for done in range(sends):
            if rate is not None and done > (time.monotonic() - began) * rate:
                await asyncio.sleep(SLICE_SECONDS)
            self._number += 1
            command = a_command(
                self._number, channel="webhook", endpoint="sink", decided_at=time.time_ns() // 1000
            )
            value, key = encode_json(command), command.person.encode()
            written.append(await producer.send(topic, value, key=key))
        await asyncio.gather(*written)
        await producer.stop()

    def watch(self, sends: int, pids: list[int]) -> Progress:
        """Until the sink has so many more."""
        before, progress = self.figures().requests, Progress()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while progress.done < sends:
            came = self.figures().requests - before
            progress.add(time.monotonic(), came, sum(map(cpu_seconds, pids)))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{progress.done} of {sends} after {TIMEOUT_SECONDS} s")
            time.sleep(POLL_SECONDS)
        return progress


@contextmanager
def broker(folder: Path) -> Iterator[KafkaSettings]:
    """The broker that `CUESTREAM_KAFKA` names, or an embedded one."""
    given = os.environ.get("CUESTREAM_KAFKA")
    if given:
        yield KafkaSettings(kafka=given, topic_prefix=f"bench-{uuid4().hex[:8]}-")
        return
    with EmbeddedBroker(log_dir=folder) as embedded:
        yield KafkaSettings(kafka=embedded.address, kafka_idempotence=False)


@contextmanager
def bench(*others: str, sink_seconds: float = 0.0) -> Iterator[Bench]:
    """Everything but the dispatcher. `others` are further endpoints, as name=url; the sink answers
    after `sink_seconds`."""
    with (
        tempfile.TemporaryDirectory() as name,
        broker(Path(name)) as kafka,
        EmbeddedPostgres(Path(name) / "postgres", log_dir=Path(name)) as postgres,
        child(["-m", "tests.benchmarks.sink", str(sink_seconds)], None) as sink,
    ):
        assert sink.stdout is not None
        url = postgres.url()
        location = resources.files("services.dispatcher").joinpath("migrations")
        asyncio.run(migrate(url, script_location=str(location), schema="dispatcher"))
        made = Bench(kafka, url, int(sink.stdout.readline()), *others)
        asyncio.run(create_topics(made.settings, TOPICS))
        yield made


@contextmanager
def dispatchers(made: Bench, count: int) -> Iterator[list[int]]:
    """So many processes of ours, by their pids."""
    environment = made.environment | {"CUESTREAM_DISPATCHER_PORT": str(free_port())}
    environment["CUESTREAM_LOG_LEVEL"] = "warning"
    if not count:
        yield []
        return
    with (
        child(["-m", "services.dispatcher"], None, environment) as process,
        dispatchers(made, count - 1) as others,
    ):
        yield [process.pid, *others]


def plain(made: Bench) -> float:
    """Sends a second of the rival, on the commands that stand there."""
    command = ["-m", "tests.benchmarks.plain_dispatcher", made.url]
    with child(command, None, made.environment):
        before = made.figures().requests
        while made.figures().requests == before:
            time.sleep(POLL_SECONDS)
        first, began = made.figures().requests, time.monotonic()
        time.sleep(PLAIN_SECONDS)
        return (made.figures().requests - first) / (time.monotonic() - began)


def run(sends: int = SENDS, processes: int = 2, rate: int = RATE) -> Result:
    """Measure all three."""
    with bench() as made:
        asyncio.run(made.produce(sends))
        plain_a_second = plain(made)
        with dispatchers(made, processes) as pids:
            steady = made.watch(sends, pids).steady(sends)
            asyncio.run(made.produce(int(WARM_SECONDS * rate), rate=rate))
            made.figures()
            asyncio.run(made.produce(int(LIVE_SECONDS * rate), rate=rate))
            live = made.figures()
    return Result(
        a_second=steady.a_second,
        cpu_microseconds=1e6 / steady.a_cpu_second,
        plain_a_second=plain_a_second,
        asked_a_second=rate,
        p50_ms=live.p50_ms,
        p99_ms=live.p99_ms,
    )


def run_on_kafka() -> Result | None:
    """The same in a process beside a real Apache Kafka; None without Java and Maven."""
    if not (shutil.which("java") and shutil.which("mvn")):
        return None
    itself = [sys.executable, "-m", "tests.benchmarks.bench_dispatcher", "--json"]
    command = [sys.executable, str(KAFKA_LOCAL), "exec", *itself]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=RUN_SECONDS_MAX)
    return msgspec.json.decode(answer.stdout.splitlines()[-1], type=Result)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=SENDS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = run(arguments.sends, arguments.processes, arguments.rate)
    if arguments.json:
        print(msgspec.json.encode(result).decode())
        return
    print(
        f"{result.a_second:,.0f} webhooks/s ({result.cpu_microseconds:.0f} us of dispatcher CPU "
        f"each), {result.a_second / result.plain_a_second:.1f} times one await a command "
        f"({result.plain_a_second:,.0f}/s); at {result.asked_a_second:,.0f}/s they arrive "
        f"{result.p50_ms:.1f} ms (p50), {result.p99_ms:.1f} ms (p99) after their production"
    )


if __name__ == "__main__":
    main()
