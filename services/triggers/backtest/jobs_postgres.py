"""Jobs in PostgreSQL, one table of schema `triggers`."""

from typing import Any, Final

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import Micros
from services.runtime.database import transient_errors
from services.triggers.backtest.jobs import (
    INTERRUPTED,
    KEPT_MAX,
    WAITING_MAX,
    Ended,
    Job,
    JobQuestion,
)
from services.triggers.definitions.values import Conflict, NotFound

_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('cuestream backtests', 0))")
_FIELDS: Final = (
    "id, number, status, question, created_by, created_at, started_at, finished_at, what, share,"
    " error, owner, alive_at"
)
_WAITING: Final = text("SELECT count(*) FROM triggers.backtests WHERE status = 'queued'")
_ADD: Final = text(f"""
INSERT INTO triggers.backtests (id, status, triggers, question, created_by, created_at)
VALUES (:id, 'queued', :triggers, :question, :created_by, :created_at)
RETURNING {_FIELDS}, report
""")  # noqa: S608  (our own names)
_FORGET: Final = text("""
DELETE FROM triggers.backtests WHERE number IN (
    SELECT number FROM triggers.backtests WHERE status NOT IN ('queued', 'running')
    ORDER BY number DESC OFFSET :kept)
""")
_GET: Final = text(
    f"SELECT {_FIELDS}, report FROM triggers.backtests WHERE id = :id"  # noqa: S608
)
_PAGE: Final = text(f"""
SELECT {_FIELDS}, NULL AS report FROM triggers.backtests
WHERE CAST(:below AS bigint) IS NULL OR number < :below ORDER BY number DESC LIMIT :limit
""")  # noqa: S608
_LATEST: Final = text(f"""
SELECT {_FIELDS}, report FROM triggers.backtests
WHERE status = 'done' AND CAST(:trigger AS text) = ANY(triggers) ORDER BY number DESC LIMIT 1
""")  # noqa: S608
_CLAIM: Final = text(f"""
UPDATE triggers.backtests
SET status = 'running', owner = :owner, started_at = :now, alive_at = :now
WHERE number = (
    SELECT number FROM triggers.backtests WHERE status = 'queued'
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING {_FIELDS}, report
""")  # noqa: S608
_SAID: Final = text("""
UPDATE triggers.backtests SET what = :what, share = :share, alive_at = :now
WHERE id = :id AND owner = :owner AND status = 'running'
""")
_END: Final = text("""
UPDATE triggers.backtests
SET status = :status, error = :error, report = :report, finished_at = :now
WHERE id = :id AND owner = :owner AND status = 'running'
""")
_CANCEL: Final = text("""
UPDATE triggers.backtests SET status = 'cancelled', finished_at = :now
WHERE id = :id AND status IN ('queued', 'running')
""")
_INTERRUPT: Final = text("""
UPDATE triggers.backtests SET status = 'failed', error = :error, finished_at = :now
WHERE status = 'running' AND alive_at < :before
""")


class PostgresJobs:
    """The port over one table."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, job: Job) -> Job:
        """See the port."""
        values = {
            "id": job.id,
            "triggers": list(job.question.triggers),
            "question": msgspec.json.encode(job.question).decode(),
            "created_by": job.created_by,
            "created_at": job.created_at,
        }
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_LOCK)
                if (await connection.execute(_WAITING)).scalar_one() >= WAITING_MAX:
                    raise Conflict(f"{WAITING_MAX} backtests are waiting: try again later")
                row = (await connection.execute(_ADD, values)).one()
                await connection.execute(_FORGET, {"kept": KEPT_MAX})
        return _job(row)

    async def get(self, id_: str) -> Job:
        """See the port."""
        found = await self._one(_GET, {"id": id_})
        if found is None:
            raise NotFound(f"there is no backtest {id_}")
        return found

    async def page(self, *, below: int | None, limit: int) -> list[Job]:
        """See the port."""
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_PAGE, {"below": below, "limit": limit})
                return [_job(row) for row in rows]

    async def latest(self, trigger: str) -> Job | None:
        """See the port."""
        return await self._one(_LATEST, {"trigger": trigger})

    async def claim(self, owner: str, now: Micros) -> Job | None:
        """See the port."""
        return await self._one(_CLAIM, {"owner": owner, "now": now})

    async def said(
        self, id_: str, owner: str, *, what: str, share: float | None, now: Micros
    ) -> bool:
        """See the port."""
        values = {"id": id_, "owner": owner, "what": what, "share": share, "now": now}
        return bool(await self._changed(_SAID, values))

    async def end(self, id_: str, owner: str, ended: Ended, now: Micros) -> bool:
        """See the port."""
        report = None if ended.report is None else msgspec.json.encode(ended.report).decode()
        values = {
            "id": id_,
            "owner": owner,
            "status": ended.status,
            "error": None if ended.error is None else ended.error.replace("\0", "?"),
            "report": report,
            "now": now,
        }
        return bool(await self._changed(_END, values))

    async def cancel(self, id_: str, now: Micros) -> Job:
        """See the port."""
        await self._changed(_CANCEL, {"id": id_, "now": now})
        return await self.get(id_)

    async def interrupt(self, before: Micros, now: Micros) -> int:
        """See the port."""
        return await self._changed(_INTERRUPT, {"before": before, "now": now, "error": INTERRUPTED})

    async def _changed(self, statement: TextClause, values: dict[str, Any]) -> int:
        with transient_errors():
            async with self._engine.begin() as connection:
                return (await connection.execute(statement, values)).rowcount

    async def _one(self, statement: TextClause, values: dict[str, Any]) -> Job | None:
        with transient_errors():
            async with self._engine.begin() as connection:
                row = (await connection.execute(statement, values)).one_or_none()
        return None if row is None else _job(row)


def _job(row: Any) -> Job:
    fields = dict(row._mapping)  # noqa: SLF001  (SQLAlchemy's documented name)
    # JSON in columns of text: it comes back byte for byte, U+0000 in strings included.
    fields["question"] = msgspec.json.decode(fields["question"], type=JobQuestion)
    if fields["report"] is not None:
        fields["report"] = msgspec.json.decode(fields["report"])
    return Job(**fields)
