"""The daily hour of the jobs: one process each, of which only one in all may work."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from services.contracts.errors import Transient
from services.contracts.metrics import JOBS_DONE
from services.contracts.time import DAY, HOUR, MINUTE, SECOND, Micros
from services.profile_store.jobs.process import EXIT_LEFT, EXIT_REFUSED
from services.profile_store.jobs.results import JOBS, JobName
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics

JOB_SECONDS_MAX: Final = 3_600.0
STOP_SECONDS_MAX: Final = 8.0
OUTCOMES: Final = ("done", "refused", "failed", "left")
RETRY_SECONDS: Final = 60.0
"""After which a database that was away is asked again."""


class Slots(Protocol):
    """Which instants are done with."""

    async def slot_taken(self, job: JobName, slot: Micros) -> bool:
        """Whether the job was begun for this instant; raises `Transient`."""


Start = Callable[[JobName, Micros, asyncio.Event], Awaitable[int]]
"""`start(job, slot, stop)`: runs the process to its end and returns its exit code."""

_log = get_logger(__name__)


def slot_of(now: Micros, at: str) -> Micros:
    """The latest instant, up to `now`, at which it was `at` (HH:MM) in UTC."""
    hours, minutes = at.split(":")
    offset = int(hours) * HOUR + int(minutes) * MINUTE
    return (now - offset) // DAY * DAY + offset


class Scheduler:
    """Starts the jobs at `at` each day, one after the other; what was missed is made up for.

    Every instance of the profile store has one. The first whose process takes the job's lock
    works, the others find the slot taken. A failure is logged and counted, and its slot is
    not tried again: the next day comes.
    """

    def __init__(
        self,
        slots: Slots,
        metrics: Metrics,
        *,
        at: str,
        time: Callable[[], Micros],
        start: Start | None = None,
        jobs: Sequence[JobName] = JOBS,
    ) -> None:
        self._slots = slots
        self._done = metrics.counter(JOBS_DONE)
        for job in jobs:
            for outcome in OUTCOMES:
                # From nought on: the first failure is an increase, too.
                self._done.labels(job, outcome)
        self._at = at
        self._time = time
        self._start = start or start_process
        self._jobs = jobs

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, also where no hour is set and nothing is to be done."""
        if not self._at:
            await stop.wait()
        while not stop.is_set():
            slot = slot_of(self._time(), self._at)
            try:
                for job in self._jobs:
                    if not stop.is_set() and not await self._slots.slot_taken(job, slot):
                        await self._one(job, slot, stop)
                wait_seconds = (slot + DAY - self._time()) / SECOND
            except Transient as error:
                _log.warning("jobs wait for the database", error=str(error))
                wait_seconds = RETRY_SECONDS
            await _either(stop, wait_seconds)

    async def _one(self, job: JobName, slot: Micros, stop: asyncio.Event) -> None:
        code = await self._start(job, slot, stop)
        outcome = {0: "done", EXIT_LEFT: "left", EXIT_REFUSED: "refused"}.get(code, "failed")
        self._done.labels(job, outcome).inc()
        if outcome == "failed":
            _log.error("job failed", job=job, exit_code=code)


async def start_process(job: JobName, slot: Micros, stop: asyncio.Event) -> int:
    """Run the job in a child that is stopped with us, and after `JOB_SECONDS_MAX` anyway."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.profile_store.jobs", job, str(slot)
    )
    ending = asyncio.ensure_future(child.wait())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        both = (ending, stopping)
        await asyncio.wait(both, timeout=JOB_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            child.terminate()
            await asyncio.wait((ending,), timeout=STOP_SECONDS_MAX)
        if not ending.done():
            child.kill()
        return await ending
    finally:
        stopping.cancel()
        if child.returncode is None:
            child.kill()


async def _either(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await stop.wait()
    except TimeoutError:
        pass  # it is time
