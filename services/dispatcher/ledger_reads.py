"""Questions to the ledger: counts for metrics, entries for people, and its pruning."""

from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Transient
from services.contracts.time import DAY, Micros
from services.runtime.database import transient_errors

EXACT_ROWS_MAX: Final = 100_000
PRUNE_ROWS_MAX: Final = 10_000
ENTRIES_MAX: Final = 100


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One send as the read API shows it; instants in microseconds."""

    send_id: str
    person: str
    trigger: str
    channel: str
    state: str
    attempts: int
    reason: str | None
    provider_id: str | None
    decided_at: Micros
    read_at: Micros
    next_attempt_at: Micros | None
    finished_at: Micros | None
    reported_at: Micros | None


_OPEN: Final = text("""
SELECT state, count(*) AS n FROM dispatcher.sends
WHERE state = 'pending' GROUP BY state
UNION ALL
SELECT state, count(*) FROM dispatcher.sends WHERE state = 'sending' GROUP BY state
UNION ALL
SELECT state, count(*) FROM dispatcher.sends
WHERE state IN ('failed', 'ambiguous') GROUP BY state
UNION ALL
SELECT 'unreported', count(*) FROM dispatcher.sends
WHERE reported_at IS NULL AND state NOT IN ('pending', 'sending')
""")

# The statistics collector counts rows within a second or so; counting millions would not.
_ESTIMATE: Final = text("""
SELECT coalesce((SELECT n_live_tup FROM pg_stat_user_tables
                 WHERE schemaname = 'dispatcher' AND relname = 'sends'), 0)
""")
_ACCEPTED: Final = text("""
SELECT count(*) FROM dispatcher.sends WHERE state IN ('accepted', 'delivered', 'bounced')
""")

_PRUNE: Final = text("""
DELETE FROM dispatcher.sends WHERE send_id IN (
    SELECT send_id FROM dispatcher.sends
    WHERE read_at < dispatcher.now_micros() - :age AND reported_at IS NOT NULL
    LIMIT :limit)
""")

_OUTCOMES: Final = text("""
SELECT state, count(*) AS n FROM dispatcher.sends
WHERE read_at >= :since AND trigger = :trigger AND state NOT IN ('pending', 'sending')
GROUP BY state
""")

_FIELDS: Final = """
SELECT CAST(send_id AS text), person, trigger, channel, state, attempts, reason, provider_id,
    decided_at, read_at, CASE WHEN state = 'pending' THEN next_attempt_at END AS next_attempt_at,
    finished_at, reported_at
FROM dispatcher.sends
"""
_ONE: Final = text(_FIELDS + "WHERE send_id = :send_id")
_OF_PERSON: Final = text(
    _FIELDS + "WHERE person = :person ORDER BY decided_at DESC, send_id LIMIT :limit"
)


class LedgerReader:
    """Reads without locks. Each method raises `Transient` while the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def require(self) -> None:
        """Return if the ledger is there; raises `Transient` also while it is not migrated."""
        try:
            with transient_errors():
                async with self._engine.connect() as connection:
                    await connection.execute(text("SELECT FROM dispatcher.sends LIMIT 0"))
        except ProgrammingError as error:
            raise Transient("the ledger is missing: `cuestream migrate` makes it") from error

    async def counts(self) -> dict[str, int]:
        """Entries by state, and `unreported`. `accepted` has those with a receipt as well, and
        is an estimate in a large ledger."""
        found = dict.fromkeys(("pending", "sending", "failed", "ambiguous", "unreported"), 0)
        accepted: int | None = None
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = int((await connection.execute(_ESTIMATE)).scalar_one())
                if rows <= EXACT_ROWS_MAX:
                    # Before the rest: what is counted here as accepted and not yet reported
                    # must not be missing from the unreported.
                    accepted = int((await connection.execute(_ACCEPTED)).scalar_one())
                found.update((row.state, row.n) for row in await connection.execute(_OPEN))
        if accepted is None:
            others = sum(found[state] for state in ("pending", "sending", "failed", "ambiguous"))
            accepted = max(0, rows - others)
        return {**found, "accepted": accepted}

    async def find(self, send_id: UUID) -> Entry | None:
        """The entry of one send."""
        with transient_errors():
            async with self._engine.connect() as connection:
                found = await connection.execute(_ONE, {"send_id": send_id})
                row = found.mappings().one_or_none()
        return None if row is None else Entry(**row)

    async def of_person(self, person: str, limit: int = ENTRIES_MAX) -> list[Entry]:
        """A person's sends, the latest decisions first, at most `ENTRIES_MAX`."""
        values = {"person": person, "limit": min(limit, ENTRIES_MAX)}
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_OF_PERSON, values)).mappings().all()
        return [Entry(**row) for row in rows]

    async def outcomes(self, trigger: str, since: Micros) -> dict[str, int]:
        """By state how many sends of a trigger, read since then, have come to an end."""
        values = {"trigger": trigger, "since": since}
        with transient_errors():
            async with self._engine.connect() as connection:
                return {row.state: row.n for row in await connection.execute(_OUTCOMES, values)}

    async def prune(self, days: int) -> int:
        """Forget reported sends older than `days`, some at a time; returns how many.

        Must be longer than the topic of commands is kept, or a command read again from its
        beginning would be taken for a new one.
        """
        with transient_errors():
            async with self._engine.begin() as connection:
                done = await connection.execute(
                    _PRUNE, {"age": days * DAY, "limit": PRUNE_ROWS_MAX}
                )
        return done.rowcount
