"""An app of Faust with the batch path: built from options, run on the caller's loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faust
from faust.contrib.asgi import bind_to_running_loop
from faust.types import TP
from mode.supervisors import CrashingSupervisor

from services.runtime.batch.consumer import BatchConsumer, BatchMessage, BatchSchema, BatchTransport
from services.runtime.batch.private_names import check_versions
from services.runtime.batch.states import States
from services.runtime.batch.tables import BatchTable, BatchTableManager, Recovered
from services.runtime.sealed_records import RecordSealing
from services.runtime.settings import KafkaSettings

BATCHES_WAITING_MAX: Final = 8
"""Batches of all partitions read ahead of the handler; each is up to one fetch."""
CHANGELOG_BATCHES_WAITING_MAX: Final = 64
CHANGELOG_SEGMENT_BYTES: Final = 64 << 20
HEARTBEAT_SECONDS: Final = 0.5
REBALANCE_SECONDS: Final = 30.0
"""How long members may take to finish their running batches when partitions change hands."""
TABLE: Final = "state"

Handler = Callable[[BatchMessage], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How the batch path reads.

    `end_offsets_by_fetch` is for brokers whose ListOffsets answers too low (the embedded
    one). `standbys` is how many other workers follow each partition's states.
    """

    fetch_wait_ms: int = 4
    batch_records_max: int = 4_000
    end_offsets_by_fetch: bool = False
    standbys: int = 1
    commit_interval_seconds: float = 1.0


class BatchApp(faust.App):
    """A Faust app that reads in batches and keeps its states in `states`."""

    options: BatchOptions
    sealing: RecordSealing
    states: States
    on_recovered: Recovered
    consumer: BatchConsumer

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    @property
    def flowing(self) -> bool:
        """Whether batches may be processed: not while partitions change hands or at a stop."""
        return bool(not self.should_stop and self.consumer.flow_active)

    def lag(self, topic: str, partition: int) -> int | None:
        """Records between the last processed one and the end; None where neither is known."""
        tp = TP(topic, partition)
        end = self.consumer.end_of(tp)
        done = self.consumer.position_processed(tp)
        return None if end is None or done is None else max(0, end - done)


def build_app(
    settings: KafkaSettings,
    *,
    group: str,
    topic: str,
    partitions: int,
    states: States,
    handle: Handler,
    on_recovered: Recovered,
    options: BatchOptions,
    scratch: Path,
) -> BatchApp:
    """Build the app that feeds each batch of `topic` to `handle`, one call at a time.

    `topic` is the broker's name of it and has `partitions` partitions. The changelog is
    `<prefix><group>-state-changelog`. `scratch` is a folder Faust may make its own in. Build
    inside a running loop; nothing is started.

    Raises:
        RuntimeError: Faust, mode or aiokafka is not the version this leans on.
    """
    check_versions()
    app = BatchApp(
        settings.topic_prefix + group,
        broker=[f"kafka://{server}" for server in settings.kafka.split(",")],
        store="memory://",
        datadir=scratch,
        Table=BatchTable,
        TableManager=BatchTableManager,
        agent_supervisor=CrashingSupervisor,
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        topic_replication_factor=settings.replication,
        table_standby_replicas=options.standbys,
        stream_wait_empty=True,
        stream_buffer_maxsize=CHANGELOG_BATCHES_WAITING_MAX,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=options.commit_interval_seconds,
        broker_session_timeout=settings.kafka_session_timeout_ms / 1000,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        broker_rebalance_timeout=REBALANCE_SECONDS,
        broker_request_timeout=settings.kafka_request_timeout_ms / 1000,
        producer_acks=-1,
    )
    app.options = options
    app.sealing = RecordSealing(settings)
    app.states = states
    app.on_recovered = on_recovered
    bind_to_running_loop(app)
    app.Table(
        TABLE,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        schema=BatchSchema(),
        extra_topic_configs={"segment.bytes": str(CHANGELOG_SEGMENT_BYTES)},
    )
    source = app.topic(
        topic, partitions=partitions, schema=BatchSchema(), maxsize=BATCHES_WAITING_MAX
    )

    async def batches(stream: Any) -> None:
        async for event in stream.noack().events():
            await handle(event.message)

    app.agent(source, name=f"{group}-batches")(batches)
    return app


def changelog_of(app: BatchApp) -> str:
    """The broker's name of the changelog topic."""
    name: str = app.tables[TABLE].changelog_topic_name
    return name


class Crashed(RuntimeError):
    """A part of the app failed; the cause is chained."""


@asynccontextmanager
async def running(app: BatchApp, *, stop_seconds_max: float) -> AsyncIterator[asyncio.Task[None]]:
    """Start the app, give a task that fails with `Crashed` when it does, and stop it at the end.

    Stopping finishes the running batches, commits them and leaves the group; it takes at
    most `stop_seconds_max`. When the block raises, nothing is stopped or committed: the
    caller ends the process, and with it every write that is still on its way.

    Raises:
        TimeoutError: it did not stop in time; the process should end at once.
    """
    app.finalize()
    await app.start()
    watch = asyncio.create_task(_watch(app))
    try:
        yield watch
    finally:
        watch.cancel()
    async with asyncio.timeout(stop_seconds_max):
        await app.stop()


async def _watch(app: BatchApp) -> None:
    await app.wait_until_stopped()
    if app.crashed:
        raise Crashed("the stream app crashed") from app.crash_reason
