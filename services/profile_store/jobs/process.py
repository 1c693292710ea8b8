"""A job as a process of its own: whatever it costs or breaks, the profile store goes on."""

import asyncio
from typing import Final

from services.contracts.time import Micros
from services.profile_store.jobs.marketers_api import MarketersApi, make_client
from services.profile_store.jobs.results import JobName
from services.profile_store.jobs.running import Ended, Jobs
from services.profile_store.jobs.settings import JobSettings
from services.runtime.clock import WallClock
from services.runtime.database import make_engine, wait_for_database
from services.runtime.serving import run_process

EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 3
"""It ran, and found nothing good enough to publish."""
EXIT_LEFT: Final = 4
"""Somebody else runs it, or has done so for this slot."""
ATTEMPTS_MAX: Final = 3
"""To reach the database before giving up: the next day comes."""


async def run_job(
    settings: JobSettings, job: JobName, *, slot: Micros | None = None, dry_run: bool = False
) -> Ended:
    """Run a job with everything it needs, built here.

    Raises:
        Transient: the database is away.
    """
    engine = make_engine(settings, application=f"cuestream job {job}")
    clock = WallClock()
    try:
        await wait_for_database(engine, ATTEMPTS_MAX)
        async with make_client() as client:
            api = MarketersApi(client, settings.profile_store_api_url, settings.api_token)
            jobs = Jobs(engine, api, time=lambda: clock.stamp(None), clock=settings.clock)
            return await jobs.run(job, slot=slot, dry_run=dry_run)
    finally:
        await engine.dispose()


def exit_code_of(ended: Ended) -> int:
    """What the process says of its run."""
    if ended.outcome is None:
        return EXIT_LEFT
    return {"failed": EXIT_FAILED, "refused": EXIT_REFUSED}.get(ended.outcome, 0)


def run_scheduled(settings: JobSettings, job: JobName, slot: Micros) -> int:
    """Run what is due at `slot`, until it ends or the process is asked to stop."""
    code = 0

    async def main(stop: asyncio.Event) -> None:
        nonlocal code
        running = asyncio.create_task(run_job(settings, job, slot=slot))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait((running,))
            code = EXIT_FAILED
            return
        code = exit_code_of(running.result())

    return run_process(f"job-{job}", settings, main) or code
