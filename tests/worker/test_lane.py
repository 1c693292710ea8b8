"""One partition's lane: what may overlap and what may not, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from services.contracts.definitions import Bundle
from services.runtime.batch.consumer import BatchMessage
from services.triggers.worker.delivery import Delivery
from services.triggers.worker.lane import OVERLAP_RECORDS_MIN, DefinitionsLost, Lane
from services.triggers.worker.rulebook import Rulebook
from services.triggers.worker.values import Flush
from tests.worker.driver import Log, Partition, people
from tests.worker.standin import stand_in

ANN = people(1)[0]


class Message:
    """A batch as the lane sees it."""

    def __init__(self, log: Log, first: int, last: int) -> None:
        self.value = log.rows[first:last]


class Writes:
    """In the delivery's place: each flush is durable only when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Flush] = []
        self._gates: list[asyncio.Event] = []
        self.failure: Exception | None = None

    async def deliver(
        self, partition: int, flush: Flush, written: Callable[[int], None], since: float
    ) -> None:
        gate = asyncio.Event()
        self.begun.append(flush)
        self._gates.append(gate)
        await gate.wait()
        if self.failure is not None:
            raise self.failure

    def finish(self, number: int) -> None:
        self._gates[number].set()


class Offsets:
    """The consumer's side."""

    def __init__(self) -> None:
        self.flowing = True
        self.done: list[Message] = []
        self.given_back: list[Message] = []

    def processed(self, message: BatchMessage) -> None:
        self.done.append(cast(Message, message))

    def abandoned(self, message: BatchMessage) -> None:
        self.given_back.append(cast(Message, message))


class Definitions:
    """Definitions that are there, or never come."""

    def __init__(self, head: int) -> None:
        self.head = head

    async def wait_for(self, revision: int) -> None:
        if revision > self.head:
            await asyncio.Event().wait()

    def bundle_at(self, revision: int) -> Bundle:
        return Bundle(revision=revision)


class Bench:
    """A lane with everything around it in the test's hands."""

    def __init__(self, head: int = 9, wait_seconds: float = 30.0) -> None:
        self.log = Log()
        self.writes, self.offsets = Writes(), Offsets()
        self.errors: list[BaseException] = []
        self.partition = Partition()
        rulebook = Rulebook(Definitions(head), stand_in(), wait_seconds=wait_seconds)

        async def failed(error: BaseException) -> None:
            self.errors.append(error)

        report: Callable[[BaseException], Awaitable[None]] = failed
        self.lane = Lane(
            self.partition.fold,
            cast(Delivery, self.writes),
            rulebook,
            self.offsets,
            partition=2,
            written=lambda _: None,
            failed=report,
        )

    async def put(self, first: int, last: int) -> Message:
        message = Message(self.log, first, last)
        await self.lane.put(cast(BatchMessage, message))
        return message


@asynccontextmanager
async def bench(**options: Any) -> AsyncIterator[Bench]:
    found = Bench(**options)
    try:
        yield found
    finally:
        await found.lane.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (a condition of plain values)
            await asyncio.sleep(0)


async def turns(count: int = 50) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_batch_is_processed_only_when_it_is_durable() -> None:
    async with bench() as b:
        b.log.event(ANN)
        message = await b.put(0, 1)
        await until(lambda: len(b.writes.begun) == 1)
        await turns()
        assert b.offsets.done == []
        b.writes.finish(0)
        await until(lambda: b.offsets.done == [message])


async def test_a_large_next_batch_is_folded_meanwhile_but_written_only_afterwards() -> None:
    async with bench() as b:
        for _ in range(OVERLAP_RECORDS_MIN + 1):
            b.log.event(ANN)
        await b.put(0, 1)
        await until(lambda: len(b.writes.begun) == 1)
        await b.put(1, OVERLAP_RECORDS_MIN + 1)
        stored, decode = b.partition.fold.states.stored, b.partition.engine.decode_state
        await until(lambda: ANN in stored)
        await until(lambda: len(decode(stored[ANN]).notes) == OVERLAP_RECORDS_MIN + 1)
        await turns()
        assert len(b.writes.begun) == 1
        b.writes.finish(0)
        await until(lambda: len(b.writes.begun) == 2)
        assert len(b.offsets.done) == 1


async def test_batches_that_wait_are_folded_and_written_together() -> None:
    async with bench() as b:
        for _ in range(6):
            b.log.event(ANN)
        messages = [await b.put(0, 1)]
        await until(lambda: len(b.writes.begun) == 1)
        for number in range(1, 6):
            messages.append(await b.put(number, number + 1))
            await turns()
        b.writes.finish(0)
        await until(lambda: len(b.writes.begun) == 2)
        b.writes.finish(1)
        await until(lambda: b.offsets.done == messages)
        assert [flush.events["applied"] for flush in b.writes.begun] == [1, 5]


async def test_a_failed_write_ends_the_lane_at_once_and_nothing_more_is_processed() -> None:
    async with bench() as b:
        b.log.event(ANN)
        b.log.event(ANN)
        b.writes.failure = ConnectionError("gone")
        await b.put(0, 1)
        await until(lambda: len(b.writes.begun) == 1)
        b.writes.finish(0)
        await until(lambda: bool(b.errors))
        await b.put(1, 2)
        await turns()
        assert len(b.writes.begun) == 1
        assert b.offsets.done == []


async def test_batches_are_given_back_while_partitions_change_hands() -> None:
    async with bench() as b:
        b.log.event(ANN)
        b.offsets.flowing = False
        message = await b.put(0, 1)
        await until(lambda: b.offsets.given_back == [message])
        assert b.writes.begun == []


async def test_waiting_for_definitions_ends_when_partitions_change_hands() -> None:
    async with bench(head=0) as b:
        b.log.event(ANN)
        b.log.marker(5)
        message = await b.put(0, 2)
        await until(lambda: len(b.writes.begun) == 1)
        b.writes.finish(0)
        await turns()
        b.offsets.flowing = False
        await until(lambda: b.offsets.given_back == [message])
        assert b.offsets.done == []
        assert b.errors == []


async def test_definitions_that_never_come_cost_the_marker_and_not_the_partition() -> None:
    async with bench(head=0, wait_seconds=0.01) as b:
        b.log.marker(5)
        b.log.event(ANN)
        message = await b.put(0, 2)
        for number in range(2):
            await until(lambda number=number: len(b.writes.begun) > number)  # type: ignore[misc]
            b.writes.finish(number)
        await until(lambda: b.offsets.done == [message])
        assert b.writes.begun[-1].lettered == {"definitions_missing": 1}


async def test_rules_in_force_that_are_gone_stop_the_worker() -> None:
    async with bench(head=0, wait_seconds=0.01) as b:
        b.partition.stored["\x00partition"] = b'{"v":1,"revision":7,"applied":3}'
        b.partition.restart()
        b.lane.fold = b.partition.fold
        b.log.event(ANN)
        await b.put(0, 1)
        await until(lambda: bool(b.errors))
        assert isinstance(b.errors[0], DefinitionsLost)
        assert b.offsets.done == []


@pytest.mark.parametrize("batches", [1, 3])
async def test_closing_a_lane_leaves_no_task_behind(batches: int) -> None:
    before = asyncio.all_tasks()
    async with bench() as b:
        b.log.event(ANN)
        for _ in range(batches):
            await b.put(0, 1)
        await turns()
    assert asyncio.all_tasks() == before
