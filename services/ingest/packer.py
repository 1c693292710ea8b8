"""Events into packed records: one stream for each partition, in the order events came."""

import asyncio
from collections import deque
from functools import partial
from typing import Final

from services.contracts.codec import encode_event, join_pack
from services.contracts.errors import Transient
from services.contracts.event import PACK_EVENTS_MAX, Event
from services.contracts.topics import RECORD_BYTES_MAX
from services.ingest.pressure import Pressure
from services.ingest.records import RecordLog, failure_of
from services.runtime.kafka import partition_of

PACK_BYTES_MAX: Final = RECORD_BYTES_MAX - 1024
"""Room for the array header, the record's own header and Kafka's framing."""


class Receipt:
    """What one request waits for: every record that holds something of it."""

    def __init__(self) -> None:
        self._open = 0
        self._error: Transient | None = None
        self._done: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Return once all of it is acknowledged.

        Raises:
            Transient: one of them was not, or may not have been.
        """
        if self._open:
            self._done = asyncio.get_running_loop().create_future()
            await self._done
        if self._error is not None:
            raise self._error

    def joined(self) -> None:
        """One more record holds something of this request."""
        self._open += 1

    def waits_for(self, ack: "asyncio.Future[None]") -> None:
        """One more record, already written, belongs to this request alone."""
        self.joined()
        ack.add_done_callback(lambda ended: self.settled(failure_of(ended)))

    def settled(self, error: Transient | None) -> None:
        """One of its records was acknowledged, or failed with `error`."""
        self._open -= 1
        self._error = self._error or error
        if self._open == 0 and self._done is not None and not self._done.done():
            self._done.set_result(None)


class _Pack:
    __slots__ = ("encoded", "receipts", "size")

    def __init__(self) -> None:
        self.encoded: list[bytes] = []
        self.size = 0
        self.receipts: list[Receipt] = []


class _Lane:
    """One partition: the pack being filled, and those waiting for their place in the log."""

    __slots__ = ("filling", "partition", "pump", "sealed")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.filling = _Pack()
        self.sealed: deque[_Pack] = deque()
        self.pump: asyncio.Task[None] | None = None


class Packer:
    """Fills one pack for each partition and writes it when it is full or old enough.

    Everything it holds is counted into `pressure`, which whoever calls `add` has asked
    before. Belongs to one event loop.
    """

    def __init__(self, log: RecordLog, pressure: Pressure, *, wait_seconds: float) -> None:
        self._log: Final = log
        self._pressure: Final = pressure
        self._wait_seconds: Final = wait_seconds
        self._lanes: dict[int, _Lane] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._unsettled = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, event: Event, receipt: Receipt, partitions: int) -> None:
        """Put an event behind all earlier ones of its person; never blocks."""
        encoded = encode_event(event)
        partition = partition_of(event.person.encode(), partitions)
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane(partition)
        size = len(encoded)
        if lane.filling.size + size > PACK_BYTES_MAX:
            self._seal(lane)
        pack = lane.filling
        if not pack.encoded:
            self._unsettled += 1
            self._idle.clear()
        pack.encoded.append(encoded)
        pack.size += size
        if not pack.receipts or pack.receipts[-1] is not receipt:
            pack.receipts.append(receipt)
            receipt.joined()
        self._pressure.add(events=1, size=size)
        if len(pack.encoded) >= PACK_EVENTS_MAX:
            self._seal(lane)
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._wait_seconds, self._on_timer)

    async def drained(self) -> None:
        """Write what is being filled, and wait until every pack is acknowledged or failed."""
        self._flush()
        await self._idle.wait()

    def _on_timer(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        for lane in self._lanes.values():
            if lane.filling.encoded:
                self._seal(lane)

    def _seal(self, lane: _Lane) -> None:
        lane.sealed.append(lane.filling)
        lane.filling = _Pack()
        if lane.pump is None:
            lane.pump = asyncio.get_running_loop().create_task(self._pump(lane))

    async def _pump(self, lane: _Lane) -> None:
        # One task a partition: packs take their places one after the other.
        while lane.sealed:
            pack = lane.sealed.popleft()
            try:
                ack = await self._log.append(lane.partition, join_pack(pack.encoded))
            except Transient as error:
                self._settle(pack, error)
                # What stands behind it must not overtake it: the clients send all of it again.
                while lane.sealed:
                    self._settle(lane.sealed.popleft(), error)
            else:
                ack.add_done_callback(partial(self._on_ack, pack))
        lane.pump = None

    def _on_ack(self, pack: _Pack, ack: "asyncio.Future[None]") -> None:
        self._settle(pack, failure_of(ack))

    def _settle(self, pack: _Pack, error: Transient | None) -> None:
        self._pressure.release(events=len(pack.encoded), size=pack.size)
        for receipt in pack.receipts:
            receipt.settled(error)
        self._unsettled -= 1
        if self._unsettled == 0:
            self._idle.set()
