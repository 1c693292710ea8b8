"""Runs of jobs in PostgreSQL: one at a time, each remembered with its report."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import Micros
from services.profile_store.jobs.results import JobName, Outcome, Run
from services.runtime.database import transient_errors

KEPT_MAX: Final = 1_000
"""Runs of one job that are kept, the newest."""
PAGE_MAX: Final = 200
LOST: Final = {"failed": "the process ended before the job did"}

_SHOWN: Final = "id, job, slot, started_at, finished_at, outcome, CAST(report AS text) AS report"


class Runs:
    """The table `job_runs`. All calls raise `Transient` where the database is away or busy."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def alone(self, job: JobName) -> AsyncIterator[bool]:
        """Whether nobody else runs the job; if so nobody else may until the end.

        The lock is that of a connection: it ends with the process at the latest.
        """
        key = {"name": f"cuestream job {job}"}
        with transient_errors():
            connection = await self._engine.connect()
        try:
            with transient_errors():
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                asked = "SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"
                taken = bool((await connection.execute(text(asked), key)).scalar())
            try:
                yield taken
            finally:
                if taken:
                    freed = "SELECT pg_advisory_unlock(hashtextextended(:name, 0))"
                    with transient_errors():
                        await connection.execute(text(freed), key)
        finally:
            await connection.close()

    async def slot_taken(self, job: JobName, slot: Micros) -> bool:
        """Whether the job was begun for this instant already, however it ended."""
        query = text("SELECT 1 FROM profile_store.job_runs WHERE job = :job AND slot = :slot")
        with transient_errors():
            async with self._engine.connect() as connection:
                found = await connection.execute(query, {"job": job, "slot": slot})
                return found.first() is not None

    async def begin(self, job: JobName, slot: Micros | None, at: Micros) -> int:
        """Write down that a run begins; returns its id. Whoever calls is `alone` with the job:
        runs that are still said to be under way did not end."""
        lost = text(
            "UPDATE profile_store.job_runs SET outcome = 'failed', finished_at = :at,"
            " report = CAST(:report AS jsonb) WHERE job = :job AND outcome = 'running'"
        )
        old = text(
            "DELETE FROM profile_store.job_runs WHERE job = :job AND id <= (SELECT id FROM"
            " profile_store.job_runs WHERE job = :job ORDER BY id DESC OFFSET :kept LIMIT 1)"
        )
        new = text(
            "INSERT INTO profile_store.job_runs (job, slot, started_at, outcome, report)"
            " VALUES (:job, :slot, :at, 'running', '{}') RETURNING id"
        )
        with transient_errors():
            async with self._engine.begin() as connection:
                told = {"job": job, "at": at, "report": msgspec.json.encode(LOST).decode()}
                await connection.execute(lost, told)
                await connection.execute(old, {"job": job, "kept": KEPT_MAX - 1})
                made = await connection.execute(new, {"job": job, "slot": slot, "at": at})
                return int(made.scalar_one())

    async def finish(self, id_: int, at: Micros, outcome: Outcome, report: dict[str, Any]) -> None:
        """Write down how a run ended."""
        query = text(
            "UPDATE profile_store.job_runs SET finished_at = :at, outcome = :outcome,"
            " report = CAST(:report AS jsonb) WHERE id = :id"
        )
        told = msgspec.json.encode(report).decode()
        with transient_errors():
            async with self._engine.begin() as connection:
                given = {"id": id_, "at": at, "outcome": outcome, "report": told}
                await connection.execute(query, given)

    async def newest(self, *, job: JobName | None, before: int | None, limit: int) -> list[Run]:
        """Up to `limit` runs, of one job or of all, from the newest one before an id on."""
        query = text(
            f"SELECT {_SHOWN} FROM profile_store.job_runs"  # noqa: S608  (our own names)
            " WHERE (CAST(:job AS text) IS NULL OR job = :job)"
            " AND (CAST(:before AS bigint) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit"
        )
        with transient_errors():
            async with self._engine.connect() as connection:
                given = {"job": job, "before": before, "limit": limit}
                return [_run(row) for row in await connection.execute(query, given)]


def _run(row: Row[Any]) -> Run:
    fields = dict(row._mapping)  # noqa: SLF001  (SQLAlchemy's documented name)
    fields["report"] = msgspec.json.decode(fields["report"])
    return msgspec.convert(fields, Run)
