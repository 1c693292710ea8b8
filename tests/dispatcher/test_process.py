"""The dispatcher as a process: its start, its HTTP, its clean end."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.contracts.codec import decode_pack
from services.contracts.command import Content
from services.contracts.topics import EVENTS, KIND_HEADER, KIND_PACK
from services.runtime.process import Child, free_port
from services.runtime.topic_reading import read_topic
from tests.dispatcher.support import WAIT_SECONDS, Stage, a_command, a_send_id, until

pytestmark = pytest.mark.embedded

TOKEN = "t0ken"


class Process:
    """A dispatcher process and a client for its HTTP."""

    def __init__(self, child: Child, http: httpx.AsyncClient) -> None:
        self.child = child
        self.http = http

    async def get(self, path: str, token: str = TOKEN, **params: Any) -> httpx.Response:
        """GET with a bearer token."""
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.get(path, headers=headers, params=params)

    async def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return (await self.http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def answers(self) -> bool:
        """Whether it is alive, ready or not."""
        try:
            return (await self.http.get("/healthz")).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def process(stage: Stage, folder: Path, **settings: str) -> AsyncIterator[Process]:
    """Start it as its operators do; leaving the block stops it with SIGTERM."""
    values = stage.settings.model_dump(include={"kafka", "kafka_idempotence", "topic_prefix"})
    values |= {"database_url": stage.settings.database_url.get_secret_value()}
    values |= {"dispatcher_port": free_port(), "api_tokens": TOKEN}
    values |= {"kafka_session_timeout_ms": stage.settings.kafka_session_timeout_ms, **settings}
    child = Child(
        "dispatcher",
        [sys.executable, "-m", "services.dispatcher"],
        log=folder / "dispatcher.log",
        environment={
            **os.environ,
            **{f"CUESTREAM_{name.upper()}": str(value) for name, value in values.items()},
        },
    )
    child.start()
    url = f"http://127.0.0.1:{values['dispatcher_port']}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        try:
            yield Process(child, http)
        finally:
            stopped = await asyncio.to_thread(child.stop, 20)
        assert stopped, child.log_tail()
        assert child.exit_code == 0, child.log_tail()


async def test_it_sends_answers_questions_and_ends_cleanly(stage: Stage, tmp_path: Path) -> None:
    await stage.produce(a_command(number) for number in range(20))
    file = tmp_path / "sends.jsonl"
    async with process(stage, tmp_path, dispatcher_log_file=str(file)) as dispatcher:
        await until(dispatcher.ready, "readiness")
        await stage.settled(20)
        one = await dispatcher.get(f"/v1/sends/{a_send_id(3)}")
        assert one.json()["state"] == "accepted"
        assert one.json()["person"] == "person-3"
        assert (await dispatcher.get(f"/v1/sends/{a_send_id(99)}")).status_code == 404
        assert (await dispatcher.get("/v1/sends/not-a-uuid")).status_code == 422
        theirs = (await dispatcher.get("/v1/sends", person="person-3")).json()["sends"]
        assert [send["send_id"] for send in theirs] == [a_send_id(3)]
        assert (await dispatcher.get("/v1/sends", person="nobody\0")).json() == {"sends": []}
        assert (await dispatcher.get("/v1/sends", person="x", token="wrong")).status_code == 401
        metrics = (await dispatcher.http.get("/metrics")).text
        assert 'attempts_total{channel="log",outcome="accepted"} 20.0' in metrics
        assert "cuestream_consumer_lag_records{" in metrics
    assert len(file.read_bytes().splitlines()) == 20
    assert "person-3" not in dispatcher.child.log.read_text()
    assert a_send_id(3) in dispatcher.child.log.read_text()


async def test_it_waits_for_a_ledger_and_says_so(stage: Stage, tmp_path: Path) -> None:
    async with stage.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE dispatcher.sends RENAME TO away")
    await stage.produce([a_command(1)])
    async with process(stage, tmp_path) as dispatcher:
        await until(dispatcher.answers, "liveness")
        assert not await dispatcher.ready()

        async def told() -> bool:
            return "cuestream migrate" in dispatcher.child.log_tail()

        await until(told, "the advice")
        async with stage.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE dispatcher.away RENAME TO sends")
        await until(dispatcher.ready, "readiness")
        await stage.settled(1)


async def test_it_can_be_stopped_while_it_waits_for_a_broker(stage: Stage, tmp_path: Path) -> None:
    async with process(stage, tmp_path, kafka=f"127.0.0.1:{free_port()}") as dispatcher:

        async def waiting() -> bool:
            return "will try again" in dispatcher.child.log_tail()

        await until(waiting, "the first try")
        assert await dispatcher.answers()
        assert not await dispatcher.ready()


async def test_what_it_sent_comes_back_to_it_and_its_streams_end_with_it(
    stage: Stage, tmp_path: Path
) -> None:
    inbox = a_command(1, channel="inbox", person="ann", content=Content(subject="Hi"))
    body = Content(subject="A", body="{{ unsubscribe_url }}")
    mail = a_command(2, channel="log", person="ann", content=body)
    await stage.produce([inbox, mail])
    file = tmp_path / "sends.jsonl"
    settings = {
        "dispatcher_public_url": "https://m.example.com",
        "dispatcher_link_keys": "k" * 32,
        "dispatcher_log_file": str(file),
    }
    async with process(stage, tmp_path, **settings) as dispatcher:
        await until(dispatcher.ready, "readiness")
        await stage.settled(2)
        link = json.loads(file.read_text())["body"]
        assert link.startswith("https://m.example.com/p/u/")
        path = link.removeprefix("https://m.example.com")
        assert (await dispatcher.http.post(path)).status_code == 200
        asked = await dispatcher.http.post(
            "/v1/inbox/tokens", json={"person": "ann"}, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        params = {"token": asked.json()["token"]}
        messages = (await dispatcher.http.get("/p/inbox", params=params)).json()["messages"]
        assert [one["title"] for one in messages] == ["Hi"]
        url = dispatcher.http.base_url.join("/p/inbox/stream")
        listening = httpx.AsyncClient(trust_env=False, timeout=30.0)
        stream = listening.stream("GET", url, params=params)
        lines = (await stream.__aenter__()).aiter_lines()
        while not (await anext(lines)).startswith("data: "):
            pass  # what leads up to the first message
    # Left with SIGTERM, which `process` waits for: an open stream did not keep it.
    await stream.__aexit__(None, None, None)
    await listening.aclose()
    names = []
    async for record in read_topic(stage.settings, EVENTS, timeout_seconds=WAIT_SECONDS):
        if (KIND_HEADER, KIND_PACK) in [tuple(header) for header in record.headers]:
            names += [event.name for event in decode_pack(record.value)]
    assert names == ["Unsubscribed", "$identify"]
    assert link not in dispatcher.child.log.read_text()
