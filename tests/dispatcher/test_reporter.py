"""Reports go together, and do not wait for each other where places are few."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer

from services.dispatcher import reporter as module
from services.dispatcher.ledger import Finished, Ledger, Result
from services.dispatcher.policy import SendState
from services.dispatcher.reporter import Accepted, Reporter
from services.runtime.metrics import Metrics
from services.runtime.settings import KafkaSettings
from tests.dispatcher.support import a_send_id


class Batch:
    """A batch of records as the client makes it."""

    def append(self, **_: object) -> object:
        return object()


class Broker:
    """Takes every batch at once."""

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    def create_batch(self, _topic: str) -> Batch:
        return Batch()

    async def send_batch(self, *_: object, **__: object) -> asyncio.Future[None]:
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


class Settled:
    """A ledger that keeps how many were settled together."""

    def __init__(self) -> None:
        self.together: asyncio.Queue[int] = asyncio.Queue()

    async def settle(self, results: Sequence[Result], *, told: bool) -> set[str]:
        assert told
        self.together.put_nowait(len(results))
        return {result.send_id for result in results}


def accepted(number: int, *, enough: int, done: Callable[[], None] = lambda: None) -> Accepted:
    """An acceptance; `enough` of such need not wait."""
    result = Result(
        send_id=a_send_id(number),
        attempts=1,
        state=SendState.ACCEPTED,
        doubtful=False,
        bound=False,
        reason=None,
        provider_id=None,
        wait_micros=0,
        finished_at=1,
    )
    finished = Finished(
        send_id=a_send_id(number),
        person="ann",
        trigger="t",
        channel="log",
        state=SendState.ACCEPTED,
        attempts=1,
        reason=None,
        finished_at=1,
        command=None,
        source_partition=0,
        source_offset=number,
    )
    return Accepted(result, finished, done, enough)


@asynccontextmanager
async def at_work(ledger: Settled) -> AsyncIterator[Reporter]:
    """A reporter; nothing is left of it at the end."""
    broker: Any = Broker()
    reporter = Reporter(
        cast(AIOKafkaProducer, broker), cast(Ledger, ledger), KafkaSettings(), Metrics()
    )
    running = asyncio.create_task(reporter.run())
    try:
        async with asyncio.timeout(5):
            yield reporter
            reporter.end()
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_reports_that_come_within_a_moment_are_written_together() -> None:
    ledger, freed = Settled(), []
    async with at_work(ledger) as reporter:
        for number in range(3):
            one = accepted(number, enough=100, done=lambda: freed.append(1))
            reporter.put_accepted([one])
            await asyncio.sleep(0)
        assert await ledger.together.get() == 3
    assert (len(freed), ledger.together.empty()) == (3, True)


async def test_as_many_as_are_enough_wait_for_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)
    ledger = Settled()
    async with at_work(ledger) as reporter:
        reporter.put_accepted([accepted(1, enough=2)])
        await asyncio.sleep(0)
        assert ledger.together.empty()
        reporter.put_accepted([accepted(2, enough=2)])
        assert await ledger.together.get() == 2


async def test_at_the_end_nothing_waits_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)
    ledger = Settled()
    async with at_work(ledger) as reporter:
        reporter.put_accepted([accepted(1, enough=100)])
        await asyncio.sleep(0)
    assert ledger.together.get_nowait() == 1
