"""What became of the jobs: the read API of their runs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.contracts.time import Micros, from_micros
from services.profile_store.jobs.results import JobName, Run
from services.profile_store.jobs.runs import PAGE_MAX, Runs
from services.runtime.bearer import require_token


class RunOut(BaseModel):
    """One run. Times are UTC, RFC 3339; `slot` is null where somebody asked for the run."""

    id: int
    job: str = Field(examples=["rfm"])
    outcome: str = Field(examples=["published"])
    slot: str | None
    started_at: str = Field(examples=["2026-03-01T03:30:00.000000Z"])
    finished_at: str | None
    report: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> "RunOut":
        """From the stored run."""
        return cls(
            id=run.id,
            job=run.job,
            outcome=run.outcome,
            slot=_written(run.slot),
            started_at=_written(run.started_at) or "",
            finished_at=_written(run.finished_at),
            report=run.report,
        )


class RunPage(BaseModel):
    """Runs, the newest first, and where to go on."""

    runs: list[RunOut]
    next_cursor: int | None = Field(description="for the next page; null on the last")


def job_routes(runs: Runs) -> APIRouter:
    """The route over the runs of the jobs."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_token)], tags=["jobs"])

    @router.get("/jobs", summary="Runs of the jobs, with their reports")
    async def list_runs(
        job: JobName | None = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 20,
        cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    ) -> RunPage:
        """What each run computed, what of it was published and what was refused, and why."""
        found = await runs.newest(job=job, before=cursor, limit=limit + 1)
        page = found[:limit]
        return RunPage(
            runs=[RunOut.of(run) for run in page],
            next_cursor=page[-1].id if len(found) > limit else None,
        )

    return router


def _written(at: Micros | None) -> str | None:
    if at is None:
        return None
    return from_micros(at).isoformat(timespec="microseconds").replace("+00:00", "Z")
