"""With keys no phone number and no address is readable at rest, and all works as before."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr
from sqlalchemy import text

from services.cli import drain
from services.cli.stack import Stack, StackSettings
from services.client import Client
from services.contracts.errors import CuestreamError
from services.contracts.topics import KIND_HEADER
from services.runtime.database import make_engine
from services.runtime.sealed_records import PLAIN_KINDS, PLAIN_TOPICS
from services.runtime.sealing import is_frame
from services.runtime.settings import DatabaseSettings, KafkaSettings
from tests.dispatcher.counterparts import mail_end
from tests.e2e.test_privacy_live import Shop

PARTITIONS = 2
SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
PHONE, MAIL = "+8613800138000", "ann@shop.example"
OLD, NEW = (f"k{n}:{b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))

SEND = {"body": "We have {{ person.phone }} and {{ person.email }}"}
DEFINITIONS: list[dict[str, Any]] = [
    {"kind": "tag", "id": "orders", "aggregate": "count", "events": ["Order Completed"]},
    {
        "kind": "workspace",
        "id": "default",
        "cleaning": [{"id": "phones", "trait": "phone", "form": "phone", "region": "CN"}],
    },
    {
        "kind": "trigger",
        "id": "thank_you",
        "category": "transactional",
        "entry": {"events": ["Order Completed"]},
        "reentry": {"mode": "always"},
        "dedup": {"key": ["order_id"]},
        "steps": [
            {"send": {"channel": "mail", "content": {"subject": "Thanks", **SEND}}},
            {"send": {"channel": "inbox", "content": {"subject": "{{ person.email }}", **SEND}}},
            {
                "handoff": {
                    "to": "service",
                    "endpoint": "tasks",
                    "content": {"subject": "Call {{ person.phone }}", **SEND},
                }
            },
        ],
    },
    {
        "kind": "trigger",
        "id": "abroad",
        "entry": {"events": ["Order Completed"]},
        "audience": {"trait": "phone", "op": "starts_with", "value": "+1"},
        "steps": [{"send": {"channel": "log", "content": SEND}}],
    },
    {
        "kind": "trigger",
        "id": "later",
        "entry": {"events": ["Order Completed"]},
        "steps": [
            {"send": {"channel": "log", "content": SEND}},
            {"wait": {"for": "30d"}},
            {"send": {"channel": "log", "content": SEND}},
        ],
    },
]


def spellings(value: str) -> Iterator[bytes]:
    """How it would look as text, as bytes in a table, and within base64 at any offset."""
    raw = value.lstrip("+").encode()
    yield raw
    yield raw.hex().encode()
    for shift in range(3):
        # Of the characters those that nothing before or after it has a part in.
        first, end = -(-shift * 4 // 3), (shift + len(raw)) * 4 // 3
        yield b64encode(bytes(shift) + raw)[first:end]


CLEAR = [spelling for value in (PHONE, MAIL) for spelling in spellings(value)]


def shows(data: bytes) -> bool:
    """Whether a phone number or an address can be read in it."""
    return any(spelling in data for spelling in CLEAR)


async def topics_of(settings: KafkaSettings) -> dict[str, int]:
    """Every topic of this test, the changelog too, and how many partitions it has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        described = await admin.describe_topics()
    finally:
        await admin.close()
    return {
        one["topic"]: len(one["partitions"])
        for one in described
        if one["topic"].startswith(settings.topic_prefix)
    }


async def records(settings: KafkaSettings) -> AsyncIterator[Any]:
    """Every record as it stands in its topic, read by a client that knows nothing of keys."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [
            TopicPartition(name, number)
            for name, count in (await topics_of(settings)).items()
            for number in range(count)
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        left = set(partitions)
        async with asyncio.timeout(SECONDS_MAX):
            while left:
                for found in (await consumer.getmany(timeout_ms=200)).values():
                    for record in found:
                        yield record
                for one in list(left):
                    end = consumer.highwater(one)
                    if end is not None and await consumer.position(one) >= end:
                        left.discard(one)
    finally:
        await consumer.stop()


async def rows(database_url: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every row of every table of ours, as text; bytes are hexadecimal in it."""
    engine = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))
    tables = text(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type ="
        " 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    try:
        async with engine.connect() as connection:
            for schema, name in (await connection.execute(tables)).all():
                query = text(f'SELECT CAST(t AS text) FROM "{schema}"."{name}" AS t')
                for (row,) in await connection.execute(query):
                    yield f"{schema}.{name}", row.encode()
    finally:
        await engine.dispose()


class Site:
    """One broker and one database, over which stacks with different keys are run."""

    def __init__(self, kafka: KafkaSettings, database_url: str, folder: Path, mail: int) -> None:
        self.kafka = kafka.model_copy(update={"partitions": PARTITIONS})
        self.database_url = database_url
        self._folder = folder
        self._mail = mail
        self._runs = 0

    @asynccontextmanager
    async def running(self, keys: str) -> AsyncIterator[tuple[Stack, Shop]]:
        """All services with these keys."""
        self._runs += 1
        environment = {
            "CUESTREAM_SENSITIVE_KEYS": keys,
            "CUESTREAM_KAFKA_IDEMPOTENCE": str(self.kafka.kafka_idempotence),
            "CUESTREAM_KAFKA_SESSION_TIMEOUT_MS": str(self.kafka.kafka_session_timeout_ms),
            "CUESTREAM_DISPATCHER_MAIL_HOST": "127.0.0.1",
            "CUESTREAM_DISPATCHER_MAIL_PORT": str(self._mail),
            "CUESTREAM_DISPATCHER_MAIL_TLS": "none",
            "CUESTREAM_DISPATCHER_RETRY_MAX_SECONDS": "1",
            "CUESTREAM_DISPATCHER_ATTEMPTS_MAX": "100",
            "CUESTREAM_DISPATCHER_BREAKER_FAILURES": "10000",
        }
        settings = StackSettings(
            data_dir=self._folder / f"run{self._runs}",
            kafka=self.kafka.kafka,
            database_url=self.database_url,
            topic_prefix=self.kafka.topic_prefix,
            partitions=PARTITIONS,
            free_ports=True,
            environment=environment,
        )
        async with Stack(settings) as stack:
            shop = Shop(stack, {**stack.environment, "CUESTREAM_LOG_LEVEL": "error"})
            try:
                yield stack, shop
            finally:
                await shop.client.aclose()

    async def nothing_shows(self) -> dict[str, int]:
        """Look through all of it; how many records of each topic are sealed, by its key's id."""
        sealed: dict[str, int] = {}
        async for record in records(self.kafka):
            name = record.topic.removeprefix(self.kafka.topic_prefix)
            headers = dict(record.headers)
            assert not shows(record.value or b""), f"{name}@{record.offset} shows it"
            assert not shows(b" ".join(headers.values())), f"a header of {name} shows it"
            if is_frame(record.value):
                sealed[name] = sealed.get(name, 0) + 1
            elif record.value is not None and name not in PLAIN_TOPICS:
                assert headers.get(KIND_HEADER) in PLAIN_KINDS, f"{name}@{record.offset} is clear"
        seen = 0
        async for table, row in rows(self.database_url):
            seen += 1
            assert not shows(row), f"a row of {table} shows it"
        assert seen
        return sealed


def ledger(site: Site) -> Any:
    """A look at what the dispatcher holds: states of sends by channel."""

    async def look() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        engine = make_engine(DatabaseSettings(database_url=SecretStr(site.database_url)))
        try:
            async with engine.connect() as connection:
                query = text("SELECT channel, state FROM dispatcher.sends ORDER BY decided_at")
                for channel, state in await connection.execute(query):
                    found.setdefault(channel, []).append(state)
        finally:
            await engine.dispose()
        return found

    return look


async def order(shop: Shop, number: int, person: str = "ann") -> None:
    """Somebody orders, and says a phone number once more."""
    properties = {"order_id": str(number), "phone": PHONE}
    event = {"event": "Order Completed", "messageId": f"order{number}", "properties": properties}
    await shop.call("track", userId=person, **event)


@pytest.mark.embedded
@pytest.mark.xdist_group("stack")
@pytest.mark.timeout(500)
async def test_nothing_is_readable_at_rest_and_keys_rotate(
    tmp_path: Path, kafka_settings: KafkaSettings, database_url: str
) -> None:
    async with mail_end() as mailbox:
        mailbox.be("busy")
        site = Site(kafka_settings, database_url, tmp_path, mailbox.port)
        look = ledger(site)

        async def sent(times: int) -> Any:
            states = await look()
            done = all(
                [state in ("accepted", "delivered") for state in states.get(channel, ())]
                == [True] * times
                for channel in ("inbox", "webhook")
            )
            return done and len(states.get("mail", ())) == times

        async with site.running(OLD) as (stack, shop):
            await _define(stack, shop)
            await shop.call("identify", userId="ann", traits={"phone": PHONE, "email": MAIL})
            await shop.call("identify", userId="bob", traits={"phone": PHONE + "x", "email": MAIL})
            await _refused(shop, stack)
            await order(shop, 1)
            await shop.until(lambda: sent(1), "the first order's sends")
            sealed = await site.nothing_shows()
            assert {name for name, count in sealed.items() if count} >= {
                "events", "commands", "decisions", "profiles", "quality", "dead-letters",
                "triggers-state-changelog",
            }  # fmt: skip
            letter = await asyncio.to_thread(shop.cuestream, "dlq", "show", "0", "--raw")
            assert letter["code"] == "unknown_type"
            assert PHONE in json.dumps(letter)

        # Whose key was taken away while it is needed: nothing starts, and the log says why.
        with pytest.raises(CuestreamError):
            async with site.running(NEW):
                pass
        logs = {log.stem: log.read_text() for log in (tmp_path / "run2" / "logs").glob("*.log")}
        told = "sealed with key 'k1', which CUESTREAM_SENSITIVE_KEYS does not list"
        assert any(told in log for log in logs.values())
        assert "partitions recovered" not in logs["triggers_1"]

        # A worker that recovers, a send that waits: under a new first key, opened with the old.
        mailbox.be("accept")
        async with site.running(f"{NEW},{OLD}") as (stack, shop):
            await order(shop, 2)
            await shop.until(lambda: sent(2), "the second order's sends")

            async def mailed() -> bool:
                return mailbox.recipients == [MAIL, MAIL]

            await shop.until(mailed, "two mails to her address")
            assert PHONE in str(mailbox.mails[0])

            async def counted() -> Any:
                profile = await shop.profile("ann")
                return profile if profile["tags"]["orders"] == 2 else None

            assert (await shop.until(counted, "both orders"))["traits"]["phone"] == "***8000"
            known = await asyncio.to_thread(shop.cuestream, "privacy", "export", "ann")
            assert known["state"]["traits"]["email"] == MAIL
            assert PHONE in json.dumps(known["topics"]["commands"])
            await _looked_back(shop, stack)
            await site.nothing_shows()
            done = await asyncio.to_thread(shop.run, "privacy", "reseal")
            assert "\n0 states of people on the changelog under another key" in done

        # Nobody needs the old key any more, those neither to whom nothing happened since.
        async with site.running(NEW) as (_, shop):
            for number, person in ((3, "ann"), (4, "bob")):
                await order(shop, number, person)
            await shop.until(lambda: sent(4), "the last orders' sends")
            await site.nothing_shows()


async def _define(stack: Stack, shop: Shop) -> None:
    async with Client(stack.api_url, stack.api_token) as api:
        applied = await api.apply({"definitions": DEFINITIONS})
    revision = applied.body.revision
    assert revision is not None
    await drain.until(
        lambda: drain.in_force(shop.client, stack.triggers_urls, revision, PARTITIONS)
    )


async def _looked_back(shop: Shop, stack: Stack) -> None:
    """Whoever reads topics for people opens them, and masks what it tells."""
    answer = await shop.client.get(f"{stack.api_url}/v1/people/ann/why?trigger=abroad")
    assert "***8000" in answer.text
    assert not shows(answer.content)
    asked = {"triggers": ["abroad"], "events": "topic"}
    job = await shop.client.post(f"{stack.api_url}/v1/backtests", json=asked)
    assert job.is_success, job.text
    url = f"{stack.api_url}/v1/backtests/{job.json()['id']}"

    async def done() -> Any:
        found = (await shop.client.get(url)).json()
        return found if found["status"] in ("done", "failed") else None

    found = await shop.until(done, "a backtest over the topic")
    assert found["status"] == "done", found
    assert found["report"]["people"] == 2
    assert not shows(json.dumps(found).encode())


async def _refused(shop: Shop, stack: Stack) -> None:
    """A message that is none: ingest keeps it whole as a dead letter."""
    answer = await shop.client.post(
        f"{stack.ingest_url}/v1/batch",
        json={"batch": [{"type": "walk", "userId": "ann", "messageId": "w", "phone": PHONE}]},
        auth=(stack.write_key, ""),
    )
    assert answer.json()["refused"][0]["code"] == "unknown_type"


def test_the_look_finds_what_is_in_the_clear() -> None:
    letter = b64encode(f'{{"to":"{MAIL}"}}'.encode())
    for seen in (MAIL.encode(), f"tel {PHONE}".encode(), MAIL.encode().hex().encode(), letter):
        assert shows(seen)
    assert not shows(b"somebody@else.example")
