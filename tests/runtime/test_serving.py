"""A process ends cleanly when asked to, and with 1 after an error."""

import asyncio
import os
import signal
import subprocess
import sys

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.runtime.process import free_port
from services.runtime.serving import GC_THRESHOLD, serve


async def test_a_request_under_way_is_finished_before_it_stops() -> None:
    stop, reached, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        reached.set()
        await go_on.wait()
        return PlainTextResponse("done")

    port = free_port()
    app = Starlette(routes=[Route("/slow", slow)])
    server = asyncio.create_task(serve(app, host="127.0.0.1", port=port, stop=stop))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", transport=httpx.AsyncHTTPTransport(retries=5)
    ) as client:
        request = asyncio.create_task(client.get("/slow"))
        async with asyncio.timeout(10):
            await reached.wait()
            stop.set()
            go_on.set()
            assert (await request).text == "done"
            await server


async def test_it_leaves_signals_to_the_process() -> None:
    stop = asyncio.Event()
    handled = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, handled.set)
    try:
        port = free_port()
        server = asyncio.create_task(serve(Starlette(), host="127.0.0.1", port=port, stop=stop))
        transport = httpx.AsyncHTTPTransport(retries=5)
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 404
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await handled.wait()
            assert not server.done()
            stop.set()
            await server
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


PROCESS = """
import gc, sys
from services.runtime.serving import run_process
from services.runtime.settings import ProcessSettings

before = len(gc.get_objects())

async def main(stop):
    print(gc.get_freeze_count() >= before > 10_000, gc.get_threshold()[0])

sys.exit(run_process("test", ProcessSettings(), main))
"""


@pytest.mark.slow
def test_what_is_imported_is_left_out_of_looking_for_garbage() -> None:
    # To look through it holds every request and every send up for a tenth of a second.
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines()[0] == f"True {GC_THRESHOLD[0]}"
