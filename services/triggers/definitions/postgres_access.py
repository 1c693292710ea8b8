"""Tokens and kept answers in PostgreSQL."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import Micros, from_micros, to_micros
from services.runtime.database import transient_errors
from services.triggers.definitions import tables
from services.triggers.definitions.answers import (
    ANSWERS_KEPT,
    FORGOTTEN_AT_ONCE_MAX,
    Answer,
    Claim,
)
from services.triggers.definitions.auditing import Entry
from services.triggers.definitions.postgres import WRITER_LOCK, entry_row
from services.triggers.definitions.token_store import missing, revoked
from services.triggers.definitions.tokens import Token, TokenUse

_t: Final = tables.tokens
_a: Final = tables.answers
_LOCK: Final = (
    text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
    {"name": WRITER_LOCK},
)
"""Entries of the log are numbered in order of commit, so that every writer takes its turn."""


class PostgresTokens:
    """`TokenStore` over one engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def insert(self, token: Token, hash_: bytes, entry: Entry) -> None:
        """Keep it, and say so in the log."""
        values = {"id": token.id, "hash": hash_, "token": msgspec.to_builtins(token)}
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(*_LOCK)
                await connection.execute(insert(_t).values(values))
                await connection.execute(insert(tables.audit).values(entry_row(entry)))

    async def revoke(self, id_: str, at: Micros, entry: Callable[[Token, Token], Entry]) -> Token:
        """Mark it, and say so in the log."""
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(*_LOCK)
                row = (await connection.execute(select(_t).where(_t.c.id == id_))).one_or_none()
                if row is None:
                    raise missing(id_)
                before = _use(row).token
                if before.revoked_at is not None:
                    return before
                after = revoked(before, at)
                await connection.execute(
                    update(_t).where(_t.c.id == id_).values(token=msgspec.to_builtins(after))
                )
                await connection.execute(
                    insert(tables.audit).values(entry_row(entry(before, after)))
                )
                return after

    async def find(self, hash_: bytes) -> TokenUse | None:
        """By its hash, which is indexed."""
        with transient_errors():
            async with self._engine.connect() as connection:
                query = select(_t).where(_t.c.hash == hash_)
                row = (await connection.execute(query)).one_or_none()
        return None if row is None else _use(row)

    async def page(self, *, after: str, limit: int) -> list[TokenUse]:
        """In order of id."""
        id_ = _t.c.id.collate("C")
        with transient_errors():
            async with self._engine.connect() as connection:
                query = select(_t).where(id_ > after).order_by(id_).limit(limit)
                return [_use(row) for row in (await connection.execute(query)).all()]

    async def used(self, id_: str, at: Micros) -> None:
        """The later moment stays."""
        moment = from_micros(at)
        later = func.greatest(func.coalesce(_t.c.last_used_at, moment), moment)
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(_t).where(_t.c.id == id_).values(last_used_at=later)
                )


def _use(row: Row[Any]) -> TokenUse:
    used_at = row.last_used_at
    return TokenUse(
        token=msgspec.convert(row.token, Token),
        last_used_at=None if used_at is None else to_micros(used_at),
    )


class PostgresAnswers:
    """`Answers` over one engine: the primary key lets one of many claim."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, actor: str, key: str, hash_: bytes, at: Micros) -> Claim:
        """Take it, or say what stands there."""
        mine = _a.c.actor == actor, _a.c.key == key
        oldest = from_micros(at - ANSWERS_KEPT)
        old = (
            select(_a.c.actor, _a.c.key)
            .where(_a.c.claimed_at <= oldest)
            .limit(FORGOTTEN_AT_ONCE_MAX)
            .with_for_update(skip_locked=True)
            .cte()
        )
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(delete(_a).where(*mine, _a.c.claimed_at <= oldest))
                await connection.execute(
                    delete(_a).where(_a.c.actor == old.c.actor, _a.c.key == old.c.key)
                )
                # Whoever comes second waits here until the first one's claim is committed.
                taken = await connection.execute(
                    upsert(_a)
                    .values(actor=actor, key=key, hash=hash_, claimed_at=from_micros(at))
                    .on_conflict_do_nothing()
                )
                if taken.rowcount:
                    return Claim(mine=True, hash=hash_, claimed_at=at)
                row = (await connection.execute(select(_a).where(*mine))).one_or_none()
        if row is None:
            # Given back between the two statements: whoever asks again may take it.
            return Claim(mine=False, hash=hash_, claimed_at=at)
        answer = None
        if row.status is not None:
            answer = Answer(status=row.status, headers=row.headers, body=row.body)
        return Claim(mine=False, hash=row.hash, claimed_at=to_micros(row.claimed_at), answer=answer)

    async def keep(self, actor: str, key: str, answer: Answer) -> None:
        """Beside the claim."""
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(_a)
                    .where(_a.c.actor == actor, _a.c.key == key)
                    .values(status=answer.status, headers=answer.headers, body=answer.body)
                )

    async def forget(self, actor: str, key: str) -> None:
        """Gone."""
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(delete(_a).where(_a.c.actor == actor, _a.c.key == key))
