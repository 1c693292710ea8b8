"""Runs the jobs that wait, each in a process of its own, so many at a time and so long at most."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from services.contracts.errors import Transient
from services.contracts.metrics import BACKTESTS
from services.contracts.time import Micros
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.settings import KafkaSettings
from services.triggers.backtest.child import Assignment
from services.triggers.backtest.jobs import ALIVE_FOR, TOPIC, Ended, Job, Jobs

POLL_SECONDS: Final = 1.0
ALIVE_SECONDS: Final = 3.0
LINE_BYTES_MAX: Final = 32 * 1024 * 1024
"""A report with its samples; a longer one is none that anybody reads."""
ENDING_SECONDS_MAX: Final = 5.0

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode

Lines = AsyncIterator[dict[str, Any]]
Launch = Callable[[Job], AbstractAsyncContextManager[Lines]]
"""Starts a job's process and gives its lines; leaving the block ends the process."""

_log = get_logger(__name__)


class Runner:
    """Takes jobs as there is room. `owner` names this process, differently at each start.

    A job that is cancelled meanwhile ends within `ALIVE_SECONDS`.
    """

    def __init__(
        self,
        jobs: Jobs,
        launch: Launch,
        metrics: Metrics,
        *,
        owner: str,
        concurrency: int,
        seconds_max: float,
        now: Callable[[], Micros],
    ) -> None:
        self._jobs = jobs
        self._launch = launch
        self._count = metrics.counter(BACKTESTS)
        self._owner = owner
        self._concurrency = concurrency
        self._seconds_max = seconds_max
        self._now = now
        self._awake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many run now."""
        return len(self._running)

    def wake(self) -> None:
        """There may be a job that waits."""
        self._awake.set()

    async def run(self) -> None:
        """Run jobs until cancelled; those under way end as interrupted then."""
        try:
            while True:
                try:
                    await self.look()
                except Transient as error:
                    _log.warning("backtests not looked after", error=str(error))
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._awake.wait()
                except TimeoutError:
                    pass  # time to look again
                self._awake.clear()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def look(self) -> None:
        """Give up what others have left behind, and begin what waits."""
        now = self._now()
        if lost := await self._jobs.interrupt(now - ALIVE_FOR, now):
            _log.warning("backtests were interrupted", jobs=lost)
        while len(self._running) < self._concurrency:
            job = await self._jobs.claim(self._owner, self._now())
            if job is None:
                return
            task = asyncio.create_task(self._work(job))
            self._running.add(task)
            task.add_done_callback(self._over)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._awake.set()

    async def _work(self, job: Job) -> None:
        try:
            async with asyncio.timeout(self._seconds_max):
                ended = await self._through(job)
        except TimeoutError:
            ended = Ended(status="failed", error=f"longer than {self._seconds_max:.0f} seconds")
        except asyncio.CancelledError:
            await self._tell(job, Ended(status="failed", error="interrupted: the API was stopped"))
            raise
        if ended is not None:
            await self._tell(job, ended)

    async def _through(self, job: Job) -> Ended | None:
        """Follow the process to its end; None where nobody wants to know any more."""
        what, share = "starting", None
        async with self._launch(job) as lines:
            coming = asyncio.ensure_future(anext(lines, None))
            try:
                while True:
                    done, _ = await asyncio.wait({coming}, timeout=ALIVE_SECONDS)
                    if done:
                        line = coming.result()
                        ended = _ended_by(line)
                        if ended is not None:
                            return ended
                        assert line is not None
                        what, share = line["progress"]
                        coming = asyncio.ensure_future(anext(lines, None))
                    if not await self._said(job, what, share):
                        return None
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _said(self, job: Job, what: str, share: float | None) -> bool:
        try:
            return await self._jobs.said(
                job.id, self._owner, what=what, share=share, now=self._now()
            )
        except Transient:
            return True  # the next word may get through

    async def _tell(self, job: Job, ended: Ended) -> None:
        self._count.labels(outcome=ended.status).inc()
        try:
            await self._jobs.end(job.id, self._owner, ended, self._now())
        except Transient as error:
            # Nobody says that it is alive any more: it will be found as interrupted.
            _log.warning("a backtest's end was not kept", job=job.id, error=str(error))


def _ended_by(line: dict[str, Any] | None) -> Ended | None:
    if line is None:
        return Ended(status="failed", error="its process ended without a report")
    if "report" in line:
        return Ended(status="done", report=line["report"])
    if "error" in line:
        return Ended(status="failed", error=line["error"])
    return None


def launcher(
    settings: KafkaSettings, folder: Path | None, sensitive: Collection[str] = ()
) -> Launch:
    """Starts jobs as `python -m services.triggers.backtest`; traits named as `sensitive` are masked
    in their reports.
    """
    kafka = settings.model_dump(mode="json", include=set(KafkaSettings.model_fields))
    # Through a pipe: what dumps settings hides secrets, and the child reads a sealed topic.
    kafka["sensitive_keys"] = settings.sensitive_keys.get_secret_value()
    masked = tuple(sorted(sensitive))

    @asynccontextmanager
    async def launch(job: Job) -> AsyncIterator[Lines]:
        events = job.question.events
        file = None if events == TOPIC or folder is None else str(folder / events)
        assignment = Assignment(question=job.question, file=file, kafka=kafka, sensitive=masked)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.triggers.backtest",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(assignment))
            process.stdin.close()
            yield _lines(process.stdout)
        finally:
            await _end(process)

    return launch


async def _lines(stream: asyncio.StreamReader) -> Lines:
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            yield {"error": f"its report is longer than {LINE_BYTES_MAX} bytes"}
            return
        if not line:
            return
        try:
            yield _decode(line)
        except msgspec.DecodeError:
            yield {"error": "its process said what nobody understands"}
            return


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(ENDING_SECONDS_MAX):
            if process.returncode is None and process.stdout is not None:
                process.terminate()
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except ProcessLookupError:
        await process.wait()
