"""Jobs in memory: the fake behind fast tests."""

from msgspec.structs import replace

from services.contracts.time import Micros
from services.triggers.backtest.jobs import (
    INTERRUPTED,
    KEPT_MAX,
    OVER,
    WAITING_MAX,
    Ended,
    Job,
)
from services.triggers.definitions.values import Conflict, NotFound


class MemoryJobs:
    """Keeps jobs in a dict."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._added = 0

    async def add(self, job: Job) -> Job:
        """See the port."""
        if sum(one.status == "queued" for one in self._jobs.values()) >= WAITING_MAX:
            raise Conflict(f"{WAITING_MAX} backtests are waiting: try again later")
        self._added += 1
        job = self._jobs[job.id] = replace(job, number=self._added)
        over = [one for one in self._jobs.values() if one.status in OVER]
        for one in over[: max(0, len(over) - KEPT_MAX)]:
            del self._jobs[one.id]
        return job

    async def get(self, id_: str) -> Job:
        """See the port."""
        if id_ not in self._jobs:
            raise NotFound(f"there is no backtest {id_}")
        return self._jobs[id_]

    async def page(self, *, below: int | None, limit: int) -> list[Job]:
        """See the port."""
        found = [one for one in self._jobs.values() if below is None or one.number < below]
        return [replace(one, report=None) for one in found[::-1][:limit]]

    async def latest(self, trigger: str) -> Job | None:
        """See the port."""
        found = [
            one
            for one in self._jobs.values()
            if one.status == "done" and trigger in one.question.triggers
        ]
        return found[-1] if found else None

    async def claim(self, owner: str, now: Micros) -> Job | None:
        """See the port."""
        for one in self._jobs.values():
            if one.status == "queued":
                running = replace(one, status="running", owner=owner, started_at=now, alive_at=now)
                self._jobs[one.id] = running
                return running
        return None

    async def said(
        self, id_: str, owner: str, *, what: str, share: float | None, now: Micros
    ) -> bool:
        """See the port."""
        one = self._own(id_, owner)
        if one is not None:
            self._jobs[id_] = replace(one, what=what, share=share, alive_at=now)
        return one is not None

    async def end(self, id_: str, owner: str, ended: Ended, now: Micros) -> bool:
        """See the port."""
        one = self._own(id_, owner)
        if one is not None:
            self._jobs[id_] = replace(
                one,
                status=ended.status,
                error=ended.error,
                report=ended.report,
                finished_at=now,
            )
        return one is not None

    async def cancel(self, id_: str, now: Micros) -> Job:
        """See the port."""
        one = await self.get(id_)
        if one.status not in OVER:
            one = self._jobs[id_] = replace(one, status="cancelled", finished_at=now)
        return one

    async def interrupt(self, before: Micros, now: Micros) -> int:
        """See the port."""
        lost = [
            one
            for one in self._jobs.values()
            if one.status == "running" and (one.alive_at or 0) < before
        ]
        for one in lost:
            self._jobs[one.id] = replace(one, status="failed", error=INTERRUPTED, finished_at=now)
        return len(lost)

    def _own(self, id_: str, owner: str) -> Job | None:
        one = self._jobs.get(id_)
        return one if one is not None and (one.status, one.owner) == ("running", owner) else None
