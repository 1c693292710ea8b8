"""When a lane looks into the ledger, and who may begin without waiting there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from services.contracts.codec import encode_json
from services.dispatcher.breaker import BreakerPolicy
from services.dispatcher.channels.port import Accepted, Outcome
from services.dispatcher.commands import read_command
from services.dispatcher.lane import BEGUN_TOGETHER_MAX, POLL_SECONDS, Lane
from services.dispatcher.ledger import Claim, Ledger, NewSend
from services.dispatcher.main import make_rules
from services.dispatcher.provider import Provider
from services.dispatcher.rates import MemoryRates, Rates
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.settler import Settled, Settler
from services.dispatcher.stops import Stops
from services.runtime.clock import WallClock
from services.runtime.metrics import Metrics
from tests.dispatcher.support import ScriptedChannel, a_command

PLACES = 16


class AskedLedger:
    """Its questions wait until they are answered by hand. `since` is that of each question."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[int, asyncio.Future[list[Claim]]]] = asyncio.Queue()
        self.since: list[int] = []

    async def claim(
        self, _queue: str, _name: str, limit: int, *, since: int, **_: object
    ) -> list[Claim]:
        answer: asyncio.Future[list[Claim]] = asyncio.get_running_loop().create_future()
        self.since.append(since)
        self.asked.put_nowait((limit, answer))
        return await answer


class EmptyLedger:
    """Nothing can be had of it, though something is due; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def due(self, *_: object, **__: object) -> int:
        self.asked += 1
        return 1

    async def claim(self, *_: object, **__: object) -> list[Claim]:
        self.asked += 1
        await asyncio.sleep(0)
        return []


class Spent:
    """A rate that has been used up."""

    async def take(self, *_: object) -> int:
        return 0


class Outcomes:
    """Takes every outcome for settled at once."""

    def put(self, settled: Settled) -> None:
        settled.done()


def new_sends(first: int, number: int) -> list[NewSend]:
    """So many of the normal lane."""
    return [
        read_command(encode_json(a_command(one)), partition=0, offset=one, queues=("log",))
        for one in range(first, first + number)
    ]


def claim_of(send: NewSend, *, bulk_since: int = 0) -> Claim:
    """It, as ours."""
    return Claim(
        send_id=send.send_id,
        queue=send.queue,
        provider="log",
        attempts=1,
        attempts_before=0,
        doubtful=False,
        cancelled=False,
        command=send.command,
        source_partition=0,
        source_offset=send.source_offset,
        read_at=0,
        bulk_since=bulk_since,
    )


@asynccontextmanager
async def at_work(
    ledger: object, channel: Any, places: int = PLACES, *, spent: bool = False
) -> AsyncIterator[Lane]:
    """A lane with so many places, and this ledger. `spent`: no rate is left for it."""
    metrics = Metrics()
    provider = Provider(
        "log",
        channel,
        concurrency=places,
        rate=1.0 if spent else None,
        breaker=BreakerPolicy(failures=5, open_seconds=1.0),
        metrics=metrics,
    )
    clock = WallClock()
    lane = Lane(
        "log",
        [provider],
        ledger=cast(Ledger, ledger),
        rates=cast(Rates, Spent()) if spent else MemoryRates(lambda: clock.stamp(None)),
        addresses=cast(Any, None),
        settler=cast(Settler, Outcomes()),
        rules=make_rules(DispatcherSettings(), clock),
        metrics=metrics,
        stops=Stops(),
    )
    running = asyncio.create_task(lane.run())
    try:
        yield lane
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def drained(ledger: AskedLedger) -> None:
    """Answer the first question: nothing waits."""
    _, answer = await ledger.asked.get()
    answer.set_result([])
    await asyncio.sleep(0)


async def test_new_sends_begin_at_once_while_the_ledger_is_asked_for_others() -> None:
    ledger = AskedLedger()
    async with asyncio.timeout(5), at_work(ledger, ScriptedChannel()) as lane:
        await drained(ledger)
        lane.wake()
        await ledger.asked.get()
        assert len(lane.offer(new_sends(0, 2), urgent=False)) == 2


async def test_nothing_new_overtakes_what_waits_for_a_place() -> None:
    ledger, begun, held = AskedLedger(), asyncio.Event(), asyncio.Event()

    async def wait(*_: object) -> Outcome:
        begun.set()
        await held.wait()
        return Accepted()

    async with asyncio.timeout(5), at_work(ledger, ScriptedChannel(wait)) as lane:
        await drained(ledger)
        # More came together than there are places: some wait in the ledger.
        many = new_sends(0, PLACES + 1)
        offered = lane.offer(many, urgent=False)
        assert len(offered) < len(many)
        lane.take(offered, [])
        assert lane.offer(new_sends(100, 1), urgent=False) == {}
        lane.wake()
        limit, answer = await ledger.asked.get()
        answer.set_result([claim_of(send) for send in many[:limit]])
        await begun.wait()
        assert lane.offer(new_sends(100, 1), urgent=False) == {}
        held.set()


async def test_who_calls_while_the_ledger_is_asked_is_looked_for_at_once() -> None:
    ledger = AskedLedger()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5), at_work(ledger, ScriptedChannel()) as lane:
        await drained(ledger)
        lane.wake()
        _, answer = await ledger.asked.get()
        lane.wake()
        before = loop.time()
        answer.set_result([])
        await ledger.asked.get()
        assert loop.time() - before < POLL_SECONDS / 2


async def test_many_that_begin_together_leave_the_loop_to_others_in_between() -> None:
    ledger, channel = AskedLedger(), ScriptedChannel()
    number, seen = 3 * BEGUN_TOGETHER_MAX, []
    async with asyncio.timeout(5), at_work(ledger, channel) as lane:
        await drained(ledger)
        lane.take({}, [claim_of(send) for send in new_sends(0, number)])
        while len(channel.sent) < number:
            seen.append(len(channel.sent))
            await asyncio.sleep(0)
    assert any(0 < count < number for count in seen)


@asynccontextmanager
async def crowded(
    ledger: Any, *, places: int, begin: int
) -> AsyncIterator[tuple[Lane, asyncio.Semaphore]]:
    """A lane whose places are all taken but for `places - begin`; each release of the semaphore
    ends a send. There were more of them: some wait in the ledger."""
    ends = asyncio.Semaphore(0)

    async def wait(*_: object) -> Outcome:
        await ends.acquire()
        return Accepted()

    async with at_work(ledger, ScriptedChannel(wait), places) as lane:
        many = new_sends(0, begin + 1)
        if isinstance(ledger, AskedLedger):
            await drained(ledger)
        else:
            await asyncio.sleep(0.01)
        offered = lane.offer(many, urgent=False)
        assert len(offered) == begin
        lane.take(offered, [claim_of(send) for send in many if send.send_id in offered])
        yield lane, ends


async def test_the_ledger_is_not_asked_all_the_time_while_only_urgent_sends_have_room() -> None:
    ledger = EmptyLedger()
    async with asyncio.timeout(5), crowded(ledger, places=16, begin=14) as (lane, _):
        lane.wake()
        before = ledger.asked
        await asyncio.sleep(POLL_SECONDS)
        assert ledger.asked - before <= 3


async def test_the_ledger_is_not_asked_all_the_time_while_the_rate_is_used_up() -> None:
    ledger = EmptyLedger()
    async with asyncio.timeout(5), at_work(ledger, ScriptedChannel(), spent=True):
        await asyncio.sleep(POLL_SECONDS)
        assert 1 <= ledger.asked <= 3


async def test_for_bulk_the_ledger_is_asked_once_an_eighth_of_its_places_is_free() -> None:
    ledger = AskedLedger()
    async with asyncio.timeout(5), crowded(ledger, places=64, begin=56) as (lane, ends):
        lane.wake()
        began = asyncio.get_running_loop().time()
        for _ in range(6):
            ends.release()
        await asyncio.sleep(POLL_SECONDS / 5)
        assert ledger.asked.empty()
        ends.release()
        limit, _ = await ledger.asked.get()
        assert limit == 7
        assert asyncio.get_running_loop().time() - began < POLL_SECONDS


async def test_for_an_urgent_send_that_found_no_place_it_is_asked_at_the_first() -> None:
    ledger = AskedLedger()
    async with asyncio.timeout(5), crowded(ledger, places=64, begin=56) as (lane, ends):
        kept = lane.offer(new_sends(100, 9), urgent=True)
        assert len(kept) == 8
        began = asyncio.get_running_loop().time()
        lane.wake()
        ends.release()
        limit, _ = await ledger.asked.get()
        assert limit == 1
        assert asyncio.get_running_loop().time() - began < POLL_SECONDS


async def test_a_question_goes_on_from_the_last_answer_and_then_begins_anew() -> None:
    ledger = AskedLedger()
    async with asyncio.timeout(5), at_work(ledger, ScriptedChannel(), 64) as lane:
        await drained(ledger)
        lane.wake()
        for last in (700, 800):
            limit, answer = await ledger.asked.get()
            full = new_sends(last, limit)
            answer.set_result([claim_of(send, bulk_since=last) for send in full])
        _, answer = await ledger.asked.get()
        # Fewer than asked for: whether any are left before these is not known yet.
        began = asyncio.get_running_loop().time()
        answer.set_result([])
        await ledger.asked.get()
        assert asyncio.get_running_loop().time() - began < POLL_SECONDS / 2
    assert ledger.since == [0, 0, 700, 800, 0]
