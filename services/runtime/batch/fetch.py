"""The consumer thread: records as aiokafka's parser makes them, and where each read began."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import aiokafka
from aiokafka.errors import CorruptRecordException
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.contracts.errors import Transient

END_OFFSETS_WAIT_SECONDS_MAX: Final = 10.0
END_OFFSETS_FETCH_WAIT_MS: Final = 20


class Record(Protocol):
    """One record as the parser hands it out; `timestamp` is in milliseconds."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """Kafka's timestamp, milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value."""

    @property
    def headers(self) -> Iterable[tuple[str, bytes]]:
        """Its headers."""


class Fetched(NamedTuple):
    """Records of one partition and the position at which reading them began.

    `start` can be lower than the first record's offset: compaction leaves holes. Two reads
    follow each other without a loss exactly when the second starts where the first ended.
    `assignment` is aiokafka's, under which they were read: a fetch can outlive a rebalance.
    """

    rows: list[Record]
    start: int
    assignment: Any


def _all_records(result: Any) -> list[Record]:
    """What `FetchResult.getall` gives, as the parser made it and batch by batch.

    aiokafka hands out one record at a time through two generators, as a dataclass of eleven
    fields: together a third of the time that one record takes from the socket to the state.

    Raises:
        CorruptRecordException: the checksum of a batch is wrong; the position stays before
            everything that was read, so that all of it is fetched again.
    """
    if not result.check_assignment(None) or not result.has_more():
        return []
    parsed = result._partition_records  # noqa: SLF001
    batches = parsed._records  # noqa: SLF001
    rows: list[Record] = []
    while batches.has_next():
        batch = batches.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"wrong checksum in {parsed._tp}")  # noqa: SLF001
        if not batch.is_control_batch:
            # A fetch answers with whole batches: the first may begin before the position.
            start = parsed.next_fetch_offset
            rows += batch if batch.base_offset >= start else (r for r in batch if r.offset >= start)
        # Compaction may have taken the last record of a batch, never its place.
        parsed.next_fetch_offset = batch.next_offset
    result._update_position()  # noqa: SLF001
    result._partition_records = None  # noqa: SLF001
    return rows


class _Shelf(OrderedDict[Any, Any]):
    """aiokafka's store of fetched, unread results, which notes what it would forget.

    It has results give all their records at once, and remembers where each began. Faust
    reads uncommitted and all there is: neither transactions nor a limit come into it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.starts: dict[Any, int] = {}
        self.taken: dict[Any, int] = {}

    def __setitem__(self, tp: Any, result: Any) -> None:
        records = getattr(result, "_partition_records", None)
        if records is not None:  # else a FetchError
            result.getall = lambda max_records=None: _all_records(result)
            self.starts[tp] = records.next_fetch_offset
        super().__setitem__(tp, result)

    def __delitem__(self, tp: Any) -> None:
        super().__delitem__(tp)
        start = self.starts.pop(tp, None)
        if start is not None:
            self.taken[tp] = start

    def clear(self) -> None:
        super().clear()
        self.starts.clear()
        self.taken.clear()


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around the aiokafka consumer, for reading in batches.

    `heartbeat_at` is the monotonic time of the last heartbeat that the group answered well.
    Until a session timeout later nobody else can have got this member's partitions.
    """

    _shelf: _Shelf
    heartbeat_at: float = -math.inf

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks the broker to hold a fetch for 1.5 s. With a broker that answers as soon
        # as there is something that does no harm; the embedded one sleeps half of it.
        consumer._fetch_max_wait_ms = self.app.options.fetch_wait_ms  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        """Start the consumer; put the shelf in before anything is fetched, listen to heartbeats."""
        await super().on_start()
        consumer = self._ensure_consumer()
        self._shelf = _Shelf()
        consumer._fetcher._records = self._shelf  # noqa: SLF001
        coordinator = consumer._coordinator  # noqa: SLF001
        beat = coordinator._do_heartbeat  # noqa: SLF001

        async def noted() -> bool:
            asked_at = time.monotonic()
            known = bool(await beat())
            if known:
                self.heartbeat_at = asked_at
            elif coordinator.generation < 0:
                self.heartbeat_at = -math.inf  # the group has given us up
            return known

        coordinator._do_heartbeat = noted  # noqa: SLF001

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Joining the group is as good as a heartbeat."""
        self.heartbeat_at = time.monotonic()
        await super().on_partitions_assigned(assigned, generation_id)

    @property
    def current_assignment(self) -> Any:
        """aiokafka's object for what is assigned now; a rebalance makes a new one."""
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001
        return None if subscription is None else subscription.assignment

    def end_of(self, tp: TP) -> int | None:
        """End of the partition as the last fetch said; None while that is not known."""
        assignment = self.current_assignment
        state = (
            None if assignment is None else assignment.state_value(driver.ensure_aiokafka_TP(tp))
        )
        end: int | None = None if state is None else state.highwater
        return end

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, Fetched]:
        records = await super()._fetch_records(*args, **kwargs)
        taken, assignment = self._shelf.taken, self.current_assignment
        return {
            TP(tp.topic, tp.partition): Fetched(rows, taken.pop(tp, rows[0].offset), assignment)
            for tp, rows in records.items()
        }

    async def rewind(self, starts: Mapping[TP, tuple[int, Any]]) -> None:
        """Read again from (start, assignment), where that assignment still holds."""
        await self.call_thread(self._rewind, starts)

    async def _rewind(self, starts: Mapping[TP, tuple[int, Any]]) -> None:
        consumer = self._ensure_consumer()
        for tp, (start, assignment) in starts.items():
            if assignment is not self.current_assignment:
                continue  # the new one reads from positions of its own
            partition = driver.ensure_aiokafka_TP(tp)
            state = assignment.state_value(partition)
            # A seek that went further back meanwhile wins.
            if state is not None and state.has_valid_position and state.position > start:
                consumer.seek(partition, start)

    async def seek_to_start(self, partitions: Iterable[TP]) -> None:
        """Read from the oldest record there is."""
        await self.seek_to_beginning(*(driver.ensure_aiokafka_TP(tp) for tp in partitions))

    async def _highwaters(self, partitions: Any) -> Mapping[Any, int]:
        if partitions and self.app.options.end_offsets_by_fetch:
            return await end_offsets_by_fetch(
                self._ensure_consumer(),
                driver.server_list(self.transport.url, self.transport.default_port),
                partitions,
            )
        answer: Mapping[Any, int] = await super()._highwaters(partitions)
        return answer


async def end_offsets_by_fetch(
    consumer: Any, servers: list[str], partitions: Iterable[TP]
) -> dict[TP, int]:
    """End offsets out of Fetch answers, for a broker whose ListOffsets answers too low.

    Raises:
        Transient: the broker did not answer for every partition in time.
    """
    listed = await consumer.end_offsets(list(partitions))
    ends = {TP(tp.topic, tp.partition): int(end) for tp, end in listed.items()}
    waiting = {driver.ensure_aiokafka_TP(tp) for tp, end in ends.items() if end}
    if not waiting:
        return ends
    probe = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=servers,
        fetch_max_wait_ms=END_OFFSETS_FETCH_WAIT_MS,
        enable_auto_commit=False,
    )
    await probe.start()
    try:
        probe.assign(waiting)
        for tp in waiting:
            probe.seek(tp, ends[TP(tp.topic, tp.partition)] - 1)
        async with asyncio.timeout(END_OFFSETS_WAIT_SECONDS_MAX):
            while waiting:
                await probe.getmany(timeout_ms=END_OFFSETS_FETCH_WAIT_MS)
                for tp in list(waiting):
                    end = probe.highwater(tp)
                    if end is not None:
                        key = TP(tp.topic, tp.partition)
                        ends[key] = max(ends[key], end)
                        waiting.discard(tp)
    except TimeoutError as error:
        raise Transient(f"no end offset for {sorted(waiting)}") from error
    finally:
        await probe.stop()
    return ends
