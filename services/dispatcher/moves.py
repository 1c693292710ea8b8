"""Who has become whom: what was kept for somebody is served under every name of theirs."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.command import Moved
from services.contracts.time import DAY
from services.dispatcher.inbox import NOTICES
from services.runtime.database import transient_errors

PRUNE_ROWS_MAX: Final = 10_000

# Sorted, so that two processes lock the rows in the same order.
_NOTE: Final = text("""
INSERT INTO dispatcher.moved AS m (person, goes_to, at, noted_at)
SELECT g.person, g.goes_to, g.at, dispatcher.now_micros()
FROM unnest(CAST(:persons AS text[]), CAST(:into AS text[]), CAST(:at AS bigint[]))
    AS g(person, goes_to, at)
ORDER BY g.person
ON CONFLICT (person) DO UPDATE
SET goes_to = excluded.goes_to, at = excluded.at, noted_at = excluded.noted_at
WHERE m.at <= excluded.at
""")
_TELL: Final = text("""
SELECT pg_notify(:notices, names.person)
FROM unnest(CAST(:persons AS text[])) AS g(person)
CROSS JOIN LATERAL dispatcher.names_of(g.person) AS names(person)
""")
_PRUNE: Final = text("""
DELETE FROM dispatcher.moved WHERE person IN (
    SELECT person FROM dispatcher.moved
    WHERE noted_at < dispatcher.now_micros() - CAST(:age AS bigint) LIMIT :limit)
""")


class Moves:
    """The table of people who are others now. Each method is one transaction, may be repeated,
    and raises `Transient` while the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def note(self, moves: Sequence[Moved]) -> None:
        """Remember whom people are; of each the latest holds. Wakes who waits for messages."""
        latest: dict[str, Moved] = {}
        for one in moves:
            known = latest.get(one.person)
            if known is None or one.at >= known.at:
                latest[one.person] = one
        people = list(latest)
        values = {
            "persons": people,
            "into": [one.into for one in latest.values()],
            "at": [one.at for one in latest.values()],
        }
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_NOTE, values)
                await connection.execute(_TELL, {"persons": people, "notices": NOTICES})

    async def prune(self, days: int) -> int:
        """Forget those of more than `days` ago, some at a time; returns how many."""
        with transient_errors():
            async with self._engine.begin() as connection:
                values = {"age": days * DAY, "limit": PRUNE_ROWS_MAX}
                return (await connection.execute(_PRUNE, values)).rowcount
