"""One partition's line of work: fold a batch while the last one's writes are acknowledged."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from services.runtime.batch.consumer import BatchMessage
from services.triggers.worker.delivery import Delivery
from services.triggers.worker.fold import PartitionFold
from services.triggers.worker.rulebook import Rulebook
from services.triggers.worker.values import Answer, Flush, NeedRules, Pause, Unavailable

BATCHES_QUEUED_MAX: Final = 8
RECORDS_TOGETHER_MAX: Final = 4_000
"""Batches that came while others were written are folded together, up to so many records."""
OVERLAP_RECORDS_MIN: Final = 500
"""Fewer are not worth folding while others are written: more may come until that is done."""
FLOW_POLL_SECONDS: Final = 0.1


class Offsets(Protocol):
    """The consumer's side: what becomes of a batch."""

    @property
    def flowing(self) -> bool:
        """Whether batches may be processed now."""

    def processed(self, message: BatchMessage) -> None:
        """All of it is durable."""

    def abandoned(self, message: BatchMessage) -> None:
        """It will be read again by whoever owns the partition then."""


class DefinitionsLost(RuntimeError):
    """Rules that are in force already cannot be had any more."""


class Lane:
    """Processes the batches of one partition in their order.

    Order within the partition: a flush is written only when the one before is acknowledged,
    and a batch is reported processed only when its last flush is. Folding much that came
    next overlaps that; of little it waits for more, so that there are fewer, larger writes.
    The first error ends the lane and goes to `failed`; nothing after it is reported.
    """

    def __init__(
        self,
        fold: PartitionFold,
        delivery: Delivery,
        rulebook: Rulebook,
        offsets: Offsets,
        *,
        partition: int,
        written: Callable[[int], None],
        failed: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self.fold = fold
        self._delivery = delivery
        self._rulebook = rulebook
        self._offsets = offsets
        self._partition = partition
        self._written = written
        self._failed = failed
        self._queue: asyncio.Queue[BatchMessage] = asyncio.Queue(BATCHES_QUEUED_MAX)
        self._writing: asyncio.Task[None] | None = None
        self._task = asyncio.create_task(self._run(), name=f"lane-{partition}")

    async def put(self, message: BatchMessage) -> None:
        """Hand over a batch; waits while there is no room."""
        await self._queue.put(message)

    async def close(self) -> None:
        """End it; only while nothing is under way (partitions changed hands, or a stop)."""
        for task in (self._task, self._writing):
            if task is not None:
                task.cancel()
        await asyncio.gather(
            *(task for task in (self._task, self._writing) if task is not None),
            return_exceptions=True,
        )

    async def _run(self) -> None:
        try:
            while True:
                await self._process(await self._waiting())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  (handed to the process's boundary)
            await self._failed(error)

    async def _waiting(self) -> list[BatchMessage]:
        """The batches that wait, at least one."""
        messages = [await self._queue.get()]
        records = self._gather(messages, len(messages[0].value))
        if records < OVERLAP_RECORDS_MIN and self._writing is not None:
            await self._settle()
            self._gather(messages, records)
        return messages

    def _gather(self, messages: list[BatchMessage], records: int) -> int:
        while records < RECORDS_TOGETHER_MAX and not self._queue.empty():
            messages.append(self._queue.get_nowait())
            records += len(messages[-1].value)
        return records

    async def _process(self, messages: list[BatchMessage]) -> None:
        if not self._offsets.flowing:
            self._abandon(messages)
            return
        since = time.monotonic()
        records = messages[0].value
        if len(messages) > 1:
            records = [record for message in messages for record in message.value]
        steps = self.fold.run(records)
        answer: Answer | None = None
        while True:
            try:
                step = next(steps) if answer is None else steps.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(step, Pause):
                await asyncio.sleep(0)
                continue
            await self._settle()
            if isinstance(step, Flush):
                self._writing = asyncio.create_task(self._write(messages, step, since))
            else:
                answer = await self._rules(step)
                if answer is None:
                    steps.close()
                    self._abandon(messages)
                    return

    def _abandon(self, messages: list[BatchMessage]) -> None:
        for message in messages:
            self._offsets.abandoned(message)

    async def _settle(self) -> None:
        """Wait until the flush before is durable."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _write(self, messages: list[BatchMessage], flush: Flush, since: float) -> None:
        try:
            await self._delivery.deliver(self._partition, flush, self._written, since)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # The next batch may be long in coming: the process has to stop now.
            await self._failed(error)
            raise
        if flush.last:
            for message in messages:
                self._offsets.processed(message)

    async def _rules(self, need: NeedRules) -> Answer | None:
        """The answer; None if partitions change hands before it is there.

        Raises:
            DefinitionsLost: there is nothing to fall back on.
        """
        asking = asyncio.create_task(self._rulebook.at(need.revision))
        try:
            while not asking.done():
                await asyncio.wait({asking}, timeout=FLOW_POLL_SECONDS)
                if not asking.done() and not self._offsets.flowing:
                    return None
        finally:
            if not asking.done():
                asking.cancel()
        answer = asking.result()
        if need.required and isinstance(answer, Unavailable):
            raise DefinitionsLost(f"{answer.code}: {answer.reason}")
        return answer
