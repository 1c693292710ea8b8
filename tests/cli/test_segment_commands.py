"""Sizes and overlap of segments as tables, from a profile store that answers over HTTP."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.runtime.process import free_port
from services.runtime.serving import serve
from tests.profile_store.examples import profile
from tests.profile_store.test_population_api import Api, record


@pytest.fixture
def store_url() -> Iterator[str]:
    """A store with three people in memory, on a port of its own."""
    port, loop, stop = free_port(), asyncio.new_event_loop(), asyncio.Event()
    made = Api()
    made.defined.take(record("segment", "gold", {"name": "Gold", "core": True}))
    made.defined.take(record("segment", "nobody", {}))

    async def work() -> None:
        await made.profiles.put(
            [profile("a", segments=("gold", "old")), profile("b", segments=("gold",)), profile("c")]
        )
        await serve(made.app, host="127.0.0.1", port=port, stop=stop)
        await made.client.aclose()

    thread = threading.Thread(target=lambda: loop.run_until_complete(work()))
    thread.start()
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            thread.join(timeout=0.05)
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=20)
    loop.close()


def printed(*words: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(
        app, ["segments", *words], env={"CUESTREAM_API_TOKENS": "sesame", "COLUMNS": "120"}
    )
    assert done.exit_code == exit_code, done.output
    return done.output


@pytest.mark.embedded
def test_sizes_are_told_with_what_is_worth_a_look(store_url: str) -> None:
    told = printed("sizes", "--store-url", store_url)
    assert "66.7 %" in told
    assert "(no longer defined)" in told
    assert "3 people" in told
    assert "worth a look: nobody: 0.0 % of people: under 5 %" in told


@pytest.mark.embedded
def test_overlap_is_told_and_as_json_too(store_url: str) -> None:
    assert "50.0 %" in printed("overlap", "--store-url", store_url)
    assert '"jaccard": 0.5' in printed("overlap", "--json", "--store-url", store_url)


def test_a_store_that_is_away_is_said() -> None:
    told = printed("sizes", "--store-url", f"http://127.0.0.1:{free_port()}", exit_code=7)
    assert "127.0.0.1" in told
