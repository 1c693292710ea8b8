"""Around publishing, with everything running: the kill switch, trials, backtests, looking back.

All processes run as their operators start them, over the embedded broker and database, while
events flow on every partition all the time.
"""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.cli.migrations import migrate_all
from services.contracts.codec import encode_json
from services.contracts.time import SECOND
from services.contracts.topics import EVENTS, TOPICS
from services.runtime.database import make_engine
from services.runtime.kafka import create_topics, make_producer, partition_of, topic_name
from services.runtime.process import Child, free_port
from services.runtime.settings import DatabaseSettings, KafkaSettings

pytestmark = pytest.mark.embedded

TOKEN = "a-token-for-tests"
STOPPED_SECONDS_MAX = 2.0
WATCHED_SECONDS = 2.0
"""How much longer it is watched that nothing is sent."""
EVENT_EVERY_SECONDS = 0.01
WAIT_SECONDS = 60.0
MODULES = {
    "api": "services.triggers.api",
    "triggers": "services.triggers.worker",
    "dispatcher": "services.dispatcher",
    "profile_store": "services.profile_store",
}
TAG = {"kind": "tag", "id": "orders", "aggregate": "count", "events": ["Order Completed"]}
TRIGGER: dict[str, Any] = {
    "kind": "trigger",
    "id": "thanks",
    "entry": {"events": ["Order Completed"], "where": {"tag": "orders", "op": "gte", "value": 1}},
    "steps": [{"send": {"channel": "log", "content": {"body": "Order {{ tags.orders }}"}}}],
}


class Live:
    """All processes, and hands for what they do."""

    def __init__(self, database_url: str, kafka: KafkaSettings, logs: Path) -> None:
        self.kafka = kafka
        ports = {name: free_port() for name in MODULES}
        environment = {
            **os.environ,
            "CUESTREAM_API_TOKENS": TOKEN,
            "CUESTREAM_DATABASE_URL": database_url,
            "CUESTREAM_KAFKA": kafka.kafka,
            "CUESTREAM_KAFKA_IDEMPOTENCE": str(kafka.kafka_idempotence).lower(),
            "CUESTREAM_KAFKA_SESSION_TIMEOUT_MS": str(kafka.kafka_session_timeout_ms),
            "CUESTREAM_TOPIC_PREFIX": kafka.topic_prefix,
            "CUESTREAM_PARTITIONS": str(kafka.partitions),
            "CUESTREAM_API_PROFILE_STORE_URL": f"http://127.0.0.1:{ports['profile_store']}",
            "CUESTREAM_API_DISPATCHER_URL": f"http://127.0.0.1:{ports['dispatcher']}",
            "CUESTREAM_PROFILE_STORE_API_URL": f"http://127.0.0.1:{ports['api']}",
            "CUESTREAM_API_ROLLOUT_SECONDS": "0.2",
            **{f"CUESTREAM_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        }
        self.children = [
            Child(
                name,
                [sys.executable, "-m", module],
                log=logs / f"{name}.log",
                environment=environment,
            )
            for name, module in MODULES.items()
        ]
        self._ready = [f"http://127.0.0.1:{port}/readyz" for port in ports.values()]
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ports['api']}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
            timeout=30.0,
        )
        self.engine = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))

    async def start(self) -> None:
        """Start all and wait until they are ready."""
        for child in self.children:
            child.start()
        for url in self._ready:
            await self.until(lambda url=url: self._answers(url), url)  # type: ignore[misc]

    async def _answers(self, url: str) -> bool:
        for child in self.children:
            assert child.alive, child.log_tail()
        try:
            return (await self.client.get(url)).status_code == 200
        except httpx.TransportError:
            return False

    async def stop(self) -> None:
        """Stop all; each has to end cleanly."""
        await self.client.aclose()
        await self.engine.dispose()
        stopped = await asyncio.gather(*(asyncio.to_thread(child.stop) for child in self.children))
        for child, cleanly in zip(self.children, stopped, strict=True):
            assert cleanly, f"{child.name} had to be killed: {child.log_tail()}"
            assert child.exit_code == 0, child.log_tail()

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        """What the condition gives as soon as that is something."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not (found := await condition()):  # noqa: ASYNC110  (other processes)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            tails = "\n".join(child.log_tail() for child in self.children)
            pytest.fail(f"waited for {what}\n{tails}")
        return found

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Orders arrive on every partition, each of a new person."""
        producing = asyncio.create_task(self._produce())
        try:
            yield
        finally:
            producing.cancel()
            await asyncio.gather(producing, return_exceptions=True)

    async def _produce(self) -> None:
        producer = make_producer(self.kafka)
        await producer.start()
        try:
            for number in itertools.count():
                key = f"person-{number}".encode()
                message = {
                    "type": "track",
                    "event": "Order Completed",
                    "userId": key.decode(),
                    "messageId": f"m-{number}",
                }
                await producer.send_and_wait(
                    topic_name(self.kafka, EVENTS),
                    encode_json(message),
                    key=key,
                    partition=partition_of(key, self.kafka.partitions),
                )
                await asyncio.sleep(EVENT_EVERY_SECONDS)
        finally:
            await producer.stop()

    async def post(self, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
        """The API's answer."""
        answer = await self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def get(self, path: str) -> dict[str, Any]:
        """The API's answer."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def accepted(self, since: int = 0) -> list[int]:
        """When sends were accepted, from an instant on, in microseconds."""
        query = text(
            "SELECT finished_at FROM dispatcher.sends"
            " WHERE state = 'accepted' AND finished_at >= :since ORDER BY finished_at"
        )
        async with self.engine.connect() as connection:
            return list((await connection.scalars(query, {"since": since})).all())

    async def some_accepted(self, since: int, count: int = 20) -> bool:
        """Whether that many sends were accepted since."""
        return len(await self.accepted(since)) >= count

    async def in_the_log(self) -> bool:
        """Whether what was published has reached the log."""
        return bool((await self.get("/v1/revisions/current"))["pending"] == 0)

    async def counts(self) -> dict[tuple[str, str], int]:
        """Decisions by outcome and reason, from the API."""
        found: dict[tuple[str, str], int] = {}
        for one in (await self.get("/v1/triggers/thanks/counts"))["counts"]:
            key = one["outcome"], one["reason"]
            found[key] = found.get(key, 0) + one["decisions"]
        return found


def now() -> int:
    """The machine's clock, in microseconds."""
    return time.time_ns() // 1000


@pytest.fixture
async def live(
    database_url: str, kafka_settings: KafkaSettings, tmp_path: Path
) -> AsyncIterator[Live]:
    """Everything, ready, with a trigger in force."""
    await migrate_all(database_url)
    await create_topics(kafka_settings, TOPICS)
    made = Live(database_url, kafka_settings, tmp_path)
    try:
        await made.start()
        await made.post("/v1/apply", {"definitions": [TAG, TRIGGER]})
        await made.until(made.in_the_log, "the definitions in the log")
        yield made
    finally:
        await made.stop()


@pytest.mark.parametrize("what", [{"all": True}, {"channels": ["log"]}])
async def test_nothing_is_sent_two_seconds_after_a_stop_and_all_goes_on_after_it(
    live: Live, what: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    async with live.flowing():
        await live.until(lambda: live.some_accepted(0), "the first sends")
        await live.post("/v1/stop", {**what, "note": "wrong prices"})
        stopped_at = now()
        await asyncio.sleep(STOPPED_SECONDS_MAX + WATCHED_SECONDS)
        late = [at - stopped_at for at in await live.accepted(stopped_at)]
        seconds = round(max(late, default=0) / SECOND, 3)
        record_property("seconds_to_stop", seconds)
        print(f"seconds from the API's answer to the last send: {seconds}")
        assert seconds < STOPPED_SECONDS_MAX
        reason = "all" if "all" in what else "log"

        async def counted() -> bool:
            return (await live.counts()).get(("paused", reason), 0) > 0

        await live.until(counted, "refusals in the decision log")
        await live.post("/v1/resume", what)
        gone_on_at = now()
        await live.until(lambda: live.some_accepted(gone_on_at), "sends after it")

    # What was asked for while the dispatcher held it is sent, too: every decision has its send.
    async def all_sent() -> bool:
        return (await live.counts())["sent", ""] == len(await live.accepted())

    await live.until(all_sent, "a send for each decision")


async def test_trials_backtests_and_looking_back_work_on_what_really_happened(live: Live) -> None:
    workspace = {"kind": "workspace", "id": "default", "test_people": ["person-0"]}
    draft = {**TRIGGER, "id": "again", "steps": [{"send": {"channel": "log"}}]}
    del draft["kind"]
    async with live.flowing():
        await live.until(lambda: live.some_accepted(0, 50), "sends")
    await live.post("/v1/triggers", draft, 201)
    event = {"event": "Order Completed"}
    tried = await live.post("/v1/triggers/again/dry-run", {"person": "person-0", "event": event})
    assert [one["outcome"] for one in tried["decisions"]] == ["sent"]
    assert tried["tags"] == {"orders": 2}
    why = await live.get("/v1/people/person-0/why?trigger=thanks")
    assert why["verdict"] == "sent"

    async def told() -> list[Any]:
        found = await live.get("/v1/people/person-0/decisions?trigger=thanks")
        return list(found["decisions"])

    (decision,) = await live.until(told, "the decision in the log")
    assert (decision["outcome"], decision["event_id"]) == ("sent", "m-0")

    job = await live.post("/v1/backtests", {"triggers": ["again"], "samples": 1}, 202)

    async def over() -> dict[str, Any] | None:
        found = await live.get(f"/v1/backtests/{job['id']}")
        return None if found["status"] in ("queued", "running") else found

    found = await live.until(over, "the backtest")
    assert found["status"] == "done", found["error"]
    of = {one["trigger"]: one for one in found["report"]["triggers"]}
    assert of["again"]["sends"] == of["thanks"]["sends"] == found["report"]["events"]
    reach = await live.get("/v1/triggers/again/reach")
    assert (reach["share"], reach["backtest"]) == (1.0, job["id"])

    await live.post("/v1/apply", {"definitions": [workspace]})
    before = len(await live.accepted())
    test = {"people": ["person-0"], "event": event}
    sends = await live.post("/v1/triggers/again/test-send", test, 202)
    assert [one["person"] for one in sends["sends"]] == ["person-0"]

    async def sent() -> bool:
        return len(await live.accepted()) > before

    await live.until(sent, "the test")
    after = await live.post("/v1/triggers/again/dry-run", {"person": "person-0", "event": event})
    assert after["decisions"][0]["outcome"] == "sent"


async def test_a_rollout_that_sends_too_much_halts_by_itself(live: Live) -> None:
    async with live.flowing():
        await live.until(lambda: live.some_accepted(0, 30), "sends")
        job = await live.post("/v1/backtests", {"triggers": ["thanks"], "samples": 0}, 202)

        async def over() -> bool:
            return bool((await live.get(f"/v1/backtests/{job['id']}"))["status"] == "done")

        await live.until(over, "the backtest")
        # A short history, so its sends a day are far fewer than what flows in a minute.
        plan = {"stages": [{"percent": 50, "hold": "1h"}, {"percent": 100}], "factor": 1.5}
        await live.post("/v1/triggers/thanks/rollout", plan)

        async def halted() -> dict[str, Any] | None:
            found = await live.get("/v1/triggers/thanks/rollout")
            return None if found["status"] == "running" else found

        found = await live.until(halted, "the halt")
    assert found["status"] == "halted"
    assert "of which the backtest" in found["steps"][-1]["reason"]
    trigger = await live.get("/v1/triggers/thanks")
    assert (trigger["status"], trigger["published"]["rollout"]) == ("paused", 50)
