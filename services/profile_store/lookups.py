"""Single rows by key, a thousand a second: straight through the driver.

SQLAlchemy's own way to a row costs several times what PostgreSQL does for it, and so does
borrowing a connection of its pool for each.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Transient
from services.runtime.database import (
    COMMAND_TIMEOUT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    transient_errors,
)

AT_ONCE_MAX: Final = 8
"""Lookups under way; others wait for their turn."""
APPLICATION: Final = "cuestream profile reader"


class Lookups:
    """Reads single rows with connections of its own to an engine's database; `kept` stay open.

    None is asked whether it is alive: one that turns out to be dead is replaced and the
    question asked anew. `close` ends them.
    """

    def __init__(self, engine: AsyncEngine, *, kept: int = 0) -> None:
        self._where: dict[str, Any] = dict(engine.dialect.create_connect_args(engine.url)[1])
        self._kept = kept
        self._free: list[asyncpg.Connection] = []
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def first(self, queries: Sequence[str], key: str) -> dict[str, Any] | None:
        """The row that the first of the queries finds which finds one. Each takes `$1`.

        Raises:
            Transient: the database is away or busy.
        """
        async with self._turns:
            try:
                return await self._first(queries, key)
            except Transient:
                # Those that are kept may all have died together.
                self._drop_all()
                return await self._first(queries, key)

    async def close(self) -> None:
        """End every connection that is not in use."""
        self._drop_all()

    def _drop_all(self) -> None:
        while self._free:
            self._free.pop().terminate()

    async def _first(self, queries: Sequence[str], key: str) -> dict[str, Any] | None:
        with transient_errors():
            connection = self._free.pop() if self._free else await self._connect()
            row = None
            try:
                for query in queries:
                    row = await connection.fetchrow(query, key)
                    if row is not None:
                        break
            except BaseException:
                # Whatever it was, cancelling included: nobody knows where the protocol is.
                connection.terminate()
                raise
            if len(self._free) < self._kept:
                self._free.append(connection)
            else:
                await connection.close()
        return None if row is None else dict(row)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            **self._where,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={"application_name": APPLICATION},
        )
