"""One run of a job: alone, from everybody's profiles to a new version of the tags."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Tag
from services.contracts.errors import CuestreamError
from services.contracts.time import Micros
from services.profile_store.jobs.cuts import find_cuts
from services.profile_store.jobs.forecasts import judge_forecasts, write_forecasts
from services.profile_store.jobs.marketers_api import TagsInForce
from services.profile_store.jobs.models import find_parameters
from services.profile_store.jobs.population import newest_as_of
from services.profile_store.jobs.results import Found, JobName, Outcome
from services.profile_store.jobs.runs import Runs
from services.runtime.clock import ClockMode
from services.runtime.logs import get_logger

Find: TypeAlias = Callable[[AsyncEngine, Mapping[str, Tag], Micros], Awaitable[Found]]

FINDS: Final[dict[JobName, Find]] = {"rfm": find_cuts, "models": find_parameters}

_log = get_logger(__name__)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, None where it was left to somebody else or was done before."""

    outcome: Outcome | None
    report: dict[str, Any] = {}


class Jobs:
    """Runs jobs. `time` gives the machine's time in microseconds, for the record of runs.

    What people's numbers are of is the machine's time, or with the clock on `replay` that of
    the newest profile.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        tags: TagsInForce,
        *,
        time: Callable[[], Micros],
        clock: ClockMode = "wall",
    ) -> None:
        self._engine = engine
        self._tags = tags
        self._time = time
        self._clock = clock
        self._runs = Runs(engine)

    async def run(
        self, job: JobName, *, slot: Micros | None = None, dry_run: bool = False
    ) -> Ended:
        """Run a job unless somebody else does, or did for this `slot`.

        A failure that has a name of ours is written down with the run and is its outcome.

        Raises:
            Transient: the database is away, so that nothing can be written down.
        """
        async with self._runs.alone(job) as alone:
            if not alone or (slot is not None and await self._runs.slot_taken(job, slot)):
                return Ended(outcome=None)
            id_ = await self._runs.begin(job, slot, self._time())
            try:
                ended = await self._work(job, dry_run)
            except CuestreamError as error:
                ended = Ended(outcome="failed", report={"failed": str(error)})
            assert ended.outcome is not None
            await self._runs.finish(id_, self._time(), ended.outcome, ended.report)
        _log.info("job ended", job=job, run=id_, outcome=ended.outcome)
        return ended

    async def _work(self, job: JobName, dry_run: bool) -> Ended:
        at = await self._now()
        before = await self._tags.tags()
        found = await FINDS[job](self._engine, before, at)
        report = {"at": at, **found.report}
        if job == "models":
            report["forecasts"] = await judge_forecasts(self._engine, before, at)
        changed = [tag for tag in found.tags if tag != before[tag.id]]
        if dry_run:
            return Ended(outcome="dry_run", report=report)
        # It took a while: what somebody changed meanwhile is theirs, and is computed next time.
        now = await self._tags.tags() if changed else before
        kept = [tag.id for tag in changed if now.get(tag.id) != before[tag.id]]
        revision = None
        if len(kept) < len(changed):
            revision = await self._tags.publish([tag for tag in changed if tag.id not in kept])
        if kept:
            report["changed_meanwhile"] = kept
        if job == "models":
            in_force = [tag for tag in found.tags if tag.id not in kept]
            await write_forecasts(self._engine, in_force, at)
        if revision is not None:
            return Ended(outcome="published", report={**report, "revision": revision})
        return Ended(outcome="refused" if found.refused else "unchanged", report=report)

    async def _now(self) -> Micros:
        newest = await newest_as_of(self._engine) if self._clock == "replay" else None
        return self._time() if newest is None else newest
