"""The outbox in PostgreSQL: one process carries it, held by a session's advisory lock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Select, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.definitions import VERSIONS_KEPT_MAX, DefinitionRecord
from services.contracts.time import to_micros
from services.runtime.database import transient_errors
from services.triggers.definitions import tables
from services.triggers.definitions.outbox import Desk, Work
from services.triggers.definitions.rows import head_record, kept_versions, with_versions

RELAY_LOCK: Final = "cuestream definitions relay"
LEAD_RETRY_SECONDS: Final = 0.5
"""How often a process that does not carry the outbox tries to."""

# A holder whose machine vanished must lose the lock in seconds, not after two hours.
_KEEPALIVE: Final = (
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
)

_TRY: Final = (
    text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"),
    {"name": RELAY_LOCK},
)

_o: Final = tables.outbox
_v: Final = tables.versions


class PostgresOutbox:
    """`Outbox` over one engine. The desk works on the very connection that holds the lock, so
    a process that lost the lock cannot mark anything done.

    Needs a session of its own: a pooler in transaction mode would break the lock.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ask_for_announcement(self) -> None:
        """Put an announcement behind what is pending."""
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(insert(_o).values(created_at=func.now()))

    def leading(self) -> AbstractAsyncContextManager[Desk]:
        """Wait for the lock and hold it."""
        return self._leading()

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[Desk]:
        with transient_errors():
            connection = await self._engine.connect()
        try:
            with transient_errors():
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                for setting in _KEEPALIVE:
                    await connection.execute(text(setting))
                # Polled, because waiting inside the statement would hold back vacuum.
                while not await connection.scalar(*_TRY):  # noqa: ASYNC110
                    await asyncio.sleep(LEAD_RETRY_SECONDS)
            yield _Desk(connection)
        finally:
            # Closed, not given back: the lock must not live on in the pool.
            await connection.invalidate()
            await connection.close()


class _Desk:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def newest(self) -> int:
        with transient_errors():
            return await self._connection.scalar(select(func.max(_o.c.revision))) or 0

    async def next(self) -> Work | None:
        with transient_errors():
            pending = (
                await self._connection.execute(
                    select(_o.c.id, _o.c.revision)
                    .where(_o.c.done_at.is_(None))
                    .order_by(_o.c.revision, _o.c.id)
                )
            ).all()
            # Exactly the wishes seen here: one made while this is carried is carried again.
            wishes = tuple(row.id for row in pending if row.revision is None)
            if wishes:
                newest = await self._connection.scalar(
                    select(func.max(_o.c.revision)).where(_o.c.done_at.is_not(None))
                )
                if newest is not None:
                    return await self._work(newest, ids=wishes, announcement=True)
                await self._finish(wishes)
            waiting = [row for row in pending if row.revision is not None]
            if not waiting:
                return None
            return await self._work(waiting[0].revision, ids=(waiting[0].id,), announcement=False)

    async def done(self, work: Work) -> None:
        with transient_errors():
            await self._finish(work.ids)

    async def _finish(self, ids: tuple[int, ...]) -> None:
        await self._connection.execute(
            update(_o).where(_o.c.id.in_(ids), _o.c.done_at.is_(None)).values(done_at=func.now())
        )

    async def _work(self, revision: int, *, ids: tuple[int, ...], announcement: bool) -> Work:
        at = await self._connection.scalar(
            select(tables.revisions.c.published_at).where(tables.revisions.c.revision == revision)
        )
        if announcement:
            records = await self._everything(revision)
        else:
            found = await self._records(select(_v).where(_v.c.revision == revision))
            records = list(with_versions(found))
        assert at is not None
        return Work(
            ids=ids,
            revision=revision,
            published_at=to_micros(at),
            records=(*records, head_record(revision)),
            announcement=announcement,
        )

    async def _everything(self, revision: int) -> list[DefinitionRecord]:
        """The newest version of each, as of that revision; removed ones too, because the topic
        may still hold what they were. Then the versions that people may be under way in.
        """
        newest = await self._records(
            select(_v)
            .ext(distinct_on(_v.c.kind, _v.c.id))
            .where(_v.c.revision <= revision)
            .order_by(_v.c.kind, _v.c.id, _v.c.version.desc())
        )
        last = func.max(_v.c.version).over(partition_by=_v.c.id).label("last")
        of_triggers = (
            select(_v, last).where(_v.c.kind == "trigger", _v.c.revision <= revision).subquery()
        )
        versions = await self._records(
            select(of_triggers).where(
                of_triggers.c.version > of_triggers.c.last - VERSIONS_KEPT_MAX
            )
        )
        by_trigger = groupby(versions, key=lambda record: record.id)
        kept = [one for _, published in by_trigger for one in kept_versions(published)]
        return [*newest, *kept]

    async def _records(self, query: Select[Any]) -> list[DefinitionRecord]:
        """The records of these rows, in order of kind and id."""
        rows = (await self._connection.execute(query)).all()
        return [
            DefinitionRecord(
                kind=row.kind,
                id=row.id,
                version=row.version,
                revision=row.revision,
                definition=row.definition,
            )
            for row in sorted(rows, key=lambda row: (row.kind, row.id))
        ]
