"""What stands in tables: inbox and tasks, behind the channel port and over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.contracts.codec import decode_pack
from services.contracts.time import SECOND
from services.contracts.topics import EVENTS, KIND_HEADER, KIND_PACK
from services.dispatcher.channels.build import build_channels, build_links
from services.dispatcher.channels.inbox import InboxChannel
from services.dispatcher.channels.port import Accepted, Delayed, Message, Refused
from services.dispatcher.channels.tasks import HandoffChannel, TaskChannel
from services.dispatcher.front import Front
from services.dispatcher.inbox import InboxStore
from services.dispatcher.inbox_api import stream_of
from services.dispatcher.inbox_stream import InboxStreams
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.links import Link
from services.dispatcher.receipts import KafkaEvents, Receipt
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.tasks import TaskStore
from services.dispatcher.withdrawals import Withdrawals
from services.runtime.database import make_engine
from services.runtime.health import Health
from services.runtime.kafka import partition_of
from services.runtime.metrics import Metrics
from services.runtime.topic_reading import read_topic
from tests.dispatcher.counterparts import http_end
from tests.dispatcher.support import (
    WAIT_SECONDS,
    ScriptedChannel,
    Stage,
    a_command,
    a_message,
    a_send_id,
    until,
)

pytestmark = pytest.mark.embedded

BEARER = {"Authorization": "Bearer t0ken"}
FAR = 4_000_000_000 * SECOND


@pytest.fixture
def settings(settings: DispatcherSettings) -> DispatcherSettings:
    """With an address for the world."""
    return settings.model_copy(
        update={
            "dispatcher_public_url": "https://m.example.com",
            "dispatcher_link_keys": SecretStr("k" * 32),
            "api_tokens": SecretStr("t0ken"),
        }
    )


@asynccontextmanager
async def front_of(settings: DispatcherSettings) -> AsyncIterator[tuple[Front, httpx.AsyncClient]]:
    """The HTTP side of a dispatcher, its streams at work."""
    engine = make_engine(settings)
    front = Front(settings, engine, metrics=Metrics(), health=Health())
    stop = asyncio.Event()
    running = asyncio.create_task(front.streams.run(engine, stop))
    transport = httpx.ASGITransport(front.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://m.example.com") as http:
        yield front, http
    stop.set()
    await running
    await engine.dispose()


def for_ann(number: int, **changes: Any) -> Message:
    """A message for the inbox of one person."""
    return a_message(number, channel="inbox", person="ann", subject=f"Title {number}", **changes)


async def test_the_inbox_keeps_a_repeated_send_once(settings: DispatcherSettings) -> None:
    engine = make_engine(settings)
    channel = InboxChannel(InboxStore(engine))
    outcomes = [await channel.send(for_ann(number)) for number in (1, 1, 2)]
    assert outcomes == [Accepted()] * 3
    kept = await InboxStore(engine).of_person("ann")
    assert [item.message_id for item in kept] == [a_send_id(2), a_send_id(1)]
    assert await InboxStore(engine).of_person("bob") == []
    await engine.dispose()


async def test_many_at_once_are_kept_once_each(settings: DispatcherSettings) -> None:
    engine = make_engine(settings)
    channel = InboxChannel(InboxStore(engine))
    await asyncio.gather(*(channel.send(for_ann(number % 20)) for number in range(60)))
    assert len(await InboxStore(engine).of_person("ann")) == 20
    await engine.dispose()


async def test_a_database_that_is_away_delays(settings: DispatcherSettings) -> None:
    away = "postgresql+asyncpg://nobody@127.0.0.1:9/none"
    engine = make_engine(settings.model_copy(update={"database_url": SecretStr(away)}))
    assert isinstance(await InboxChannel(InboxStore(engine)).send(for_ann(1)), Delayed)
    handoff = a_message(1, kind="handoff")
    assert isinstance(await TaskChannel(TaskStore(engine)).send(handoff), Delayed)
    await engine.dispose()


async def test_the_app_fetches_pages_and_marks_as_read(settings: DispatcherSettings) -> None:
    async with front_of(settings) as (_, http):
        engine = make_engine(settings)
        channel = InboxChannel(InboxStore(engine))
        for number in range(5):
            await channel.send(for_ann(number))
        await channel.send(for_ann(9, expires_at=SECOND))
        asked = await http.post("/v1/inbox/tokens", json={"person": "ann"}, headers=BEARER)
        mine = {"Authorization": f"Bearer {asked.json()['token']}"}
        answer = await http.get("/p/inbox", params={"limit": 2}, headers=mine)
        newest = answer.json()["messages"]
        assert [one["title"] for one in newest] == ["Title 4", "Title 3"]
        params = {"before": newest[-1]["seq"]}
        older = (await http.get("/p/inbox", params=params, headers=mine)).json()["messages"]
        assert [one["title"] for one in older] == ["Title 2", "Title 1", "Title 0"]
        ids = {"ids": [a_send_id(0), a_send_id(1), a_send_id(77)]}
        assert (await http.post("/p/inbox/read", json=ids, headers=mine)).json() == {"read": 2}
        assert (await http.post("/p/inbox/read", json=ids, headers=mine)).json() == {"read": 0}
        unread = await http.get("/p/inbox", params={"unread": True}, headers=mine)
        assert [one["title"] for one in unread.json()["messages"]] == [
            "Title 4", "Title 3", "Title 2",
        ]  # fmt: skip
        await engine.dispose()


async def test_an_inbox_opens_for_its_own_person_alone(settings: DispatcherSettings) -> None:
    async with front_of(settings) as (_, http):
        assert (await http.post("/v1/inbox/tokens", json={"person": "ann"})).status_code == 401
        assert (await http.get("/p/inbox")).status_code == 401
        assert (await http.get("/p/inbox", params={"token": "AAAA"})).status_code == 401
        assert (await http.get("/p/inbox", headers=BEARER)).status_code == 401
        engine = make_engine(settings)
        await InboxChannel(InboxStore(engine)).send(for_ann(1))
        asked = await http.post("/v1/inbox/tokens", json={"person": "bob"}, headers=BEARER)
        params = {"token": asked.json()["token"]}
        assert (await http.get("/p/inbox", params=params)).json() == {
            "messages": [],
            "unread": 0,
        }
        ids = {"ids": [a_send_id(1)]}
        assert (await http.post("/p/inbox/read", json=ids, params=params)).json() == {"read": 0}
        await engine.dispose()


async def next_message(stream: AsyncIterator[bytes]) -> dict[str, Any]:
    """The next frame that holds a message."""
    async with asyncio.timeout(WAIT_SECONDS):
        async for frame in stream:
            for line in frame.decode().splitlines():
                if line.startswith("data: "):
                    found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    return found
    raise AssertionError("the stream has ended")


async def test_a_stream_tells_what_is_unread_and_then_what_comes(
    settings: DispatcherSettings,
) -> None:
    async with front_of(settings) as (front, _):
        engine = make_engine(settings)
        store, channel = InboxStore(engine), InboxChannel(InboxStore(engine))
        for number in (1, 2):
            await channel.send(for_ann(number))
        await store.mark_read("ann", [a_send_id(1)])
        stream = stream_of(store, front.streams, "ann", None)
        first = await next_message(stream)
        assert first["message_id"] == a_send_id(2)
        waiting = asyncio.create_task(next_message(stream))
        await until_listening(front.streams, 1)
        await channel.send(a_message(8, channel="inbox", person="bob"))
        await channel.send(for_ann(3))
        assert (await waiting)["message_id"] == a_send_id(3)
        again = stream_of(store, front.streams, "ann", first["seq"])
        assert (await next_message(again))["message_id"] == a_send_id(3), "it resumes after that"
        await engine.dispose()


async def until_listening(streams: InboxStreams, number: int) -> None:
    """Return once that many streams are open."""

    async def enough() -> bool:
        return streams.count == number

    await until(enough, "a stream")


async def test_streams_end_with_the_process_and_outlive_a_lost_connection(
    settings: DispatcherSettings,
) -> None:
    engine = make_engine(settings)
    store, streams, stop = InboxStore(engine), InboxStreams(), asyncio.Event()
    running = asyncio.create_task(streams.run(engine, stop))
    stream = stream_of(store, streams, "ann", None)
    waiting = asyncio.create_task(next_message(stream))
    await until_listening(streams, 1)
    other = make_engine(settings)
    async with other.begin() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    await InboxChannel(InboxStore(other)).send(for_ann(1))
    assert (await waiting)["message_id"] == a_send_id(1)
    ending = asyncio.create_task(anext(stream, None))
    stop.set()
    await running
    async with asyncio.timeout(WAIT_SECONDS):
        assert await ending is None
    await engine.dispose()
    await other.dispose()


async def test_old_messages_are_forgotten(settings: DispatcherSettings) -> None:
    engine = make_engine(settings)
    store = InboxStore(engine)
    await InboxChannel(store).send(for_ann(1))
    assert await store.prune(1) == 0
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE dispatcher.inbox SET created_at = 1"))
    assert await store.prune(1) == 1
    assert await store.of_person("ann") == []
    await engine.dispose()


async def test_a_handoff_stands_in_the_table_before_anybody_is_told(
    settings: DispatcherSettings,
) -> None:
    engine = make_engine(settings)
    tasks = TaskStore(engine)
    handoff = a_message(1, kind="handoff", request={"to": "sales"}, subject="Call", body="Why")
    async with http_end() as end:
        channel = HandoffChannel(end.channel, tasks)
        end.be("busy")
        assert isinstance(await channel.send(handoff), Delayed)
        (task,) = await tasks.listed(team="sales", person=None, done=False)
        assert (task.title, task.body, task.person) == ("Call", "Why", "person-1")
        end.be("accept")
        assert await channel.send(handoff) == Accepted()
        assert len(await tasks.listed(team=None, person=None, done=True)) == 1
        assert await channel.send(a_message(2, kind="offer")) == Accepted()
        assert len(await tasks.listed(team=None, person=None, done=True)) == 1
    await engine.dispose()


async def test_teams_work_through_their_tasks(settings: DispatcherSettings) -> None:
    async with front_of(settings) as (_, http):
        engine = make_engine(settings)
        channel = TaskChannel(TaskStore(engine))
        for number, team in enumerate(("sales", "service", "sales")):
            await channel.send(a_message(number, kind="handoff", request={"to": team}))
        assert isinstance(await channel.send(a_message(7, kind="offer")), Refused)
        assert (await http.get("/v1/tasks")).status_code == 401
        listed = await http.get("/v1/tasks", params={"team": "sales"}, headers=BEARER)
        assert [one["task_id"] for one in listed.json()["tasks"]] == [a_send_id(0), a_send_id(2)]
        url = f"/v1/tasks/{a_send_id(0)}/done"
        first = await http.post(url, json={"by": "eva"}, headers=BEARER)
        again = await http.post(url, json={"by": "max"}, headers=BEARER)
        assert first.json() == again.json()
        assert again.json()["done_by"] == "eva"
        listed = await http.get("/v1/tasks", params={"team": "sales"}, headers=BEARER)
        assert [one["task_id"] for one in listed.json()["tasks"]] == [a_send_id(2)]
        gone = await http.get(f"/v1/tasks/{a_send_id(70)}", headers=BEARER)
        assert gone.status_code == 404
        await engine.dispose()


async def test_a_receipt_reaches_the_persons_log_and_the_ledger(stage: Stage) -> None:
    await stage.produce([a_command(1, channel="mail", person="ann")])
    async with stage.dispatching({"mail": ScriptedChannel()}):
        await stage.settled(1)
        async with front_of(stage.settings) as (front, http):
            events = KafkaEvents(stage._producer, stage.settings)
            changes = LedgerChanges(stage.engine)
            front.receipts.attach(events, changes, Withdrawals(stage.engine, changes))
            sent = Link(
                send_id=a_send_id(1),
                person="ann",
                trigger="t",
                channel="mail",
                category="marketing",
            )
            links = build_links(stage.settings)
            assert links is not None
            answer = await http.post(links.unsubscribe(sent), content=b"List-Unsubscribe=One-Click")
            assert answer.status_code == 200
            await front.receipts.take(Receipt(kind="bounced", sent=sent, reason="gone"))
    found = []
    async for record in read_topic(stage.settings, EVENTS, timeout_seconds=WAIT_SECONDS):
        if (KIND_HEADER, KIND_PACK) in [tuple(header) for header in record.headers]:
            assert record.key == b"ann"
            assert record.partition == partition_of(b"ann", stage.settings.partitions)
            found += decode_pack(record.value)
    assert [event.name for event in found] == ["Unsubscribed", "$identify", "Email Bounced"]
    entries = await stage.reader.of_person("ann")
    assert [entry.state for entry in entries] == ["bounced"]


async def test_who_unsubscribes_gets_nothing_that_still_waits(stage: Stage) -> None:
    gate = asyncio.Event()

    async def held(_: Message, __: int) -> Accepted:
        await gate.wait()
        return Accepted()

    marketing = {"channel": "mail", "person": "ann"}
    mail, sms = ScriptedChannel(held), ScriptedChannel(held)
    async with stage.dispatching({"mail": mail, "sms": sms}, concurrency=1) as dispatcher:

        async def begun() -> bool:
            return bool(mail.sent)

        async def recorded() -> bool:
            counts = await dispatcher.reader.counts()
            return counts["pending"] + counts["sending"] == 4

        await stage.produce([a_command(0, channel="mail", person="bob")])
        await until(begun, "somebody who takes the only place")
        await stage.produce(
            [
                a_command(1, **marketing),
                a_command(2, **marketing, category="transactional"),
                a_command(3, channel="sms", person="ann"),
            ]
        )
        await until(recorded, "four open sends")
        waiting = Withdrawals(stage.engine, LedgerChanges(stage.engine))
        assert await waiting.withdraw("ann", "mail", at=FAR) == 1
        assert await waiting.withdraw("ann", "mail", at=FAR) == 0
        gate.set()
        await stage.settled(4)
    assert {message.send_id for message in mail.sent} == {a_send_id(0), a_send_id(2)}
    assert [message.send_id for message in sms.sent] == [a_send_id(3)]


async def test_with_a_database_inbox_and_tasks_are_served(
    settings: DispatcherSettings, tmp_path: Path
) -> None:
    engine = make_engine(settings)
    served = build_channels(settings, engine)
    assert {"inbox", "webhook:tasks"} <= set(served)
    await engine.dispose()
