"""The kill switch at the far end: what the workspace has stopped is not attempted.

The workspace's record on `definitions` says so, the same that the workers decide under. What is
stopped waits in the ledger, bounded by its expiry; an attempt that has begun is the last.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.contracts.definitions import definition_key
from services.contracts.errors import Transient
from services.contracts.metrics import STOPPED
from services.contracts.topics import DEFINITIONS
from services.runtime.kafka import KAFKA_ERRORS, make_consumer, topic_name
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done
from services.runtime.settings import KafkaSettings

POLL_MS: Final = 200
LOAD_SECONDS_MAX: Final = 60.0
EVERYTHING: Final = "all"

_log = get_logger(__name__)


class Stops:
    """What is stopped now. `on_change` are called after each change."""

    def __init__(self) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._all = False
        self._channels: frozenset[str] = frozenset()

    def holds(self, queue: str) -> bool:
        """Whether nothing of this queue (`mail`, `webhook:crm`) may be attempted now."""
        return self._all or (bool(self._channels) and queue.partition(":")[0] in self._channels)

    @property
    def names(self) -> list[str]:
        """What is stopped: `all`, and the channels that are stopped by name."""
        return [*([EVERYTHING] if self._all else []), *sorted(self._channels)]

    def put(self, *, everything: bool, channels: frozenset[str]) -> None:
        """Replace what is stopped."""
        if (everything, channels) != (self._all, self._channels):
            self._all, self._channels = everything, channels
            _log.warning("stops changed", stopped=self.names)
            for call in self.on_change:
                call()


class _Switch(msgspec.Struct, frozen=True):
    """Of a workspace's definition what concerns this process; other fields may come and go."""

    stopped: bool = False
    stopped_channels: tuple[str, ...] = ()


class _Record(msgspec.Struct, frozen=True):
    definition: _Switch | None = None


_decode: Final = msgspec.json.Decoder(_Record).decode


class StopsReader:
    """Follows the topic of definitions from its beginning, without a group."""

    def __init__(
        self,
        settings: KafkaSettings,
        stops: Stops,
        metrics: Metrics,
        on_retry: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._stops = stops
        self._gauge = metrics.gauge(STOPPED)
        self._on_retry = on_retry
        self._place = TopicPartition(topic_name(settings, DEFINITIONS), 0)
        self._key = definition_key("workspace", settings.workspace)
        self._consumer: AIOKafkaConsumer | None = None
        stops.on_change.append(self._show)
        self._show()

    async def load(self) -> None:
        """Read what stands there now; to be done before anything is attempted.

        Raises:
            Transient: the broker fails or the end is not reached in time.
        """
        await self.close()
        consumer = make_consumer(self._settings, group=None)
        self._consumer = consumer
        deadline = time.monotonic() + LOAD_SECONDS_MAX
        try:
            await consumer.start()
            consumer.assign([self._place])
            await consumer.seek_to_beginning(self._place)
            while not await self._at_end(consumer):
                if time.monotonic() > deadline:
                    raise Transient("the topic of definitions could not be read in time")
                await self._poll(consumer)
        except KAFKA_ERRORS as error:
            raise Transient(f"definitions not read: {type(error).__name__}") from error

    async def run(self) -> None:
        """Follow until cancelled; while the broker is away what was known last holds."""
        while True:
            await until_done("follow_stops", self._follow, self._on_retry)

    async def close(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _follow(self) -> None:
        if self._consumer is None:
            await self.load()
        assert self._consumer is not None
        try:
            await self._poll(self._consumer)
        except KAFKA_ERRORS as error:
            await self.close()
            raise Transient(f"definitions not read: {type(error).__name__}") from error

    async def _at_end(self, consumer: AIOKafkaConsumer) -> bool:
        # From the answers to Fetch: not every broker's ListOffsets is right.
        end = consumer.highwater(self._place)
        return end is not None and await consumer.position(self._place) >= end

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        found: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=POLL_MS)
        for record in found.get(self._place, ()):
            if record.key == self._key:
                self._take(record.value)

    def _take(self, value: bytes | None) -> None:
        try:
            switch = (_Record() if value is None else _decode(value)).definition or _Switch()
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Of whatever cannot be read, what was known last holds: a stop above all.
            _log.error("the workspace's record cannot be read")
            return
        self._stops.put(everything=switch.stopped, channels=frozenset(switch.stopped_channels))

    def _show(self) -> None:
        self._gauge.set(len(self._stops.names))
