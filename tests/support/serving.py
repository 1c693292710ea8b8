"""An application on a port of its own, in a thread beside the test."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import httpx
from starlette.types import ASGIApp

from services.runtime.process import free_port
from services.runtime.serving import serve

START_SECONDS_MAX = 30.0


@contextmanager
def served(make: Callable[[], Awaitable[ASGIApp]]) -> Iterator[str]:
    """The address of the application that `make` makes, in the loop that serves it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    begun = threading.Event()

    async def main() -> None:
        stop = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), stop))
        app = await make()
        begun.set()
        await serve(app, host="127.0.0.1", port=port, stop=stop)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert begun.wait(START_SECONDS_MAX), "it does not start"
    _wait_for(f"{url}/healthz")
    try:
        yield url
    finally:
        loop, stop = stopping[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS_MAX)


def _wait_for(address: str) -> None:
    ends_at = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < ends_at:
        try:
            httpx.get(address, trust_env=False)
        except httpx.HTTPError:
            continue
        return
    raise AssertionError(f"nothing answers at {address}")
