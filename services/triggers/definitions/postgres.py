"""The store in PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import RowMapping, Select, and_, func, insert, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.definitions import Kind
from services.contracts.time import Micros, from_micros, to_micros
from services.runtime.database import transient_errors
from services.triggers.definitions import tables
from services.triggers.definitions.auditing import Entry, Wanted
from services.triggers.definitions.rows import from_body, to_body
from services.triggers.definitions.store import Reader, Writer
from services.triggers.definitions.values import Review, Revision, Status, Stored, Version

WRITER_LOCK: Final = "cuestream definitions writer"
"""Name of the advisory lock that makes writers take turns, so that revisions are gapless."""

_d: Final = tables.definitions
_v: Final = tables.versions
_a: Final = tables.audit


IN_REVIEW: Final = _d.c.review["submitted"].as_string().is_not(None)


class PostgresStore:
    """`Store` over one engine. Readers see one snapshot; writers take turns."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def reading(self) -> AbstractAsyncContextManager[Reader]:
        """A read-only transaction over one snapshot."""
        return self._reading()

    def writing(self) -> AbstractAsyncContextManager[Writer]:
        """A transaction that begins once the writer before it has ended."""
        return self._writing()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Reader]:
        with transient_errors():
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    yield _Transaction(connection)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Writer]:
        with transient_errors():
            async with self._engine.begin() as connection:
                # Each statement after the lock sees what the writer before it committed.
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
                    {"name": WRITER_LOCK},
                )
                yield _Transaction(connection)


class _Transaction:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, kind: Kind, id_: str) -> Stored | None:
        query = select(_d).where(_d.c.kind == kind, _d.c.id == id_)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else _stored(row)

    async def page(
        self, kind: Kind, *, status: Status | None, after: str, limit: int
    ) -> list[Stored]:
        # "C" orders as Python does, whatever the database's own collation.
        id_ = _d.c.id.collate("C")
        query = select(_d).where(_d.c.kind == kind, id_ > after).order_by(id_).limit(limit)
        wanted = _d.c.status != "archived" if status is None else _d.c.status == status
        query = query.where(wanted)
        return [_stored(row) for row in (await self._connection.execute(query)).mappings()]

    async def current(self) -> list[Stored]:
        query = (
            select(_d)
            .where(_d.c.status != "archived")
            .order_by(_d.c.kind.collate("C"), _d.c.id.collate("C"))
        )
        return [_stored(row) for row in (await self._connection.execute(query)).mappings()]

    async def waiting(self, *, after: tuple[str, str], limit: int) -> list[Stored]:
        kind, id_ = _d.c.kind.collate("C"), _d.c.id.collate("C")
        query = (
            select(_d)
            .where(IN_REVIEW, tuple_(kind, id_) > tuple_(*after))
            .order_by(kind, id_)
            .limit(limit)
        )
        return [_stored(row) for row in (await self._connection.execute(query)).mappings()]

    async def revision(self) -> Revision:
        newest = (
            await self._connection.execute(
                select(tables.revisions).order_by(tables.revisions.c.revision.desc()).limit(1)
            )
        ).one_or_none()
        pending = await self._connection.scalar(
            select(func.count())
            .select_from(tables.outbox)
            .where(tables.outbox.c.done_at.is_(None), tables.outbox.c.revision.is_not(None))
        )
        if newest is None:
            return Revision()
        return Revision(
            revision=newest.revision,
            published_at=to_micros(newest.published_at),
            pending=pending or 0,
        )

    async def versions(
        self, kind: Kind, id_: str, *, below: int | None, limit: int
    ) -> list[Version]:
        query = _versions(kind, id_).order_by(_v.c.version.desc()).limit(limit)
        if below is not None:
            query = query.where(_v.c.version < below)
        return [_version(row) for row in (await self._connection.execute(query)).mappings()]

    async def version(self, kind: Kind, id_: str, number: int) -> Version | None:
        query = _versions(kind, id_).where(_v.c.version == number)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else _version(row)

    async def entries(self, wanted: Wanted, *, below: int | None, limit: int) -> list[Entry]:
        query = select(_a).order_by(_a.c.number.desc()).limit(limit)
        if below is not None:
            query = query.where(_a.c.number < below)
        for column in (_a.c.kind, _a.c.id, _a.c.actor_id, _a.c.action, _a.c.request_id):
            value = getattr(wanted, column.name)
            if value is not None:
                query = query.where(column == value)
        if wanted.since is not None:
            query = query.where(_a.c.at >= from_micros(wanted.since))
        if wanted.until is not None:
            query = query.where(_a.c.at < from_micros(wanted.until))
        return [_entry(row) for row in (await self._connection.execute(query)).mappings()]

    async def entries_since(self, after: int, limit: int) -> list[Entry]:
        query = select(_a).where(_a.c.number > after).order_by(_a.c.number).limit(limit)
        return [_entry(row) for row in (await self._connection.execute(query)).mappings()]

    async def record(self, entries: Sequence[Entry]) -> None:
        if entries:
            await self._connection.execute(insert(_a), [entry_row(one) for one in entries])

    async def save(self, stored: Stored) -> Stored:
        stored = msgspec.structs.replace(stored, edit=stored.edit + 1)
        values: dict[str, Any] = {
            "status": stored.status,
            "version": stored.version,
            "revision": stored.revision,
            "edit": stored.edit,
            "draft": to_body(stored.draft),
            "published": to_body(stored.published),
            "review": review_row(stored.review),
            "updated_at": from_micros(stored.updated_at),
        }
        await self._connection.execute(
            upsert(_d)
            .values(
                kind=stored.kind,
                id=stored.id,
                created_at=from_micros(stored.created_at),
                **values,
            )
            .on_conflict_do_update(index_elements=[_d.c.kind, _d.c.id], set_=values)
        )
        return stored

    async def publish(self, changed: Sequence[Stored], at: Micros) -> list[Stored]:
        published_at = from_micros(at)
        revision = (
            await self._connection.scalar(
                select(func.coalesce(func.max(tables.revisions.c.revision), 0) + 1)
            )
        ) or 1
        await self._connection.execute(
            insert(tables.revisions).values(revision=revision, published_at=published_at)
        )
        await self._connection.execute(
            insert(tables.versions),
            [
                {
                    "kind": one.kind,
                    "id": one.id,
                    "version": one.version,
                    "revision": revision,
                    "definition": to_body(one.published) if one.in_force else None,
                }
                for one in changed
            ],
        )
        await self._connection.execute(
            insert(tables.outbox).values(revision=revision, created_at=published_at)
        )
        return [await self.save(msgspec.structs.replace(one, revision=revision)) for one in changed]


def _stored(row: RowMapping) -> Stored:
    kind: Kind = row["kind"]
    return Stored(
        kind=kind,
        id=row["id"],
        status=row["status"],
        version=row["version"],
        revision=row["revision"],
        edit=row["edit"],
        draft=from_body(kind, row["draft"]),
        published=from_body(kind, row["published"]),
        review=Review() if row["review"] is None else msgspec.convert(row["review"], Review),
        created_at=to_micros(row["created_at"]),
        updated_at=to_micros(row["updated_at"]),
    )


def review_row(review: Review) -> dict[str, Any] | None:
    """How a review is kept: nothing where there is nothing to say."""
    return None if review == Review() else msgspec.to_builtins(review)


def entry_row(entry: Entry) -> dict[str, Any]:
    """Columns of an entry; its number is the database's to give."""
    row = msgspec.structs.asdict(entry) | {"at": from_micros(entry.at)}
    del row["number"]
    return row


def _entry(row: RowMapping) -> Entry:
    return Entry(**{**row, "at": to_micros(row["at"])})


def _versions(kind: Kind, id_: str) -> Select[Any]:
    """Publications with their moment and, where the log knows it, who made them."""
    made = and_(
        _a.c.kind == _v.c.kind, _a.c.id == _v.c.id, _a.c.revision == _v.c.revision,
        _a.c.action != "adopted",
    )  # fmt: skip
    return (
        select(_v, tables.revisions.c.published_at, _a.c.actor_id)
        .join(tables.revisions, tables.revisions.c.revision == _v.c.revision)
        .outerjoin(_a, made)
        .where(_v.c.kind == kind, _v.c.id == id_)
    )


def _version(row: RowMapping) -> Version:
    return Version(
        version=row["version"],
        revision=row["revision"],
        published_at=to_micros(row["published_at"]),
        by=row["actor_id"],
        definition=from_body(row["kind"], row["definition"]),
    )
