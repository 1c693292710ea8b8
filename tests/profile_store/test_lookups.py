"""Single rows straight through the driver."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Transient
from services.profile_store.lookups import Lookups

pytestmark = pytest.mark.embedded

ONE = "SELECT $1::text AS said"
NONE = "SELECT $1::text AS said WHERE false"
CLOSE_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)


async def test_the_first_query_that_finds_one_answers(engine: AsyncEngine) -> None:
    lookups = Lookups(engine)
    assert await lookups.first([NONE, ONE], "a") == {"said": "a"}
    assert await lookups.first([NONE, NONE], "a") is None


async def test_a_connection_that_died_meanwhile_is_replaced(
    engine: AsyncEngine, reading: AsyncEngine
) -> None:
    lookups = Lookups(reading)
    for _ in range(3):
        assert await lookups.first([ONE], "a") == {"said": "a"}
        async with engine.connect() as connection:
            await connection.execute(CLOSE_OTHERS)


async def test_a_database_that_is_away_is_transient(reading: AsyncEngine) -> None:
    lookups = Lookups(reading.execution_options())
    with pytest.raises(Transient):
        await lookups.first(["SELECT pg_terminate_backend(pg_backend_pid()), $1::text"], "a")
