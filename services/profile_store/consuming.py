"""The consumer group behind the store: offsets are committed after the data is."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from services.contracts.errors import Transient
from services.contracts.metrics import CONSUMER_LAG
from services.profile_store.storing import Record
from services.runtime.kafka import KAFKA_ERRORS
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics

GROUP: Final = "profile-store"
POLL_MS: Final = 500
UNDER_WAY_MAX: Final = 2
"""Batches: one in PostgreSQL while the next is read and decoded."""

Store = Callable[[Sequence[Record]], Awaitable[None]]
_UnderWay: TypeAlias = "tuple[asyncio.Future[None], dict[TopicPartition, int]]"

_log = get_logger(__name__)


class _Watcher(ConsumerRebalanceListener):  # type: ignore[misc]  # an untyped base
    """Notes that partitions arrived and forgets the lag of those that left."""

    def __init__(self, consuming: "Consuming") -> None:
        self._consuming = consuming

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._consuming.forget(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._consuming.joined = True


class Consuming:
    """Reads batches, has them stored, commits. Delivery is at least once.

    A crash between storing and committing makes the next owner read the batch again, which
    the store takes as stale.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, topic: str, store: Store, metrics: Metrics, batch_max: int
    ) -> None:
        self.joined = False
        self._consumer = consumer
        self._topic = topic
        self._store = store
        self._batch_max = batch_max
        self._lag = metrics.gauge(CONSUMER_LAG)

    def missing(self) -> str | None:
        """None once the group has taken us in, else what is missing (a readiness check)."""
        return None if self.joined else "the consumer group has not taken this member in yet"

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Drop the lag of partitions that others look after now."""
        for partition in partitions:
            try:
                self._lag.remove(partition.topic, str(partition.partition))
            except KeyError:
                pass  # nothing was read from it yet

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; batches under way are finished first.

        Raises:
            Transient: from the store, when its retries are used up; nothing is committed.
        """
        self._consumer.subscribe([self._topic], listener=_Watcher(self))
        await self._consumer.start()
        under_way: deque[_UnderWay] = deque()
        try:
            while not stop.is_set():
                batch = await self._consumer.getmany(
                    timeout_ms=POLL_MS, max_records=self._batch_max
                )
                if batch:
                    under_way.append(self._begin(batch))
                await self._settle(under_way, leave=UNDER_WAY_MAX - 1 if batch else 0)
                await self._measure()
            await self._settle(under_way, leave=0)
        finally:
            for storing, _ in under_way:
                storing.cancel()
            await asyncio.gather(*(storing for storing, _ in under_way), return_exceptions=True)
            await self._consumer.stop()

    def _begin(self, batch: dict[TopicPartition, list[Record]]) -> "_UnderWay":
        records = [record for part in batch.values() for record in part]
        offsets = {partition: part[-1].offset + 1 for partition, part in batch.items()}
        return asyncio.ensure_future(self._store(records)), offsets

    async def _settle(self, under_way: "deque[_UnderWay]", *, leave: int) -> None:
        """Commit the oldest batches once they are stored, until `leave` are left.

        In the order of reading: a commit also covers all that was read before.
        """
        while len(under_way) > leave or (under_way and under_way[0][0].done()):
            storing, offsets = under_way[0]
            await storing
            under_way.popleft()
            await self._commit(offsets)

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            # The partition moved on; its new owner reads the batch again, which is harmless.
            _log.info("not committed: partitions moved", partitions=len(offsets))
        except KAFKA_ERRORS as error:
            raise Transient(f"offsets not committed: {type(error).__name__}") from error

    async def _measure(self) -> None:
        for partition in self._consumer.assignment():
            try:
                # From fetch answers: the embedded broker's ListOffsets does not give the end.
                end = self._consumer.highwater(partition)
                if end is None:
                    continue
                lag = max(0, end - await self._consumer.position(partition))
            except IllegalStateError:
                continue  # it left us between the two calls
            self._lag.labels(partition.topic, str(partition.partition)).set(lag)
