"""Single rows straight through the driver."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Transient
from services.profile_store.lookups import APPLICATION, Lookups

pytestmark = pytest.mark.embedded

ONE = "SELECT $1::text AS said"
NONE = "SELECT $1::text AS said WHERE false"
OPEN = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"
    " AND datname = current_database()"
)
CLOSE_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)


async def open_connections(engine: AsyncEngine) -> int:
    """How many connections lookups have."""
    async with engine.connect() as connection:
        return int((await connection.execute(OPEN, {"name": APPLICATION})).scalar_one())


async def until(what: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Wait until `what` gives that."""
    async with asyncio.timeout(10):
        while await what() != wanted:  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.01)


async def test_the_first_query_that_finds_one_answers(engine: AsyncEngine) -> None:
    lookups = Lookups(engine)
    assert await lookups.first([NONE, ONE], "a") == {"said": "a"}
    assert await lookups.first([NONE, NONE], "a") is None


async def test_a_connection_that_died_meanwhile_is_replaced(engine: AsyncEngine) -> None:
    lookups = Lookups(engine, kept=2)
    for _ in range(3):
        assert await lookups.first([ONE], "a") == {"said": "a"}
        async with engine.connect() as connection:
            await connection.execute(CLOSE_OTHERS)
    await lookups.close()


async def test_connections_are_kept_up_to_a_number_and_given_back(engine: AsyncEngine) -> None:
    lookups = Lookups(engine, kept=2)
    asked = [lookups.first([ONE], str(number)) for number in range(20)]
    assert await asyncio.gather(*asked) == [{"said": str(number)} for number in range(20)]
    assert await open_connections(engine) == 2
    await lookups.close()
    await until(lambda: open_connections(engine), 0)


async def test_a_question_that_is_cancelled_spoils_no_other(engine: AsyncEngine) -> None:
    lookups = Lookups(engine, kept=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lookups.first(["SELECT $1::text AS said FROM pg_sleep(30)"], "slow")
    assert await lookups.first([ONE], "a") == {"said": "a"}
    await lookups.close()


async def test_a_database_that_is_away_is_transient(engine: AsyncEngine) -> None:
    lookups = Lookups(engine)
    with pytest.raises(Transient):
        await lookups.first(["SELECT pg_terminate_backend(pg_backend_pid()), $1::text"], "a")
