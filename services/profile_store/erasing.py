"""Forgetting people in PostgreSQL: every table of this store that knows of them, and a receipt."""

import asyncio
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.codec import decode_json
from services.contracts.command import Erased
from services.contracts.errors import Malformed, Transient
from services.contracts.time import Micros
from services.contracts.topics import ERASED_HEADER
from services.profile_store.jsonb import from_text, to_text
from services.runtime.database import transient_errors
from services.runtime.logs import get_logger

SWEEP_SECONDS: Final = 600.0
SWEPT_AFTER_HOURS: Final = 24
"""Other topics may bring what is older than an erasure after it, for so long: it is forgotten
again. Then the person's id is forgotten as well, and only the receipt stays."""

_decoder: Final = msgspec.json.Decoder(Erased)
_log = get_logger(__name__)

# The names of tables and columns are ours; people are parameters.
_TABLES: Final = {
    "profiles": "DELETE FROM profile_store.profiles WHERE person = :person",
    "history": "DELETE FROM profile_store.history WHERE person = :person AND at <= :at",
    "decisions": "DELETE FROM profile_store.decisions WHERE person = :person AND now <= :at",
    "quality_samples": (
        "DELETE FROM profile_store.quality_samples WHERE person = :person AND at <= :at"
    ),
}
_RECEIPT: Final = text("""
INSERT INTO profile_store.erasures AS e (request, person, at, deleted)
VALUES (:request, :person, :at, CAST(:deleted AS jsonb))
ON CONFLICT (request, person) DO UPDATE SET at = greatest(e.at, excluded.at), swept_at = NULL
""")
_TO_SWEEP: Final = text("""
SELECT request, person, at, done_at < now() - make_interval(hours => :hours) AS last
FROM profile_store.erasures WHERE swept_at IS NULL ORDER BY request, person LIMIT :limit
""")
_SWEPT: Final = text("""
UPDATE profile_store.erasures SET swept_at = now(), person = encode(sha256(
    convert_to(request || chr(31) || person, 'UTF8')), 'hex')
WHERE request = :request AND person = :person
""")
_OF_REQUEST: Final = text("""
SELECT deleted, done_at, swept_at FROM profile_store.erasures WHERE request = :request
ORDER BY done_at, person
""")
_SWEEP_MAX: Final = 1_000


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
    """Forgets people, and keeps the receipts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def erase(self, erased: Erased) -> None:
        """Forget a person: all of it, or nothing. Doing it again changes nothing.

        Raises:
            Transient: the database is away or busy; whether it was done is unknown.
        """
        with transient_errors():
            async with self._engine.begin() as connection:
                deleted = await _forget(connection, erased.person, erased.at, _TABLES)
                await connection.execute(
                    _RECEIPT,
                    {
                        "request": erased.request,
                        "person": to_text(erased.person),
                        "at": erased.at,
                        "deleted": msgspec.json.encode(deleted).decode(),
                    },
                )

    async def sweep(self) -> int:
        """Forget what came late of people who were erased; returns how many were looked at.

        Profiles are not swept: in their topic what is older comes before the erasure.

        Raises:
            Transient: the database is away or busy.
        """
        others = {name: sql for name, sql in _TABLES.items() if name != "profiles"}
        with transient_errors():
            async with self._engine.begin() as connection:
                rows = await connection.execute(
                    _TO_SWEEP, {"hours": SWEPT_AFTER_HOURS, "limit": _SWEEP_MAX}
                )
                found = rows.all()
                for row in found:
                    await _forget(connection, from_text(row.person), row.at, others)
                    if row.last:
                        parameters = {"request": row.request, "person": row.person}
                        await connection.execute(_SWEPT, parameters)
                return len(found)

    async def receipts(self, request: str) -> list[Receipt]:
        """What was done for a request, one for each id. Raises `Transient`."""
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_OF_REQUEST, {"request": request})
                return [
                    Receipt(
                        deleted=row.deleted,
                        done_at=row.done_at.isoformat(),
                        swept_at=None if row.swept_at is None else row.swept_at.isoformat(),
                    )
                    for row in rows
                ]


async def _forget(
    connection: AsyncConnection, person: str, at: Micros, tables: dict[str, str]
) -> dict[str, int]:
    return {
        name: (
            await connection.execute(
                text(sql),
                {"person": to_text(person), "at": at}
                if ":at" in sql
                else {"person": to_text(person)},
            )
        ).rowcount
        for name, sql in tables.items()
    }


async def keep_swept(erasures: Erasures, stop: asyncio.Event) -> None:
    """Sweep now and then, until `stop`; a database that is away is tried later."""
    while not stop.is_set():
        try:
            await erasures.sweep()
        except Transient as error:
            _log.warning("erasures not swept", error=str(error))
        try:
            async with asyncio.timeout(SWEEP_SECONDS):
                await stop.wait()
        except TimeoutError:
            pass  # time for the next round
