"""Upkeep goes round until it is told to stop, whatever a database does meanwhile."""

import asyncio

import pytest

from services.contracts.errors import Transient
from services.runtime.upkeep import now_and_then


async def test_it_is_done_at_once_and_again_until_stopped() -> None:
    stop, rounds = asyncio.Event(), 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            stop.set()

    async with asyncio.timeout(5):
        await now_and_then("rows", work, stop, seconds=0.001)
    assert rounds == 3


async def test_a_database_that_is_away_is_tried_next_time() -> None:
    stop, rounds = asyncio.Event(), 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 3:
            raise Transient("away")
        stop.set()

    async with asyncio.timeout(5):
        await now_and_then("rows", work, stop, seconds=0.001)
    assert rounds == 3


async def test_a_stop_ends_the_wait_and_nothing_is_done_after_it() -> None:
    stop, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        assert not done.is_set()
        done.set()

    going = asyncio.create_task(now_and_then("rows", work, stop, seconds=3600))
    await done.wait()
    stop.set()
    async with asyncio.timeout(5):
        await going
    await now_and_then("rows", work, stop, seconds=3600)


async def test_a_bug_is_not_waited_for() -> None:
    async def work() -> None:
        raise KeyError("rows")

    with pytest.raises(KeyError):
        await now_and_then("rows", work, asyncio.Event(), seconds=3600)
