"""A process ends cleanly when asked to, and with 1 after an error."""

import asyncio
import os
import signal

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.runtime.process import free_port
from services.runtime.serving import serve


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
