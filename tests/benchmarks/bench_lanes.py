"""Who waits for whom: urgent commands behind a million others, a good provider beside a bad one.

`python -m tests.benchmarks.bench_lanes [--bulk N] [--seconds N]`, on the broker that
`CUESTREAM_KAFKA` names (`deploy/kafka-local/kafka.py exec` runs one) or the embedded one.

A few transactional commands a second go to the same endpoint as the pile, which answers slowly,
so that they share topic, ledger and lane with it. Two dispatchers. How long after its
production each arrives is measured three times: alone, while the pile is worked off, and while
another endpoint takes connections and never answers.
"""

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from services.contracts.codec import encode_json
from services.contracts.topics import COMMANDS, URGENT_COMMANDS
from services.runtime.kafka import make_producer, partition_of, topic_name
from tests.benchmarks.bench_dispatcher import (
    KAFKA_LOCAL,
    RUN_SECONDS_MAX,
    Bench,
    bench,
    dispatchers,
)
from tests.benchmarks.sink import Late
from tests.dispatcher.support import a_command

BULK: Final = 1_000_000
BAD: Final = 5_000
SECONDS: Final = 15.0
WARM_SECONDS: Final = 5.0
RATE: Final = 50
"""Urgent commands a second."""
SINK_SECONDS: Final = 0.05
PROCESSES: Final = 2
BUSY_FROM: Final = 500
"""So many of the pile have arrived: it is being worked off."""
BUSY_SECONDS_MAX: Final = 120.0
ENDED_SECONDS_MAX: Final = 20.0
URGENT: Final = "urgent"


class Result(msgspec.Struct, kw_only=True):
    """How late urgent commands came; `left` is what was left of the pile at the end of it."""

    bulk: int
    left: int
    bulk_a_second: float
    alone: Late
    piled: Late
    beside_bad: Late


@contextmanager
def never_answering() -> Iterator[str]:
    """The address of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


class Lanes:
    """Commands of one kind after the other, each with a number of its own."""

    def __init__(self, made: Bench) -> None:
        self._made = made
        self._number = 0

    def _next(self, trigger: str, endpoint: str, **more: str) -> tuple[bytes, bytes]:
        self._number += 1
        command = a_command(
            self._number,
            channel="webhook",
            endpoint=endpoint,
            trigger=trigger,
            decided_at=time.time_ns() // 1000,
            **more,
        )
        return command.person.encode(), encode_json(command)

    async def pile(self, count: int, trigger: str, endpoint: str) -> None:
        """So many of the normal lane, as fast as the broker takes them."""
        producer = make_producer(self._made.settings)
        await producer.start()
        topic = topic_name(self._made.settings, COMMANDS)
        partitions = len(await producer.partitions_for(topic))
        builders = {number: producer.create_batch(topic) for number in range(partitions)}
        sent: list[asyncio.Future[object]] = []
        for _ in range(count):
            key, value = self._next(trigger, endpoint)
            place = partition_of(key, partitions)
            if builders[place].append(timestamp=None, key=key, value=value) is None:
                sent.append(await producer.send_batch(builders[place], topic, partition=place))
                builders[place] = producer.create_batch(topic)
                builders[place].append(timestamp=None, key=key, value=value)
        for place, builder in builders.items():
            if builder.record_count():
                sent.append(await producer.send_batch(builder, topic, partition=place))
        await asyncio.gather(*sent)
        await producer.stop()

    async def urgent(self, seconds: float) -> None:
        """Transactional ones at their pace."""
        producer = make_producer(self._made.settings)
        await producer.start()
        topic = topic_name(self._made.settings, URGENT_COMMANDS)
        began = time.monotonic()
        for done in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, began + done / RATE - time.monotonic()))
            key, value = self._next(URGENT, "sink", lane="transactional")
            await producer.send(topic, value, key=key)
        await producer.stop()

    def measured(self, seconds: float) -> Late:
        """How late the urgent ones of so many seconds come, all of them."""
        self._made.figures()
        asyncio.run(self.urgent(seconds))
        expected, until = int(seconds * RATE), time.monotonic() + ENDED_SECONDS_MAX
        while self._arrived() < expected and time.monotonic() < until:
            time.sleep(0.1)
        late = self._made.figures().by_trigger[URGENT]
        if late.count < expected:
            raise TimeoutError(f"{late.count} of {expected} urgent commands arrived")
        return late

    def _arrived(self) -> int:
        address = f"{self._made.url}urgent"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return int(answer.read())


def run(bulk: int = BULK, seconds: float = SECONDS) -> Result:
    """Measure all three; what is left of the pile stays where it is."""
    with never_answering() as bad, bench(f"bad={bad}", sink_seconds=SINK_SECONDS) as made:
        lanes = Lanes(made)
        with dispatchers(made, PROCESSES):
            lanes.measured(WARM_SECONDS)
            alone = lanes.measured(seconds)
            asyncio.run(lanes.pile(BAD, "bad", "bad"))
            beside_bad = lanes.measured(seconds)
            before = made.figures().requests
            asyncio.run(lanes.pile(bulk, "bulk", "sink"))
            deadline = time.monotonic() + BUSY_SECONDS_MAX
            while made.figures().requests < before + BUSY_FROM:
                if time.monotonic() > deadline:
                    raise TimeoutError("nothing of the pile arrived")
                time.sleep(0.1)
            began, first = time.monotonic(), made.figures().requests
            piled = lanes.measured(seconds)
            done = made.figures().requests
            passed = time.monotonic() - began
    return Result(
        bulk=bulk,
        left=bulk - (done - before),
        bulk_a_second=(done - first) / passed,
        alone=alone,
        piled=piled,
        beside_bad=beside_bad,
    )


def section(result: Result) -> str:
    """What it says, in Markdown."""
    rows = "\n".join(
        f"| {name} | {late.count:,} | {late.p50_ms:.1f} ms | {late.p99_ms:.1f} ms |"
        for name, late in (
            ("alone", result.alone),
            ("beside an endpoint that never answers", result.beside_bad),
            (f"behind {result.bulk:,} others", result.piled),
        )
    )
    told = (
        f"{RATE} transactional commands a second to an endpoint that answers after "
        f"{SINK_SECONDS * 1000:.0f} ms: how long after its\nproduction one arrives. The others "
        f"are of the normal lane and go to the same endpoint: {result.bulk_a_second:,.0f} a second "
        f"arrive\nmeanwhile, {result.left:,} are left."
    )
    head = "| transactional | commands | p50 | p99 |\n|---|---:|---:|---:|"
    return f"\n{told}\n\n{head}\n{rows}\n"


def run_on_kafka() -> Result | None:
    """The same in a process beside a real Apache Kafka; None without Java and Maven."""
    if not (shutil.which("java") and shutil.which("mvn")):
        return None
    itself = [sys.executable, "-m", "tests.benchmarks.bench_lanes", "--json"]
    command = [sys.executable, str(KAFKA_LOCAL), "exec", *itself]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=RUN_SECONDS_MAX)
    return msgspec.json.decode(answer.stdout.splitlines()[-1], type=Result)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bulk", type=int, default=BULK)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = run(arguments.bulk, arguments.seconds)
    print(msgspec.json.encode(result).decode() if arguments.json else section(result))


if __name__ == "__main__":
    main()
