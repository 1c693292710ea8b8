"""The triggers worker against its rivals: events a second in steady state, one core each.

Each variant gets a fresh broker on its own core, a prefilled topic, and a worker process on
the other core, durable state included. Variants take turns, so that a slow minute of the
machine hits all of them.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from services.contracts.codec import encode_json
from services.contracts.control import Marker
from services.contracts.definitions import HEAD_KEY, Bundle, DefinitionRecord, definition_key
from services.contracts.topics import (
    DEFINITIONS,
    EVENTS,
    KIND_HEADER,
    KIND_MARKER,
    TOPICS,
)
from services.runtime.embedded import EmbeddedBroker
from services.runtime.embedded.broker import ENVIRONMENT
from services.runtime.kafka import create_topics, make_producer, topic_name
from services.runtime.process import free_port
from services.runtime.settings import KafkaSettings
from tests.benchmarks.harness import (
    BROKER_CORE,
    PARTITIONS,
    WORKER_CORE,
    Progress,
    Rate,
    Wire,
    child,
    cpu_seconds,
    make_wire,
    pinned,
    prefill,
    scrape,
)
from tests.benchmarks.kinds import hundred
from tests.benchmarks.workload import bundle

RUN_TIMEOUT_SECONDS = 240.0
POLL_SECONDS = 0.25
"""A page of metrics takes the worker two milliseconds: no oftener than is needed."""
ENOUGH = 0.97
"""Rivals report in steps: the last one may stay unsaid. Past `STEADY_TO` all the same."""
PREFIX = "bench."
MIXED = {how: f"worker, {how}, 100 triggers" for how in ("single", "packed")}
FETCH_WAIT_MS = 20
"""Throughput wants few large fetches; the latency benchmark keeps the default of 4 ms."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to do the job. `ratio_to` names what the table compares it with."""

    name: str
    events: int
    packed: bool
    drive: Callable[[KafkaSettings, int], Progress]
    rules: Callable[[], Bundle] = bundle


async def publish_definitions(settings: KafkaSettings, rules: Bundle) -> None:
    """Write definitions and their marker, as the API's relay would."""
    producer = make_producer(settings)
    await producer.start()
    try:
        name = topic_name(settings, DEFINITIONS)
        for kind, items in (
            ("workspace", (rules.workspace,)),
            ("tag", rules.tags),
            ("policy", rules.policies),
            ("trigger", rules.triggers),
        ):
            for item in items:
                record = DefinitionRecord(
                    kind=kind,  # type: ignore[arg-type]
                    id=item.id,
                    version=1,
                    revision=1,
                    definition=msgspec.to_builtins(item),
                )
                key = definition_key(kind, item.id)
                await producer.send_and_wait(name, encode_json(record), key=key, partition=0)
        head = DefinitionRecord(kind="revision", id="head", version=1, revision=1)
        await producer.send_and_wait(name, encode_json(head), key=HEAD_KEY, partition=0)
        marker = encode_json(Marker(revision=1, at=time.time_ns() // 1000))
        for partition in range(PARTITIONS):
            await producer.send_and_wait(
                topic_name(settings, EVENTS),
                marker,
                partition=partition,
                headers=[(KIND_HEADER, KIND_MARKER)],
            )
    finally:
        await producer.stop()


def drive_worker(settings: KafkaSettings, events: int) -> Progress:
    """Run the real worker; its own counter of events says how far it is."""
    port = free_port()
    env = {
        **ENVIRONMENT,
        "CUESTREAM_KAFKA": settings.kafka,
        "CUESTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "CUESTREAM_PARTITIONS": str(PARTITIONS),
        "CUESTREAM_TRIGGERS_PORT": str(port),
        "CUESTREAM_TRIGGERS_FETCH_WAIT_MS": str(FETCH_WAIT_MS),
        "CUESTREAM_LOG_LEVEL": "warning",
    }
    progress = Progress()
    with child(["-m", "services.triggers.worker"], WORKER_CORE, env) as process:
        give_up_at = time.perf_counter() + RUN_TIMEOUT_SECONDS
        while progress.done < events and time.perf_counter() < give_up_at:
            if process.poll() is not None:
                raise RuntimeError(f"the worker ended with {process.returncode}")
            done = scrape(f"http://127.0.0.1:{port}", "cuestream_events_total")
            progress.add(time.perf_counter(), int(done), cpu_seconds(process.pid))
            time.sleep(POLL_SECONDS)
    return progress


def rival(name: str) -> Callable[[KafkaSettings, int], Progress]:
    """A driver that runs one of `rivals.py` and reads what it prints."""

    def drive(settings: KafkaSettings, events: int) -> Progress:
        progress = Progress()
        command = ["-m", "tests.benchmarks.rivals", name, "--broker", settings.kafka]
        command += ["--prefix", settings.topic_prefix, "--partitions", str(PARTITIONS)]
        command += ["--fetch-wait-ms", str(FETCH_WAIT_MS)]
        with child(command, WORKER_CORE, {"CUESTREAM_LOG_LEVEL": "warning"}) as process:
            assert process.stdout is not None
            guard = threading.Timer(RUN_TIMEOUT_SECONDS, process.kill)
            guard.start()
            for line in process.stdout:
                if line.startswith("COUNT "):
                    _, count, at = line.split()
                    progress.add(float(at), int(count), cpu_seconds(process.pid))
                    if progress.done >= events * ENOUGH:
                        break
            guard.cancel()
        return progress

    return drive


EVENTS_MIN: Final = (450_000, 900_000, 10_000)
"""With fewer a run is over before it has come to a steady state."""


def variants(scale: float = 1.0) -> list[Variant]:
    """All variants; `scale` shrinks the run for a quick look, down to `EVENTS_MIN`."""
    single, packed, slow = (
        max(least, int(most * scale))
        for least, most in zip(EVENTS_MIN, (1_500_000, 2_000_000, 60_000), strict=True)
    )
    return [
        Variant(name="worker, single", events=single, packed=False, drive=drive_worker),
        Variant(name="worker, packed", events=packed, packed=True, drive=drive_worker),
        Variant(
            name=MIXED["single"],
            events=single,
            packed=False,
            drive=drive_worker,
            rules=hundred,
        ),
        Variant(
            name=MIXED["packed"],
            events=packed,
            packed=True,
            drive=drive_worker,
            rules=hundred,
        ),
        Variant(name="bare loop, single", events=single, packed=False, drive=rival("bare")),
        Variant(name="bare loop, packed", events=packed, packed=True, drive=rival("bare")),
        Variant(name="ordinary agent", events=slow, packed=False, drive=rival("ordinary")),
    ]


def run_once(variant: Variant, wire: Wire) -> Rate:
    """Rate of one run on a broker of its own."""
    with TemporaryDirectory() as folder:
        with pinned(BROKER_CORE):
            broker = EmbeddedBroker(log_dir=Path(folder))
            broker.start()
        try:
            settings = KafkaSettings(
                kafka=broker.address,
                kafka_idempotence=False,
                topic_prefix=PREFIX,
                partitions=PARTITIONS,
            )

            async def prepare() -> None:
                await create_topics(settings, TOPICS)
                if variant.drive is drive_worker:
                    await publish_definitions(settings, variant.rules())
                await prefill(settings.kafka, topic_name(settings, EVENTS), wire)

            asyncio.run(prepare())
            return variant.drive(settings, variant.events).steady(variant.events)
        finally:
            broker.stop()


def run(repeats: int, scale: float = 1.0) -> dict[str, list[Rate]]:
    """Rates of every variant, one a repeat, the variants taking turns."""
    wires: dict[tuple[bool, int], Wire] = {}
    rates: dict[str, list[Rate]] = {}
    for repeat in range(repeats):
        for variant in variants(scale):
            kind = (variant.packed, variant.events)
            if kind not in wires:
                wires[kind] = make_wire(variant.events, packed=variant.packed)
            rate = run_once(variant, wires[kind])
            rates.setdefault(variant.name, []).append(rate)
            print(
                f"  run {repeat + 1}: {variant.name:20} {rate.a_second:>10,.0f} events/s"
                f" {rate.a_cpu_second:>10,.0f} a CPU second",
                flush=True,
            )
    return rates


def table(rates: dict[str, list[Rate]]) -> str:
    """The rates as Markdown, each against the ordinary agent and its own bare loop."""
    lines = [
        "| variant | events/s (median) | min | max | a CPU second | × ordinary | of bare | CPU |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    wall = {name: [one.a_second for one in values] for name, values in rates.items()}
    cpu = {name: median(one.a_cpu_second for one in values) for name, values in rates.items()}
    ordinary = median(wall["ordinary agent"])
    for name, values in wall.items():
        bare = "bare loop, packed" if "packed" in name else "bare loop, single"
        lines.append(
            f"| {name} | {median(values):,.0f} | {min(values):,.0f} | {max(values):,.0f} "
            f"| {cpu[name]:,.0f} | {median(values) / ordinary:.1f} "
            f"| {median(values) / median(wall[bare]):.2f} | {cpu[name] / cpu[bare]:.2f} |"
        )
    return "\n".join(lines)
