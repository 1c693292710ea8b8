"""Single rows by key, a thousand a second: straight through the driver.

SQLAlchemy's own way to a row costs several times what PostgreSQL does for it.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Transient
from services.runtime.database import transient_errors


class Lookups:
    """Reads single rows with the connections of an engine, which need not ask each time
    whether one is alive: a connection that turns out to be dead is replaced and asked anew."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def first(self, queries: Sequence[str], key: str) -> dict[str, Any] | None:
        """The row that the first of the queries finds which finds one. Each takes `$1`.

        Raises:
            Transient: the database is away or busy.
        """
        try:
            return await self._first(queries, key)
        except Transient:
            return await self._first(queries, key)

    async def _first(self, queries: Sequence[str], key: str) -> dict[str, Any] | None:
        with transient_errors():
            async with self._engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert isinstance(driver, asyncpg.Connection)
                try:
                    for query in queries:
                        row = await driver.fetchrow(query, key)
                        if row is not None:
                            return dict(row)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                    await connection.invalidate()
                    raise
        return None
