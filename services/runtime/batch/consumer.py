"""Polls become batches: one message a partition, whose offset moves when it is processed.

Whatever is fetched is either handed on or read again; nothing in between is lost, also when
the flow is stopped or partitions are paused while a fetch is under way.
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from services.runtime.batch.fetch import BatchConsumerThread, Fetched, Record

GENERATION_NONE: Final = -1


class BatchMessage(ConsumerMessage):
    """Consecutive records of one partition as one Faust message.

    `value` is the list of records, `offset` that of the last one, `start` the position at
    which reading them began. Faust's own acknowledgement, which also comes when a handler
    raised or a batch was skipped, moves nothing: only `BatchConsumer.processed` does.
    """

    __slots__ = ("processed", "start")

    def __init__(self, tp: TP, rows: list[Record], start: int, generation: int) -> None:
        last = rows[-1]
        super().__init__(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            None,
            None,
            rows,
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )
        self.start = start
        self.processed = False

    def ack(self, consumer: Any, n: int = 1) -> bool:
        """Faust is done with it; see the class."""
        return False


class BatchConsumer(driver.Consumer):
    """Faust's consumer with batches for messages, for every topic it reads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # In the order of their offsets, from being handed on until committed.
        self._in_flight: defaultdict[TP, deque[BatchMessage]] = defaultdict(deque)
        self._next: dict[TP, int] = {}
        self._done_up_to: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(  # the name of the argument is Faust's
        self,
        timeout: float,  # noqa: ASYNC109
    ) -> AsyncIterator[tuple[TP, BatchMessage]]:
        """Fetch and hand on batches; what cannot be handed on is read again."""
        fetched, active = await self._wait_next_records(timeout)
        if not fetched or self.should_stop:
            return
        unread: dict[TP, tuple[int, Any]] = {}
        for tp, result in fetched.items():
            readable = active is None or tp in active or tp in self._buffered_partitions
            for message in self._batches(tp, result):
                if readable and self._flows(result):
                    self._open(tp, message)
                    self._hand_on(tp, message)
                    yield tp, message
                else:
                    unread.setdefault(tp, (message.start, result.assignment))
        if unread and not self.should_stop:
            await self._thread.rewind(unread)

    def _flows(self, result: Fetched) -> bool:
        return bool(self.flow_active and result.assignment is self._thread.current_assignment)

    def _batches(self, tp: TP, result: Fetched) -> Iterator[BatchMessage]:
        rows, start = result.rows, result.start
        expected = self._next.get(tp)
        if expected is not None and start < expected:
            rows = [row for row in rows if row.offset >= expected]
            start = expected
        most: int = self.app.options.batch_records_max
        for first in range(0, len(rows), most):
            part = rows[first : first + most]
            yield BatchMessage(
                tp,
                part,
                start if first == 0 else part[0].offset,
                self.app.consumer_generation_id,
            )

    def _open(self, tp: TP, message: BatchMessage) -> None:
        """Open what is sealed. Of a changelog, what does not open is kept as it is until it is
        known whether a later record stands for it. Nothing is looked for in the source of a
        process without keys, whose handler finds a sealed record malformed.

        Raises:
            MissingKey: a record of the source is sealed with a key that is not listed.
        """
        sealing, source = self.app.sealing, self.app.topics.acks_enabled_for(tp.topic)
        if sealing.on or not source:
            message.value = sealing.opened(tp.topic, message.value, keep=not source)

    def _hand_on(self, tp: TP, message: BatchMessage) -> None:
        if self.app.topics.acks_enabled_for(tp.topic):
            self._in_flight[tp].append(message)
            self._next[tp] = message.offset + 1

    def processed(self, message: BatchMessage) -> None:
        """Its effects are durable: its offset may be committed. Also those before it have to be.

        Idempotent. A batch that was given back meanwhile moves nothing.
        """
        message.processed = message.acked = True
        self._unacked_messages.discard(message)
        self._n_acked += 1
        notify(self._waiting_for_ack)

    def abandoned(self, message: BatchMessage) -> None:
        """It will not be processed here; whoever gets the partition next reads it again.

        Only while the flow is stopped: a rebalance or a stop is under way.
        """
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)

    @property
    def heartbeat_at(self) -> float:
        """Monotonic time of the last heartbeat that the group answered well."""
        at: float = self._thread.heartbeat_at
        return at

    def end_of(self, tp: TP) -> int | None:
        """End of an assigned partition; None while it is not known."""
        end: int | None = self._thread.end_of(tp)
        return end

    def position_processed(self, tp: TP) -> int | None:
        """Offset after the last processed record of a partition; None before the first."""
        self._advance(tp)
        position: int | None = self._done_up_to.get(tp, self._committed_offset.get(tp))
        return position

    def _advance(self, tp: TP) -> None:
        waiting = self._in_flight.get(tp)
        while waiting and waiting[0].processed:
            self._done_up_to[tp] = waiting.popleft().offset + 1

    # What Faust asks when it commits.

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for tp in list(self._in_flight):
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        self._advance(tp)
        return self._done_up_to.get(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes need no bookkeeping where batches carry their own ends."""

    # What moves the position.

    def _give_back(self) -> None:
        self._in_flight.clear()
        self._next.clear()
        self._done_up_to.clear()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Faust waits for the running batches and commits them; the rest is given back."""
        await super().on_partitions_revoked(revoked)
        self._give_back()

    async def perform_seek(self) -> None:
        """Go back to the committed offsets, and to the start where nothing was committed."""
        self._give_back()
        await super().perform_seek()
        acks = self.app.topics.acks_enabled_for
        fresh = [
            tp for tp in self.assignment() if acks(tp.topic) and not self._committed_offset.get(tp)
        ]
        if fresh:
            await self._thread.seek_to_start(fresh)
        self._give_back()


class BatchTransport(driver.Transport):
    """Faust's aiokafka driver with the batch consumer."""

    Consumer = BatchConsumer


class BatchSchema(faust.Schema):
    """Leaves a batch as it is: its records are decoded by whoever processes it."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Make the coroutine with which Faust turns a message into an event."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode
