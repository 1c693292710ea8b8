"""What the benchmarks share: pinned processes, prefilled topics, steady-state rates."""

import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer

from services.contracts.codec import encode_json, encode_pack
from services.contracts.event import PACK_EVENTS_MAX, Event
from services.contracts.topics import KIND_HEADER, KIND_PACK, RECORD_BYTES_MAX
from services.runtime.kafka import partition_of
from tests.benchmarks.workload import as_event, as_message, shoppers

WORKER_CORE = 0
BROKER_CORE = 1
PARTITIONS = 4
CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
STEADY_FROM = 0.15
STEADY_TO = 0.95
"""Start-up, the first fetch and the tail are not counted."""


@dataclass(kw_only=True)
class Progress:
    """Events done over time, as seen from outside or printed by the process itself."""

    points: list[tuple[float, int, float]] = field(default_factory=list)

    def add(self, at_seconds: float, events: int, cpu_seconds: float = 0.0) -> None:
        """Note a point; `cpu_seconds` is what the process has used so far."""
        if not self.points or events > self.points[-1][1]:
            self.points.append((at_seconds, events, cpu_seconds))

    @property
    def done(self) -> int:
        return self.points[-1][1] if self.points else 0

    def steady_rate(self, total: int) -> float:
        """Events a second between `STEADY_FROM` and `STEADY_TO` of the total.

        Raises:
            RuntimeError: fewer than two points fall into that range.
        """
        return self.steady(total).a_second

    def steady(self, total: int) -> "Rate":
        """The same, and events a CPU second of the process; raises as `steady_rate`."""
        inside = [p for p in self.points if STEADY_FROM * total <= p[1] <= STEADY_TO * total]
        if len(inside) < 2:
            raise RuntimeError(f"too few points for a steady state: {len(self.points)} in all")
        (start, first, cpu_before), (end, last, cpu_after) = inside[0], inside[-1]
        cpu = cpu_after - cpu_before
        return Rate(
            a_second=(last - first) / (end - start),
            a_cpu_second=(last - first) / cpu if cpu else 0.0,
        )


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Events a second of wall clock, and of the measured process's own CPU time.

    The second holds on a shared machine too: it is what one core could do if the process had
    it to itself and the broker kept up.
    """

    a_second: float
    a_cpu_second: float


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Children started inside run on this core only; None leaves them all cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def child(
    command: Sequence[str], core: int | None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A pinned child process that ends with the block; its errors go to our standard error."""
    with pinned(core):
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def scrape(url: str, metric: str) -> float:
    """Sum of a metric over its labels, from a /metrics page; 0 where the page is not up yet."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            page = answer.read().decode()
    except OSError:
        return 0.0
    return sum(
        float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", page, re.MULTILINE)
    )


@dataclass(frozen=True, kw_only=True)
class Wire:
    """Records of one partition each, in order, ready to be produced."""

    packed: bool
    events: int
    records: list[list[tuple[bytes | None, bytes]]]


def make_wire(count: int, *, packed: bool, per_second: int = 100_000) -> Wire:
    """Encode the workload once, so that repeats send the same bytes."""
    records: list[list[tuple[bytes | None, bytes]]] = [[] for _ in range(PARTITIONS)]
    if not packed:
        for shopper in shoppers(count):
            key = shopper.person.encode()
            records[partition_of(key, PARTITIONS)].append((key, encode_json(as_message(shopper))))
        return Wire(packed=False, events=count, records=records)
    start_at = time.time_ns() // 1000
    waiting: list[list[Event]] = [[] for _ in range(PARTITIONS)]
    size = min(100, PACK_EVENTS_MAX)
    for shopper in shoppers(count):
        place = partition_of(shopper.person.encode(), PARTITIONS)
        waiting[place].append(as_event(shopper, start_at=start_at, per_second=per_second))
        if len(waiting[place]) == size:
            records[place].append((None, encode_pack(waiting[place])))
            waiting[place].clear()
    for place, events in enumerate(waiting):
        if events:
            records[place].append((None, encode_pack(events)))
    return Wire(packed=True, events=count, records=records)


async def prefill(broker: str, topic: str, wire: Wire) -> None:
    """Write all records to the topic and wait until each is acknowledged."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, max_batch_size=RECORD_BYTES_MAX, acks="all"
    )
    await producer.start()
    headers = [(KIND_HEADER, KIND_PACK)] if wire.packed else []
    try:
        for partition, records in enumerate(wire.records):
            batch = producer.create_batch()
            for key, value in records:
                now_ms = time.time_ns() // 1_000_000
                if batch.append(key=key, value=value, timestamp=now_ms, headers=headers) is None:
                    await (await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    batch.append(key=key, value=value, timestamp=now_ms, headers=headers)
            await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


def percentile(values: Sequence[float], share: float) -> float:
    """Percentile by linear interpolation."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
