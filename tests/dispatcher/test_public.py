"""The doors to the world: looks, clicks, unsubscribing, what providers tell; and who is let in."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from services.contracts.errors import Transient
from services.contracts.event import Event
from services.dispatcher.ledger_reads import Entry
from services.dispatcher.links import Links
from services.dispatcher.public import BODY_BYTES_MAX, Doors, add_doors, twilio_signature
from services.dispatcher.receipts import Receipt, Receipts, events_of, name_of
from services.dispatcher.signing import sign
from services.runtime.clock import ReplayClock, WallClock
from services.runtime.metrics import Metrics
from services.runtime.problems import install_problems
from tests.dispatcher.support import a_message, a_send_id

BASE = "https://m.example.com"
KEY = b"r" * 32
LINKS = Links(BASE, ["k" * 32])
MESSAGE = a_message(1, channel="mail", person="ann")


class Log:
    """The person's log, in memory; `away` as Kafka may be."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.away = False

    async def append(self, person: str, events: list[Event]) -> None:
        if self.away:
            raise Transient("away")
        assert {event.person for event in events} == {person}
        self.events += events

    @property
    def names(self) -> list[str]:
        """Names of what was written."""
        return [event.name for event in self.events]


class States:
    """Keeps what is said of sends."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    async def receipt(self, send_id: str, state: str, *, reason: str, at: int) -> bool:
        self.told.append((send_id, state, reason))
        return True


class Ledger:
    """Knows send 1 alone."""

    async def find(self, send_id: UUID) -> Entry | None:
        if str(send_id) != a_send_id(1):
            return None
        values: dict[str, Any] = dict.fromkeys(Entry.__struct_fields__)
        return Entry(**{**values, "person": "ann", "trigger": "welcome", "channel": "sms"})


class World:
    """Somebody outside, with a look behind the doors."""

    def __init__(self, http: httpx.AsyncClient, log: Log, states: States) -> None:
        self.http = http
        self.log = log
        self.states = states

    async def get(self, url: str) -> httpx.Response:
        """GET what stands below the public address."""
        return await self.http.get(url.removeprefix(BASE))

    async def post(self, url: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """POST it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(url.removeprefix(BASE), content=content, headers=named)


def make_app(log: Log | None, states: States) -> FastAPI:
    """An application of nothing but doors."""
    app = FastAPI()
    install_problems(app)
    receipts = Receipts(WallClock(), Metrics())
    if log is not None:
        receipts.attach(log, states)
    doors = Doors(
        links=LINKS,
        receipts=receipts,
        sends=Ledger(),
        receipt_keys=(KEY,),
        twilio={"main": "token"},
        aliyun={"cn": "pushed-here", "off": ""},
    )
    add_doors(app, doors)
    return app


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Doors with a log behind them."""
    log, states = Log(), States()
    transport = httpx.ASGITransport(make_app(log, states))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        yield World(http, log, states)


async def test_a_look_at_a_mail_is_an_event(world: World) -> None:
    answer = await world.get(LINKS.opened(MESSAGE))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    (event,) = world.log.events
    assert (event.name, event.person, event.type) == ("Email Opened", "ann", "track")
    assert event.properties == {
        "send_id": a_send_id(1),
        "trigger": "welcome",
        "channel": "mail",
        "category": "marketing",
    }
    assert event.user_id is None, "a receipt says nothing about who is who"


async def test_a_click_leads_where_the_mail_said_and_is_an_event(world: World) -> None:
    answer = await world.get(LINKS.clicked(MESSAGE, "https://shop.example/?a=1&b=ä"))
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("https://shop.example/?a=1&b=")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert world.log.names == ["Email Link Clicked"]
    assert world.log.events[0].properties["url"] == "https://shop.example/?a=1&b=ä"


@pytest.mark.parametrize("path", ["/p/o/AAAA.gif", "/p/c/AAAA", "/p/u/AAAA", "/p/c/%00", "/p/c/ä"])
async def test_what_we_did_not_seal_leads_nowhere(world: World, path: str) -> None:
    assert (await world.get(path)).status_code == 404
    assert world.log.events == []


async def test_no_door_leads_to_a_place_that_somebody_else_chose(world: World) -> None:
    good = LINKS.clicked(MESSAGE, "https://shop.example/")
    for url in (f"{good}?url=https://evil.example/", f"{good}?next=//evil.example"):
        assert (await world.get(url)).headers["location"] == "https://shop.example/"
    assert (await world.get(f"{good}//evil.example")).status_code == 404
    foreign = Links(BASE, ["z" * 32]).clicked(MESSAGE, "https://evil.example/")
    assert (await world.get(foreign)).status_code == 404
    scripted = LINKS.clicked(MESSAGE, "javascript:alert(1)")
    assert (await world.get(scripted)).status_code == 404


@pytest.mark.parametrize("url", [LINKS.opened(MESSAGE), LINKS.clicked(MESSAGE, "https://x.y/")])
async def test_a_scanner_that_only_asks_for_heads_counts_as_nobody(world: World, url: str) -> None:
    answer = await world.http.head(url.removeprefix(BASE))
    assert answer.status_code in (200, 302)
    assert world.log.events == []


async def test_people_get_on_while_the_log_is_away(world: World) -> None:
    world.log.away = True
    assert (await world.get(LINKS.opened(MESSAGE))).status_code == 200
    assert (await world.get(LINKS.clicked(MESSAGE, "https://x.y/"))).status_code == 302


async def test_a_look_at_the_page_unsubscribes_nobody(world: World) -> None:
    answer = await world.get(LINKS.unsubscribe(MESSAGE))
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert world.log.events == []


async def test_one_click_takes_consent_for_the_channel_back(world: World) -> None:
    # RFC 8058 section 3.2: a POST with this body, no cookies, no redirect in the answer.
    answer = await world.post(
        LINKS.unsubscribe(MESSAGE),
        b"List-Unsubscribe=One-Click",
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    said, consent = world.log.events
    assert said.name == "Unsubscribed"
    assert (consent.type, consent.name) == ("identify", "$identify")
    assert consent.traits == {"consent": {"mail": False}}


async def test_one_click_may_come_as_multipart_too(world: World) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
        b"One-Click\r\n--b--\r\n"
    )
    answer = await world.post(
        LINKS.unsubscribe(MESSAGE), body, content_type="multipart/form-data; boundary=b"
    )
    assert answer.status_code == 200
    assert world.log.events[1].traits == {"consent": {"mail": False}}


async def test_who_wants_nothing_at_all_gets_nothing_at_all(world: World) -> None:
    await world.post(LINKS.unsubscribe(MESSAGE), b"scope=all")
    assert world.log.events[1].traits == {"consent": {"marketing": False}}


async def test_unsubscribing_is_not_confirmed_before_it_is_written(world: World) -> None:
    world.log.away = True
    answer = await world.post(LINKS.unsubscribe(MESSAGE), b"List-Unsubscribe=One-Click")
    assert answer.status_code == 503


async def test_before_there_is_a_log_nothing_is_confirmed() -> None:
    transport = httpx.ASGITransport(make_app(None, States()))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        answer = await http.post(LINKS.unsubscribe(MESSAGE).removeprefix(BASE))
        assert answer.status_code == 503


def twilio(url: str, form: dict[str, str], token: str = "token") -> dict[str, Any]:
    """A callback as Twilio posts it."""
    content = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.new(token.encode(), content.encode(), hashlib.sha1).digest()
    return {
        "content": urlencode(form).encode(),
        "x_twilio_signature": base64.b64encode(digest).decode(),
        "content_type": "application/x-www-form-urlencoded",
    }


def test_the_signature_agrees_with_the_example_of_twilio() -> None:
    # From its documents on the security of requests.
    pairs = [
        ("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"),
        ("From", "+14158675309"), ("To", "+18005551212"),
    ]  # fmt: skip
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_signature("12345", url, pairs) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    again = [("Sid", "CA123"), ("SidAccount", "AC123")]
    again += [("Digits", digits) for digits in ("5678", "1234", "1234")]
    assert twilio_signature("12345", url, again) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


@pytest.mark.parametrize(
    ("status", "names", "states"),
    [
        ("delivered", ["SMS Delivered"], [(a_send_id(1), "delivered", "")]),
        ("undelivered", ["SMS Bounced"], [(a_send_id(1), "bounced", "code 30003")]),
        ("failed", ["SMS Bounced"], [(a_send_id(1), "bounced", "code 30003")]),
        ("read", ["SMS Opened"], []),
        ("sent", [], []),
        ("nonsense", [], []),
    ],
)
async def test_twilio_tells_what_became_of_a_message(
    world: World, status: str, names: list[str], states: list[tuple[str, str, str]]
) -> None:
    url = LINKS.status(msgspec.structs.replace(MESSAGE, channel="sms"), "main")
    form = {"MessageSid": "SM1", "MessageStatus": status, "To": "+1", "Empty": ""}
    if names == ["SMS Bounced"]:
        form["ErrorCode"] = "30003"
    assert (await world.post(url, **twilio(url, form))).status_code == 204
    assert world.log.names == names
    assert world.states.told == states


async def test_what_twilio_did_not_sign_is_not_believed(world: World) -> None:
    url = LINKS.status(MESSAGE, "main")
    form = {"MessageStatus": "delivered"}
    forged = twilio(url, form, token="guess")
    assert (await world.post(url, **forged)).status_code == 403
    changed = {**twilio(url, form), "content": b"MessageStatus=failed"}
    assert (await world.post(url, **changed)).status_code == 403
    assert (await world.post(url, b"MessageStatus=delivered")).status_code == 403
    unknown = LINKS.status(MESSAGE, "gone")
    assert (await world.post(unknown, **twilio(unknown, form))).status_code == 403
    assert world.log.events == []


async def test_alibaba_cloud_pushes_many_reports_to_a_secret_place(world: World) -> None:
    reports = [
        {"phone_number": "1", "success": True, "err_code": "DELIVERED", "out_id": a_send_id(1)},
        {"phone_number": "1", "success": False, "err_code": "UNKNOWN", "out_id": a_send_id(1)},
        {"phone_number": "1", "success": True, "out_id": a_send_id(2)},
        {"phone_number": "1", "success": True, "out_id": "of another system"},
    ]
    answer = await world.post("/p/aliyun/cn/pushed-here", json.dumps(reports).encode())
    assert answer.json() == {"code": 0, "msg": "ok"}
    assert world.log.names == ["SMS Delivered", "SMS Bounced"]
    assert world.states.told[1] == (a_send_id(1), "bounced", "code UNKNOWN")


@pytest.mark.parametrize("path", ["cn/guess", "off/", "off/x", "gone/pushed-here", "cn/é"])
async def test_the_place_of_reports_has_to_be_known(world: World, path: str) -> None:
    answer = await world.post(f"/p/aliyun/{path}", b"[]")
    assert answer.status_code in (404, 405)


def signed(value: object, *, key: bytes = KEY, at: float | None = None) -> dict[str, Any]:
    """A receipt after Standard Webhooks."""
    body = json.dumps(value).encode()
    stamp = int(time.time() if at is None else at)
    return {
        "content": body,
        "webhook_id": "msg_1",
        "webhook_timestamp": str(stamp),
        "webhook_signature": "v1,AAAA " + sign(key, "msg_1", stamp, body),
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("delivered", "SMS Delivered"),
        ("bounced", "SMS Bounced"),
        ("opened", "SMS Opened"),
        ("clicked", "SMS Link Clicked"),
        ("complained", "SMS Marked as Spam"),
        ("unsubscribed", "Unsubscribed"),
    ],
)
async def test_anybody_with_a_secret_can_tell_of_a_send(world: World, kind: str, name: str) -> None:
    told = {"type": kind, "data": {"send_id": a_send_id(1), "reason": "x" * 500}}
    assert (await world.post("/p/receipts", **signed(told))).status_code == 204
    assert world.log.names[0] == name
    assert len(world.log.events[0].properties["reason"]) == 200
    refuses = [event.traits for event in world.log.events[1:]]
    takes_back = kind in ("complained", "unsubscribed")
    assert refuses == ([{"consent": {"sms": False}}] if takes_back else [])


async def test_a_receipt_that_is_forged_or_old_is_not_believed(world: World) -> None:
    told = {"type": "delivered", "data": {"send_id": a_send_id(1)}}
    for wrong in (
        signed(told, key=b"x" * 32),
        signed(told, at=time.time() - 600),
        signed(told, at=time.time() + 600),
        {**signed(told), "webhook_id": "msg_2"},
        {**signed(told), "webhook_timestamp": "soon"},
        {**signed(told), "content": b"{}"},
        {"content": json.dumps(told).encode()},
    ):
        assert (await world.post("/p/receipts", **wrong)).status_code == 401
    assert world.log.events == []


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"type": "delivered", "data": {"send_id": a_send_id(2)}}, 404),
        ({"type": "delivered", "data": {"send_id": "1"}}, 404),
        ({"type": "eaten", "data": {"send_id": a_send_id(1)}}, 400),
        ({"type": "delivered"}, 400),
        ([], 400),
    ],
)
async def test_a_receipt_of_nothing_we_know_is_refused(
    world: World, told: object, status: int
) -> None:
    assert (await world.post("/p/receipts", **signed(told))).status_code == status


async def test_no_body_without_end_is_read(world: World) -> None:
    answer = await world.post(LINKS.unsubscribe(MESSAGE), b"x" * (BODY_BYTES_MAX + 1))
    assert answer.status_code == 413


def test_a_receipt_told_twice_has_the_same_message_ids() -> None:
    link = LINKS.read("open", LINKS.opened(MESSAGE).rpartition("/")[2].removesuffix(".gif"))
    assert link is not None
    now = ReplayClock().stamp(1_700_000_000_000_000)
    for kind in ("delivered", "bounced", "opened", "complained"):
        receipt = Receipt(kind=kind, sent=link)
        first = [event.message_id for event in events_of(receipt, now)]
        later = [event.message_id for event in events_of(receipt, now + 3600 * 10**6)]
        assert first == later
    ids = {
        events_of(Receipt(kind="clicked", sent=link, url=url), now + minute * 60 * 10**6)[
            0
        ].message_id
        for url in ("https://a.b/1", "https://a.b/2")
        for minute in (0, 1)
    }
    assert len(ids) == 4


def test_events_are_named_by_their_channel() -> None:
    assert name_of("opened", "push") == "Push Notification Opened"
    assert name_of("delivered", "webhook") == "Message Delivered"
