"""What every store of token buckets owes the lanes: the memory one and the real one."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from services.dispatcher.rates import MemoryRates, PostgresRates, Rates, burst_of
from services.runtime.database import make_engine
from services.runtime.settings import DatabaseSettings
from tests.dispatcher.support import migrate_ledger

RATE = 20.0
BURST = int(burst_of(RATE))


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[list[Rates]]:
    """The same buckets as three processes see them."""
    if request.param == "memory":
        yield [MemoryRates(lambda: time.time_ns() // 1000)] * 3
        return
    url = request.getfixturevalue("database_url")
    await migrate_ledger(url)
    engines = [make_engine(DatabaseSettings(database_url=SecretStr(url))) for _ in range(3)]
    yield [PostgresRates(engine) for engine in engines]
    for engine in engines:
        await engine.dispose()


async def test_a_new_bucket_is_full_and_then_empty(processes: list[Rates]) -> None:
    assert await processes[0].take("mail", 3, RATE) == 3
    assert await processes[0].take("mail", 1000, RATE) >= BURST - 3
    assert await processes[0].take("mail", 1000, 0.001) == 0


async def test_all_processes_together_stay_under_the_rate(processes: list[Rates]) -> None:
    began, taken = time.monotonic(), 0
    while time.monotonic() - began < 0.6:
        taken += sum(await asyncio.gather(*(one.take("mail", 5, RATE) for one in processes)))
        await asyncio.sleep(0.01)
    seconds = time.monotonic() - began
    assert BURST < taken <= BURST + RATE * seconds


async def test_a_slow_rate_still_lets_one_through_at_a_time(processes: list[Rates]) -> None:
    assert await processes[0].take("slow", 5, 0.01) == 1
    assert await processes[1].take("slow", 5, 0.01) == 0


async def test_buckets_are_each_their_own(processes: list[Rates]) -> None:
    assert await processes[0].take("mail", BURST, RATE) == BURST
    assert await processes[0].take("webhook:crm", BURST, RATE) == BURST


async def test_what_is_given_back_can_be_taken_again_and_never_overfills(
    processes: list[Rates],
) -> None:
    assert await processes[0].take("mail", BURST, 0.001 + RATE) >= BURST - 1
    await processes[1].give_back("mail", 7, RATE)
    assert await processes[2].take("mail", 1000, RATE) >= 7
    await processes[0].give_back("mail", 10_000, RATE)
    assert await processes[0].take("mail", 10_000, RATE) == BURST
