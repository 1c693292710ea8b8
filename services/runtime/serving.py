"""Running a process: one event loop, signals that end it cleanly, HTTP until then."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
import uvloop
from starlette.types import ASGIApp

from services.runtime.logs import configure_logs, get_logger
from services.runtime.settings import ProcessSettings

GRACE_SECONDS_MAX: Final = 10
"""How long requests under way may take to finish once the process is asked to stop."""
CONNECTIONS_QUEUED_MAX: Final = 2048
GC_THRESHOLD: Final = (10_000, 20, 20)
"""How seldom the garbage collector looks at new, younger and all objects. What is imported, some
hundred thousand objects, is left out: to go through them takes a tenth of a second, in which
nothing else is done."""

_log = get_logger(__name__)


class _Server(uvicorn.Server):
    """Leaves signals to the process: uvicorn's own way raises them again at its end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: ASGIApp, *, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve HTTP until `stop` is set, then finish what is under way within the grace time.

    Raises:
        SystemExit: the address is taken.
    """
    server = _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=CONNECTIONS_QUEUED_MAX,
            timeout_graceful_shutdown=GRACE_SECONDS_MAX,
        )
    )

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve()
    finally:
        ending.cancel()


def run_process(
    service: str, settings: ProcessSettings, main: Callable[[asyncio.Event], Awaitable[None]]
) -> int:
    """Run `main` with an event that SIGTERM and SIGINT set; returns the exit code.

    This is the process's one boundary: whatever comes out of `main` is logged, and the
    process ends with 1, so that its supervisor starts it again.
    """
    configure_logs(settings, service)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)

    async def guarded() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await main(stop)
        except Exception:  # noqa: BLE001  (the boundary)
            _log.exception("stopped by an error")
            return 1
        _log.info("stopped")
        return 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(guarded())
