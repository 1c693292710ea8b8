"""Mail that comes back: what notices of several servers say, and what follows from it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import generate_latest
from pydantic import SecretStr

from services.contracts.codec import decode_pack
from services.contracts.errors import Transient
from services.contracts.event import Event
from services.contracts.topics import EVENTS, KIND_HEADER, KIND_PACK
from services.dispatcher.addresses import (
    MemoryAddresses,
    PostgresAddresses,
    Quarantine,
    digest_of,
)
from services.dispatcher.bounces import BounceFolder, Bounces, KnownSends
from services.dispatcher.dsn import NOTICE_BYTES_MAX, Bounce, read_bounce, verp
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.links import Link, Links
from services.dispatcher.public import Doors, add_doors
from services.dispatcher.receipts import KafkaEvents, Receipts
from services.dispatcher.settings import DispatcherSettings
from services.runtime.clock import WallClock
from services.runtime.kafka import make_producer
from services.runtime.metrics import Metrics
from services.runtime.problems import install_problems
from services.runtime.topic_reading import read_topic
from tests.dispatcher import notices
from tests.dispatcher.notices import SEND, WHO
from tests.dispatcher.support import ScriptedChannel, Stage, a_command, a_send_id

DIGEST = digest_of("mail", WHO)
TOKEN = "b" * 32


@pytest.mark.parametrize(
    ("name", "status", "about_address"),
    [
        ("POSTFIX", "5.1.1", True),
        ("SENDMAIL", "5.1.1", True),
        ("EXCHANGE", "5.1.10", True),
        ("EXIM", "5.1.1", True),
        ("GMAIL", "5.1.1", True),
        ("NULL_MX", "5.1.10", True),
        ("DISABLED", "5.2.1", True),
        ("QMAIL", "5.1.1", True),
        ("OLD_EXIM", "5.1.1", True),
        ("BY_ADDRESS", "5.1.1", True),
        ("BY_HEADER", "5.1.1", True),
        ("BY_REFERENCE", "5.1.1", True),
        ("SPAM", "5.7.1", False),
    ],
)
def test_a_hard_bounce_is_known_by_the_words_of_each_server(
    name: str, status: str, about_address: bool
) -> None:
    assert read_bounce(getattr(notices, name)) == Bounce(
        send_id=SEND, grade="hard", status=status, about_address=about_address
    )


@pytest.mark.parametrize("name", ["FULL", "DELAYED", "GAVE_UP"])
def test_what_may_arrive_yet_or_another_day_is_soft(name: str) -> None:
    bounce = read_bounce(getattr(notices, name))
    assert bounce is not None
    assert (bounce.send_id, bounce.grade, bounce.about_address) == (SEND, "soft", False)


@pytest.mark.parametrize(
    "raw",
    [
        notices.AWAY,
        notices.RELAYED,
        notices.report(copy="Subject: x\n"),
        b"",
        b"\x00\xff" * 100,
        b"Content-Type: multipart/report; boundary=x\n\n--x\n" * 200,
        notices.POSTFIX[:300],
    ],
    ids=["away", "relayed", "of whom", "empty", "noise", "nested", "cut"],
)
def test_what_is_no_notice_of_a_mail_of_ours_is_none(raw: bytes) -> None:
    assert read_bounce(raw) is None


def test_the_envelope_sender_names_the_send_within_64_characters() -> None:
    address = verp("a" * 31 + "@mail.example", SEND)
    assert len(address.partition("@")[0]) == 64
    named = notices.report(to=address, copy="Subject: x\n")
    bounce = read_bounce(named)
    assert bounce is not None
    assert bounce.send_id == SEND


class Sends:
    """Knows one mail."""

    def __init__(self, channel: str = "mail") -> None:
        self.channel = channel

    async def sent(self, send_id: str) -> Link | None:
        if send_id != SEND:
            return None
        return Link(send_id=SEND, person="ann", trigger="t", channel=self.channel, category="")

    async def address_of(self, send_id: str) -> bytes | None:
        return DIGEST if send_id == SEND else None


class Log:
    """The person's log, in memory; `away` as Kafka may be."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.away = False
        self.written = asyncio.Event()

    async def append(self, person: str, events: list[Event]) -> None:
        if self.away:
            raise Transient("away")
        self.events += events
        self.written.set()


class Place:
    """Bounces with all that they need, in memory."""

    def __init__(self, channel: str = "mail") -> None:
        self.log, self.metrics = Log(), Metrics()
        self.addresses = MemoryAddresses(Quarantine(failures=3, days=30))
        receipts = Receipts(WallClock(), self.metrics)
        receipts.attach(self.log)
        self.bounces = Bounces(
            sends=Sends(channel),
            receipts=receipts,
            addresses=self.addresses,
            metrics=self.metrics,
        )

    async def blocked(self) -> bool:
        """Whether the address is kept out."""
        return bool(await self.addresses.blocked([DIGEST]))

    def counted(self, kind: str) -> bool:
        """Whether exactly one of this kind was counted."""
        line = f'cuestream_dispatcher_bounces_total{{kind="{kind}"}} 1.0'
        return line in generate_latest(self.metrics.registry).decode()


async def test_a_hard_bounce_is_told_and_keeps_the_address_out_at_once() -> None:
    place = Place()
    await place.bounces.take(notices.POSTFIX)
    [event] = place.log.events
    assert (event.name, event.person, event.properties["send_id"]) == ("Email Bounced", "ann", SEND)
    assert event.properties["reason"] == "status 5.1.1"
    assert await place.blocked()
    assert place.counted("hard")


async def test_a_refusal_of_the_message_is_told_and_keeps_nobody_out() -> None:
    place = Place()
    await place.bounces.take(notices.SPAM)
    assert [event.name for event in place.log.events] == ["Email Bounced"]
    assert not await place.blocked()


async def test_a_soft_bounce_is_counted_and_nothing_else() -> None:
    place = Place()
    await place.bounces.take(notices.FULL)
    assert (place.log.events, await place.blocked()) == ([], False)
    assert place.counted("soft")


@pytest.mark.parametrize("channel", ["sms", "webhook"])
async def test_nothing_is_believed_of_sends_that_were_no_mail(channel: str) -> None:
    place = Place(channel)
    assert await place.bounces.take(notices.POSTFIX) is None
    assert (place.log.events, await place.blocked()) == ([], False)
    assert place.counted("unknown")


async def test_a_notice_told_again_has_the_same_message_id() -> None:
    place = Place()
    for _ in range(2):
        await place.bounces.take(notices.POSTFIX)
    assert len({event.message_id for event in place.log.events}) == 1


# The doors.


@pytest.fixture
async def door() -> AsyncIterator[tuple[Place, httpx.AsyncClient]]:
    place, app = Place(), FastAPI()
    install_problems(app)
    doors = Doors(
        links=Links("https://m.example.com", ["k" * 32]),
        receipts=Receipts(WallClock(), Metrics()),
        sends=Sends(),  # type: ignore[arg-type]  # asked by no door of these
        bounces=place.bounces,
        bounce_token=TOKEN,
    )
    add_doors(app, doors)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://m.example.com") as http:
        yield place, http


async def test_a_mail_server_pipes_the_raw_message(
    door: tuple[Place, httpx.AsyncClient],
) -> None:
    place, http = door
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    answer = await http.post("/p/mail/bounces", content=notices.POSTFIX, headers=bearer)
    assert (answer.status_code, answer.json()) == (200, {"taken": "hard"})
    answer = await http.post("/p/mail/bounces", content=b"hello", headers=bearer)
    assert (answer.status_code, answer.json()) == (200, {"taken": None})
    assert len(place.log.events) == 1


async def test_a_provider_posts_a_form_to_a_secret_address(
    door: tuple[Place, httpx.AsyncClient],
) -> None:
    place, http = door
    form = urlencode({"recipient": "x", "body-mime": notices.GMAIL}).encode()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = await http.post(f"/p/mail/bounces/{TOKEN}", content=form, headers=kind)
    assert answer.json() == {"taken": "hard"}
    assert await place.blocked()


async def test_nobody_else_is_let_in(door: tuple[Place, httpx.AsyncClient]) -> None:
    place, http = door
    for path in ("/p/mail/bounces", "/p/mail/bounces/wrong"):
        assert (await http.post(path, content=notices.POSTFIX)).status_code == 401
    large = b"x" * (NOTICE_BYTES_MAX + 1)
    assert (await http.post(f"/p/mail/bounces/{TOKEN}", content=large)).status_code == 413
    assert place.log.events == []


async def test_while_the_log_is_away_it_is_to_be_brought_again(
    door: tuple[Place, httpx.AsyncClient],
) -> None:
    place, http = door
    place.log.away = True
    answer = await http.post(f"/p/mail/bounces/{TOKEN}", content=notices.POSTFIX)
    assert answer.status_code == 503


# The folder.


def a_folder(path: Path, **messages: bytes) -> Path:
    """A Maildir with these in `new`."""
    for name in ("new", "cur", "tmp"):
        (path / name).mkdir()
    for name, raw in messages.items():
        (path / "new" / name).write_bytes(raw)
    return path


async def test_a_folder_is_emptied_and_what_was_in_it_kept(tmp_path: Path) -> None:
    place = Place()
    folder = BounceFolder(a_folder(tmp_path, a=notices.POSTFIX, b=b"else"), place.bounces)
    assert await folder.look() is False
    assert sorted(one.name for one in (tmp_path / "cur").iterdir()) == ["a:2,S", "b:2,S"]
    assert list((tmp_path / "new").iterdir()) == []
    assert len(place.log.events) == 1


async def test_what_cannot_be_kept_stays_in_the_folder(tmp_path: Path) -> None:
    place = Place()
    folder = BounceFolder(a_folder(tmp_path, a=notices.POSTFIX), place.bounces)
    place.log.away = True
    with pytest.raises(Transient):
        await folder.look()
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["a"]
    place.log.away = False
    await folder.look()
    assert len(place.log.events) == 1


async def test_a_folder_is_looked_through_until_the_end(tmp_path: Path) -> None:
    place, stop = Place(), asyncio.Event()
    folder = BounceFolder(a_folder(tmp_path, a=notices.POSTFIX), place.bounces)
    running = asyncio.create_task(folder.run(stop))
    async with asyncio.timeout(5):
        await place.log.written.wait()
    stop.set()
    await running
    assert len(place.log.events) == 1


@pytest.mark.embedded
async def test_a_mail_that_was_accepted_comes_back_into_ledger_log_and_quarantine(
    stage: Stage, settings: DispatcherSettings
) -> None:
    channel = ScriptedChannel()
    await stage.produce([a_command(1, channel="mail", to=WHO), a_command(2)])
    async with stage.dispatching({"mail": channel, "log": ScriptedChannel()}):
        await stage.settled(2)
        addresses = PostgresAddresses(stage.engine, Quarantine(failures=3, days=30))
        changes = LedgerChanges(stage.engine)
        sends = KnownSends(stage.reader, changes)
        assert await sends.address_of(a_send_id(2)) is None
        producer, receipts = make_producer(settings), Receipts(WallClock(), Metrics())
        await producer.start()
        receipts.attach(KafkaEvents(producer, settings), changes)
        bounces = Bounces(sends=sends, receipts=receipts, addresses=addresses, metrics=Metrics())
        assert await bounces.take(notices.POSTFIX) is not None
        await producer.stop()
        await stage.produce([a_command(3, channel="mail", to=WHO)])
        await stage.settled(3)
    [bounced] = await stage.reader.of_person("person-1")
    [spared] = await stage.reader.of_person("person-3")
    assert bounced.state == "bounced"
    assert (spared.state, spared.reason) == ("failed", "quarantined: bounced: 5.1.1")
    names = [
        event.name
        async for record in read_topic(settings, EVENTS, timeout_seconds=10)
        if (KIND_HEADER, KIND_PACK) in record.headers
        for event in decode_pack(record.value)
    ]
    assert names == ["Email Bounced"]


def test_a_short_token_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="dispatcher_bounce_token"):
        DispatcherSettings(dispatcher_bounce_token=SecretStr("short"))
