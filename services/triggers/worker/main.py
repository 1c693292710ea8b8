"""The triggers worker's process: everything it is made of, and how it runs and ends."""

import asyncio
import gc
import logging
import os
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from services.contracts.definitions import Bundle
from services.contracts.errors import Transient
from services.contracts.topics import EVENTS, TOPICS
from services.runtime.batch.app import BatchOptions, build_app, changelog_of, running
from services.runtime.batch.states import States
from services.runtime.batch.writer import BatchWriter
from services.runtime.health import Health, health_app
from services.runtime.kafka import create_topics, make_producer, topic_name
from services.runtime.metrics import Metrics
from services.runtime.serving import run_process, serve
from services.runtime.settings import load
from services.triggers.worker.definitions import DefinitionsReader
from services.triggers.worker.delivery import Delivery
from services.triggers.worker.engine_port import Engine, triggers_engine
from services.triggers.worker.figures import Figures
from services.triggers.worker.lease import Lease
from services.triggers.worker.rulebook import Rulebook
from services.triggers.worker.settings import TriggersSettings
from services.triggers.worker.ticks import Ticker
from services.triggers.worker.worker import Worker

GROUP: Final = "triggers"
STOP_SECONDS_MAX: Final = 15.0
DIE_SECONDS_MAX: Final = 3.0
"""A process that failed may take this long to tell so."""
CHATTY: Final = ("faust", "mode", "services.runtime.batch")
"""Faust tells each step of each part, and its classes of ours log under their own module."""
GC_THRESHOLD: Final = (500_000, 20, 50)
"""Young objects before a collection. States hold no cycles; scanning them is what costs."""


class _Topic:
    """The definitions reader as the rulebook wants it."""

    def __init__(self, reader: DefinitionsReader) -> None:
        self._reader = reader

    async def wait_for(self, revision: int) -> None:
        await self._reader.wait_for(revision)

    def bundle_at(self, revision: int) -> Bundle:
        return self._reader.history.bundle_at(revision)


def options_of(settings: TriggersSettings) -> BatchOptions:
    """How the batch path is to read."""
    ends = settings.triggers_end_offsets
    return BatchOptions(
        fetch_wait_ms=settings.triggers_fetch_wait_ms,
        batch_records_max=settings.triggers_batch_records_max,
        end_offsets_by_fetch=(
            not settings.kafka_idempotence if ends == "auto" else ends == "fetched"
        ),
        standbys=settings.triggers_standbys,
        commit_interval_seconds=settings.triggers_commit_interval_ms / 1000,
    )


async def run(
    settings: TriggersSettings, stop: asyncio.Event, engine: Engine | None = None
) -> None:
    """Work until `stop` is set, then finish the running batches, commit and leave the group.

    Raises:
        Exception: whatever made it impossible to go on; nothing unfinished is committed.
    """
    engine = engine or triggers_engine(settings.workspace)
    if settings.log_level != "debug":
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
    await create_topics(settings, TOPICS)
    producer = make_producer(settings)
    await producer.start()
    topic = topic_name(settings, EVENTS)
    partitions = len(await producer.partitions_for(topic))
    if not partitions:
        raise Transient(f"topic {topic} has no partitions yet")
    with tempfile.TemporaryDirectory(prefix="cuestream-triggers-") as scratch:
        await _work(
            settings,
            stop,
            engine,
            BatchWriter(producer),
            topic=topic,
            partitions=partitions,
            scratch=Path(scratch),
        )
    # Only here: after a failure nothing that is still on its way may be written any more.
    await producer.stop()


async def _work(
    settings: TriggersSettings,
    stop: asyncio.Event,
    engine: Engine,
    writer: BatchWriter,
    *,
    topic: str,
    partitions: int,
    scratch: Path,
) -> None:
    replay = settings.clock == "replay"
    metrics = Metrics()
    figures = Figures(metrics, topic=topic, wall=not replay)
    reader = DefinitionsReader(settings)
    rulebook = Rulebook(
        _Topic(reader), engine, wait_seconds=settings.triggers_definitions_wait_seconds
    )
    states = States()
    worker = Worker(
        engine, states, rulebook, figures, topic=topic, partitions=partitions, replay=replay
    )
    app = build_app(
        settings,
        group=GROUP,
        topic=topic,
        partitions=partitions,
        states=states,
        handle=worker.handle,
        on_recovered=worker.on_recovered,
        options=options_of(settings),
        scratch=scratch,
    )
    lease = Lease(settings.kafka_session_timeout_ms / 1000, lambda: app.consumer.heartbeat_at)
    delivery = Delivery(writer, settings, changelog=changelog_of(app), lease=lease, figures=figures)
    worker.attach(app, delivery)
    health = Health(ready={"partitions": lambda: worker.ready})
    stopping = asyncio.Event()
    parts: list[Coroutine[Any, Any, None]] = [reader.run(), lease.watch(), worker.report()]
    if not replay:
        parts.append(Ticker(writer, topic=topic, owned=lambda: worker.owned).run())
    parts.append(
        serve(
            health_app(metrics, health),
            host=settings.host,
            port=settings.triggers_port,
            stop=stopping,
        )
    )
    gc.set_threshold(*GC_THRESHOLD)
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        async with running(app, stop_seconds_max=STOP_SECONDS_MAX) as watch:
            await _first([asyncio.create_task(stop.wait()), watch, *tasks])
        await worker.close()
    finally:
        stopping.set()
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first(tasks: "list[asyncio.Task[Any]]") -> None:
    """Wait until the first ends; what it raised comes out."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks[0].cancel()
    for task in done:
        task.result()


async def _run_or_die(settings: TriggersSettings, stop: asyncio.Event) -> None:
    try:
        await run(settings, stop)
    except BaseException:
        # Threads of the client still send heartbeats, and writes are still repeated.
        ending = threading.Timer(DIE_SECONDS_MAX, os._exit, (1,))
        ending.daemon = True
        ending.start()
        raise


def main() -> int:
    """Run the process; returns its exit code."""
    settings = load(TriggersSettings)
    return run_process(GROUP, settings, lambda stop: _run_or_die(settings, stop))


def main_and_exit() -> None:
    """Run it and end: after a failure at once, whatever threads of the client still do."""
    code = main()
    if code:
        os._exit(code)
    raise SystemExit(code)
