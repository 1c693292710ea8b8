"""Forgetting people in PostgreSQL: every table of a store that knows of them, and a receipt.

Each store has a table of its own for receipts, `<schema>.erasures` (see `RECEIPTS_TABLE`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.codec import decode_json
from services.contracts.command import Erased
from services.contracts.errors import Malformed
from services.contracts.time import Micros
from services.contracts.topics import ERASED_HEADER
from services.runtime.database import transient_errors
from services.runtime.upkeep import now_and_then

SWEEP_SECONDS: Final = 600.0
SWEPT_AFTER_HOURS: Final = 24
"""Other topics may bring what is older than an erasure after it, for so long: it is forgotten
again. Then the person's id is forgotten as well, and only the receipt stays."""

_decoder: Final = msgspec.json.Decoder(Erased)

RECEIPTS_TABLE: Final = """
CREATE TABLE {schema}.erasures (
    request  text        NOT NULL,
    person   text        NOT NULL,
    at       bigint      NOT NULL,
    deleted  jsonb       NOT NULL,
    done_at  timestamptz NOT NULL DEFAULT now(),
    swept_at timestamptz,
    PRIMARY KEY (request, person)
)
"""
"""`person` is a digest once it is swept; `at` is engine time in microseconds."""

_SWEEP_MAX: Final = 1_000


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of an erasure: of `person`, up to the instant `at`.

    It is counted in the receipt as `name`. `again`: what it concerns may still come late.
    """

    name: str
    sql: str
    again: bool = True


class Rewrite(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is more than one statement: `work` does it and gives what is to be counted."""

    name: str
    work: Callable[[AsyncConnection, str, Micros], Awaitable[int]]
    again: bool = True


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten under one id of a person: rows by table, and when (ISO 8601).

    `swept_at` is the time from which on their id is not known either; None before.
    """

    deleted: dict[str, int]
    done_at: str
    swept_at: str | None


def erased_of(headers: Any, key: bytes | None) -> Erased | None:
    """What a record of no value says; None where it is no erasure.

    Raises:
        Malformed: `bad_erased`: it says somebody else than its key, or cannot be read.
    """
    for name, value in headers:
        if name == ERASED_HEADER:
            erased = decode_json(value, _decoder, "erased")
            if erased.person.encode() != key:
                raise Malformed("bad_erased", "the erasure names another than its key")
            return erased
    return None


class Erasures:
    """Forgets people in one schema by `steps`, and keeps the receipts.

    `stored` gives a person's id as the tables hold it.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        schema: str,
        steps: Sequence[Step | Rewrite],
        *,
        stored: Callable[[str], str] = str,
    ) -> None:
        self._engine = engine
        self._steps = steps
        self._stored = stored
        table = f"{schema}.erasures"
        self._receipt = text(f"""
            INSERT INTO {table} AS e (request, person, at, deleted)
            VALUES (:request, :person, :at, CAST(:deleted AS jsonb))
            ON CONFLICT (request, person)
            DO UPDATE SET at = greatest(e.at, excluded.at), swept_at = NULL
            """)  # noqa: S608  (our own names)
        self._to_sweep = text(f"""
            SELECT request, person, at, done_at < now() - make_interval(hours => :hours) AS last
            FROM {table} WHERE swept_at IS NULL ORDER BY request, person LIMIT :limit
            """)  # noqa: S608
        self._swept = text(f"""
            UPDATE {table} SET swept_at = now(), person = encode(sha256(
                convert_to(request || chr(31) || person, 'UTF8')), 'hex')
            WHERE request = :request AND person = :person
            """)  # noqa: S608
        self._of_request = text(f"""
            SELECT deleted, done_at, swept_at FROM {table} WHERE request = :request
            ORDER BY done_at, person
            """)  # noqa: S608

    async def erase(self, erased: Erased) -> None:
        """Forget a person: all of it, or nothing. Doing it again changes nothing.

        Raises:
            Transient: the database is away or busy; whether it was done is unknown.
        """
        person = self._stored(erased.person)
        with transient_errors():
            async with self._engine.begin() as connection:
                deleted = await self._forget(connection, person, erased.at, again=False)
                told = {"request": erased.request, "person": person, "at": erased.at}
                counted = msgspec.json.encode(deleted).decode()
                await connection.execute(self._receipt, {**told, "deleted": counted})

    async def sweep(self) -> int:
        """Forget what came late of people who were erased; returns how many were looked at.

        Raises:
            Transient: the database is away or busy.
        """
        bounds = {"hours": SWEPT_AFTER_HOURS, "limit": _SWEEP_MAX}
        with transient_errors():
            async with self._engine.begin() as connection:
                found = (await connection.execute(self._to_sweep, bounds)).all()
                for row in found:
                    await self._forget(connection, row.person, row.at, again=True)
                    if row.last:
                        of_row = {"request": row.request, "person": row.person}
                        await connection.execute(self._swept, of_row)
                return len(found)

    async def receipts(self, request: str) -> list[Receipt]:
        """What was done for a request, one for each id. Raises `Transient`."""
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(self._of_request, {"request": request})
                return [
                    Receipt(
                        deleted=row.deleted,
                        done_at=row.done_at.isoformat(),
                        swept_at=None if row.swept_at is None else row.swept_at.isoformat(),
                    )
                    for row in rows
                ]

    async def _forget(
        self, connection: AsyncConnection, person: str, at: Micros, *, again: bool
    ) -> dict[str, int]:
        counted: dict[str, int] = {}
        for step in self._steps:
            if again and not step.again:
                continue
            if isinstance(step, Rewrite):
                rows = await step.work(connection, person, at)
            else:
                given = {"person": person, "at": at}
                wanted = {name: given[name] for name in given if f":{name}" in step.sql}
                rows = (await connection.execute(text(step.sql), wanted)).rowcount
            counted[step.name] = counted.get(step.name, 0) + rows
        return counted


async def keep_swept(erasures: Erasures, stop: asyncio.Event) -> None:
    """Sweep now and then, until `stop`."""
    await now_and_then("sweep erasures", erasures.sweep, stop, seconds=SWEEP_SECONDS)
