"""The marketers' API, for commands to talk to."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from services.runtime.process import free_port
from services.runtime.serving import serve
from services.triggers.api.template_routes import template_routes
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.texts import check_whole
from tests.api.conftest import make_api
from tests.api.test_templates import Known


@pytest.fixture
def api_url() -> Iterator[str]:
    """The API over a store in memory, with the engine's own check, on a port."""
    port = free_port()
    ready = threading.Event()
    handle: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        definitions = Definitions(
            MemoryStore(Tables()), check_whole, workspace="default", now=lambda: 1_000_000
        )
        await definitions.bootstrap()
        stop = asyncio.Event()
        handle.append((asyncio.get_running_loop(), stop))
        ready.set()
        app = make_api(definitions, more_routers=[template_routes(definitions, Known())])
        await serve(app, host="127.0.0.1", port=port, stop=stop)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait(10)
    _wait_for(port)
    yield f"http://127.0.0.1:{port}"
    loop, stop = handle[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def _wait_for(port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
