"""Run several processes as one: start, wait until ready, restart within bounds, stop in order."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx
import msgspec

from services.contracts.errors import CuestreamError
from services.runtime.backoff import delays
from services.runtime.logs import get_logger
from services.runtime.process import Child

POLL_SECONDS: Final = 0.05
READY_TIMEOUT_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 10.0
RESTARTS_MAX: Final = 5
STEADY_SECONDS: Final = 60.0
"""A part that ran so long has its restarts forgiven."""

_log = get_logger(__name__)


class PartState(StrEnum):
    """Where a part stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One process to run. It is ready when a GET of `ready_url` answers 200."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready_url: str


class SupervisorError(CuestreamError):
    """A part did not come up, or ended more often than allowed; `part` is its name."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(f"{part} {message}")
        self.part = part


class _Running:
    """A part with its process and what happened to it."""

    def __init__(self, part: Part, log: Path, restarts_max: int) -> None:
        self.part = part
        self._restarts_max = restarts_max
        self.child = Child(part.name, part.command, log=log, environment=part.environment)
        self.state = PartState.STARTING
        self.restarts = 0
        self.started_at = 0.0
        self._waits = self._fresh_waits()

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.child.start()

    def next_wait(self) -> float | None:
        """Seconds until the next restart; None when there were enough."""
        if time.monotonic() - self.started_at >= STEADY_SECONDS:
            self._waits = self._fresh_waits()
        return next(self._waits, None)

    def _fresh_waits(self) -> Iterator[float]:
        return delays(
            first_seconds=0.5,
            max_seconds=10.0,
            attempts_max=self._restarts_max,
            random=random.random,
        )


class Supervisor:
    """Owns a set of parts; one log file each in `log_dir`.

    A part that ends unasked is started again, at most `restarts_max` times before it has run
    steadily; then `failed` returns. While parts start for the first time nothing is started
    again: a wrong setting shall show at once.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        ready_timeout_seconds: float = READY_TIMEOUT_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        restarts_max: int = RESTARTS_MAX,
    ) -> None:
        self._log_dir = log_dir
        self._ready_timeout = ready_timeout_seconds
        self._grace = grace_seconds
        self._restarts_max = restarts_max
        self._running: list[_Running] = []
        self._watcher: asyncio.Task[SupervisorError] | None = None
        self._client = httpx.AsyncClient(trust_env=False, timeout=2.0)

    async def start(self, parts: Sequence[Part]) -> None:
        """Start all parts at once and wait until each is ready. On an error all are stopped.

        Raises:
            SupervisorError: one ended or was not ready in time.
        """
        self._running = [
            _Running(part, self._log_dir / f"{part.name}.log", self._restarts_max) for part in parts
        ]
        try:
            for running in self._running:
                running.start()
            await self._until_all_ready()
        except BaseException:
            await self.stop()
            raise
        self._watcher = asyncio.create_task(self._watch())

    def states(self) -> dict[str, PartState]:
        """State of each part by name, in the order of starting."""
        return {running.part.name: running.state for running in self._running}

    def child(self, name: str) -> Child:
        """The process of a part; raises `KeyError`."""
        return {running.part.name: running.child for running in self._running}[name]

    async def failed(self) -> SupervisorError:
        """Wait until a part has ended more often than allowed; says which and how."""
        assert self._watcher is not None, "started"
        return await asyncio.shield(self._watcher)

    async def stop(self) -> None:
        """Stop every part, the last started first; one that lingers is killed. Idempotent."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        for running in reversed(self._running):
            await self._stop_one(running)
        await self._client.aclose()

    async def _until_all_ready(self) -> None:
        waiting = [asyncio.create_task(self._until_ready(running)) for running in self._running]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
            for task in waiting:
                if task.done():
                    task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)

    async def _until_ready(self, running: _Running) -> None:
        name = running.part.name
        deadline = time.monotonic() + self._ready_timeout
        while not await self._is_ready(running):
            if not running.child.alive:
                raise SupervisorError(name, self._obituary(running))
            if time.monotonic() > deadline:
                tail = running.child.log_tail()
                raise SupervisorError(
                    name, f"was not ready after {self._ready_timeout:g} s:\n{tail}"
                )
            await asyncio.sleep(POLL_SECONDS)
        running.state = PartState.READY

    async def _is_ready(self, running: _Running) -> bool:
        try:
            answer = await self._client.get(running.part.ready_url)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK and running.child.alive

    async def _watch(self) -> SupervisorError:
        restarting: dict[asyncio.Task[SupervisorError | None], _Running] = {}
        try:
            while True:
                for running in self._running:
                    if running.state is PartState.READY and not running.child.alive:
                        running.state = PartState.RESTARTING
                        restarting[asyncio.create_task(self._restart(running))] = running
                for task in [task for task in restarting if task.done()]:
                    restarting.pop(task)
                    error = task.result()
                    if error is not None:
                        return error
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for task in restarting:
                task.cancel()
            if restarting:
                await asyncio.wait(restarting)

    async def _restart(self, running: _Running) -> SupervisorError | None:
        """Start a part again until it is ready; the error when it used up its restarts."""
        name = running.part.name
        while True:
            wait = running.next_wait()
            if wait is None:
                running.state = PartState.FAILED
                return SupervisorError(name, self._obituary(running))
            _log.warning("part ended, starting it again", part=name, code=running.child.exit_code)
            await asyncio.sleep(wait)
            running.restarts += 1
            running.start()
            try:
                await self._until_ready(running)
            except SupervisorError as error:
                _log.warning("part did not come back", part=name, error=str(error))
                await self._stop_one(running)
                continue
            return None

    async def _stop_one(self, running: _Running) -> None:
        running.child.ask_to_stop()
        deadline = time.monotonic() + self._grace
        while running.child.alive and time.monotonic() < deadline:  # noqa: ASYNC110  (polls a pid)
            await asyncio.sleep(POLL_SECONDS)
        if running.child.alive:
            _log.warning("part lingers, killing it", part=running.part.name)
            running.child.stop(grace_seconds=0)
        if running.state is not PartState.FAILED:
            running.state = PartState.STOPPED

    @staticmethod
    def _obituary(running: _Running) -> str:
        return f"ended with {running.child.exit_code}:\n{running.child.log_tail()}"
