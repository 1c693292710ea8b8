"""The doors that are open to the world, below /p/: what people and providers send back to us.

Nobody logs in here: each address is sealed (see `links`), or each call is signed.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from html import escape
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from services.contracts.errors import Transient
from services.dispatcher.bounces import Bounces
from services.dispatcher.dsn import NOTICE_BYTES_MAX
from services.dispatcher.links import PATHS, Link, Links, Purpose
from services.dispatcher.receipts import KINDS, Kind, Receipt, Receipts
from services.dispatcher.signing import verified
from services.runtime.logs import get_logger

BODY_BYTES_MAX: Final = 256 * 1024
REPORTS_MAX: Final = 1000
"""Reports that a provider may tell of in one call."""
_FORM: Final = "application/x-www-form-urlencoded"
_NOTICE_FIELDS: Final = ("body-mime", "email", "message", "raw")
"""How providers call the raw message in their forms."""

_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_HEADERS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "x-content-type-options": "nosniff",
}
_PAGE_HEADERS: Final = {
    **_HEADERS,
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; "
    "style-src 'unsafe-inline'",
}
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:1rem/1.5 sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1rem;margin:.5rem .5rem 0 0}}</style>
<h1>{title}</h1>{rest}</html>"""
_NAMES: Final = {"mail": "e-mails", "sms": "text messages", "push": "push notifications"}
_TWILIO: Final[dict[str, Kind]] = {
    "delivered": "delivered",
    "undelivered": "bounced",
    "failed": "bounced",
    "read": "opened",
}

_log = get_logger(__name__)


class Sends(Protocol):
    """Knows whose a send was."""

    async def find(self, send_id: UUID) -> Any:
        """An entry with `person`, `trigger` and `channel`; None for an unknown one."""


class Doors:
    """What the doors need. `twilio` and `aliyun` hold the secrets of providers by their names;
    `receipt_keys` sign what anybody else tells us; `bounce_token` lets in whoever brings mails
    that came back."""

    def __init__(
        self,
        *,
        links: Links,
        receipts: Receipts,
        sends: Sends,
        receipt_keys: tuple[bytes, ...] = (),
        twilio: Mapping[str, str] | None = None,
        aliyun: Mapping[str, str] | None = None,
        bounces: Bounces | None = None,
        bounce_token: str = "",
    ) -> None:
        self.links = links
        self.receipts = receipts
        self.sends = sends
        self.receipt_keys = receipt_keys
        self.twilio = dict(twilio or {})
        self.aliyun = dict(aliyun or {})
        self.bounces = bounces
        self.bounce_token = bounce_token

    def read(self, purpose: Purpose, token: str) -> Link:
        """What a link of ours stands for.

        Raises:
            HTTPException: 404, it is none.
        """
        link = self.links.read(purpose, token)
        if link is None:
            raise HTTPException(404, "no such link")
        return link

    async def sent(self, send_id: str) -> Link | None:
        """Whose a send was, by the ledger."""
        try:
            known = await self.sends.find(UUID(send_id))
        except ValueError:
            return None
        if known is None:
            return None
        return Link(
            send_id=str(UUID(send_id)),
            person=known.person,
            trigger=known.trigger,
            channel=known.channel,
            category="",
        )


router: Final = APIRouter(prefix="/p", include_in_schema=False)


def _doors(request: Request) -> Doors:
    doors: Doors | None = request.app.state.doors
    if doors is None:
        raise HTTPException(404, "no links are made here")
    return doors


async def _note(doors: Doors, receipt: Receipt) -> None:
    """Take a receipt of somebody who must not be kept waiting for our log."""
    try:
        await doors.receipts.take(receipt)
    except Transient as error:
        _log.warning("a receipt is lost", kind=receipt.kind, reason=str(error))


@router.api_route("/o/{token}.gif", methods=["GET", "HEAD"])
async def opened(request: Request, token: str) -> Response:
    """The image of a mail that is looked at."""
    doors = _doors(request)
    link = doors.read("open", token)
    if request.method == "GET":
        await _note(doors, Receipt(kind="opened", sent=link))
    return Response(_GIF, media_type="image/gif", headers=_HEADERS)


@router.api_route("/c/{token}", methods=["GET", "HEAD"])
async def clicked(request: Request, token: str) -> Response:
    """On to where the link leads; only to what we sealed ourselves."""
    doors = _doors(request)
    link = doors.read("click", token)
    if not link.url.lower().startswith(("https://", "http://")):
        raise HTTPException(404, "no such link")
    if request.method == "GET":
        await _note(doors, Receipt(kind="clicked", sent=link, url=link.url))
    return RedirectResponse(link.url, 302, headers=_HEADERS)


@router.get("/u/{token}")
async def unsubscribe_page(request: Request, token: str) -> Response:
    """Asks first: what looks at every link in a mail unsubscribes nobody."""
    link = _doors(request).read("unsubscribe", token)
    name = _NAMES.get(link.channel, "messages")
    rest = (
        f'<form method="post"><p>You will get no more marketing {escape(name)} from us.</p>'
        f'<button name="scope" value="channel">No more {escape(name)}</button>'
        '<button name="scope" value="all">No marketing at all</button></form>'
    )
    return HTMLResponse(_PAGE.format(title="Unsubscribe", rest=rest), headers=_PAGE_HEADERS)


@router.post("/u/{token}")
async def unsubscribe(request: Request, token: str) -> Response:
    """The one click of RFC 8058, or the page's buttons; a repeat changes nothing."""
    doors = _doors(request)
    link = doors.read("unsubscribe", token)
    form = dict(parse_qsl((await _body(request)).decode(errors="replace")))
    everything = form.get("scope") == "all"
    await doors.receipts.take(Receipt(kind="unsubscribed", sent=link, everything=everything))
    rest = "<p>You are unsubscribed.</p>"
    return HTMLResponse(_PAGE.format(title="Done", rest=rest), headers=_PAGE_HEADERS)


@router.post("/r/{token}")
async def twilio_status(request: Request, token: str) -> Response:
    """A message's status by Twilio's callback, signed with the account's token."""
    doors = _doors(request)
    link = doors.read("status", token)
    secret = doors.twilio.get(link.url)
    pairs = parse_qsl((await _body(request)).decode(errors="replace"), keep_blank_values=True)
    url = f"{doors.links.base_url}{PATHS['status']}{token}"
    given = request.headers.get("x-twilio-signature", "")
    if secret is None or not _same(given, twilio_signature(secret, url, pairs)):
        raise HTTPException(403, "the signature does not fit")
    form = dict(pairs)
    kind = _TWILIO.get(form.get("MessageStatus", ""))
    if kind is not None:
        code = form.get("ErrorCode", "")
        reason = f"code {code}" if code.isdecimal() else ""
        sent = msgspec.structs.replace(link, url="")
        await doors.receipts.take(Receipt(kind=kind, sent=sent, reason=reason))
    return Response(status_code=204)


@router.post("/aliyun/{name}/{token}")
async def aliyun_reports(request: Request, name: str, token: str) -> Response:
    """Delivery reports pushed by Alibaba Cloud, which signs nothing: the address is secret."""
    doors = _doors(request)
    secret = doors.aliyun.get(name)
    if not secret or not _same(token, secret):
        raise HTTPException(404, "no such place")
    try:
        reports = msgspec.json.decode(await _body(request), type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise HTTPException(400, "not a list of reports") from error
    for report in reports[:REPORTS_MAX]:
        sent = await doors.sent(str(report.get("out_id", "")))
        if sent is not None:
            kind: Kind = "delivered" if report.get("success") is True else "bounced"
            code = str(report.get("err_code", ""))[:50]
            reason = "" if kind == "delivered" else f"code {code}"
            await doors.receipts.take(Receipt(kind=kind, sent=sent, reason=reason))
    return Response(b'{"code":0,"msg":"ok"}', media_type="application/json")


class _Told(msgspec.Struct):
    send_id: str
    reason: str = ""
    url: str = ""


class _Standard(msgspec.Struct):
    type: Kind
    data: _Told


@router.post("/receipts")
async def signed_receipt(request: Request) -> Response:
    """Anybody's word on a send, signed after Standard Webhooks."""
    doors = _doors(request)
    body = await _body(request)
    headers = {name: request.headers.get(name, "") for name in request.headers}
    if not doors.receipt_keys or not verified(doors.receipt_keys, headers, body, time.time()):
        raise HTTPException(401, "the signature does not fit")
    try:
        told = msgspec.json.decode(body, type=_Standard)
    except msgspec.DecodeError as error:
        kinds = ", ".join(KINDS)
        raise HTTPException(400, f"type is one of {kinds}, data holds send_id") from error
    sent = await doors.sent(told.data.send_id)
    if sent is None:
        raise HTTPException(404, "no such send")
    receipt = Receipt(kind=told.type, sent=sent, reason=told.data.reason, url=told.data.url)
    await doors.receipts.take(receipt)
    return Response(status_code=204)


@router.post("/mail/bounces")
async def mail_came_back(request: Request) -> Response:
    """A mail that came back, as a mail server pipes it or a provider posts it: raw or in a form."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return await _take_notice(request, given.strip() if scheme.lower() == "bearer" else "")


@router.post("/mail/bounces/{token}")
async def mail_came_back_to(request: Request, token: str) -> Response:
    """The same for whoever can set no header: the address is secret."""
    return await _take_notice(request, token)


async def _take_notice(request: Request, given: str) -> Response:
    doors = _doors(request)
    if doors.bounces is None or not doors.bounce_token or not _same(given, doors.bounce_token):
        raise HTTPException(404 if doors.bounces is None else 401, "the token does not fit")
    raw = await _body(request, NOTICE_BYTES_MAX)
    if request.headers.get("content-type", "").startswith(_FORM):
        fields = dict(parse_qsl(raw.decode(errors="surrogateescape"), errors="surrogateescape"))
        found = next((fields[name] for name in _NOTICE_FIELDS if name in fields), "")
        raw = found.encode(errors="surrogateescape")
    bounce = await doors.bounces.take(raw)
    # Whatever it was, nobody has to bring it again.
    return JSONResponse({"taken": None if bounce is None else bounce.grade})


def twilio_signature(secret: str, url: str, pairs: list[tuple[str, str]]) -> str:
    """Twilio's signature of a form that was posted to `url`: HMAC-SHA1 over both."""
    content = url + "".join(name + value for name, value in sorted(set(pairs)))
    digest = hmac.new(secret.encode(), content.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


async def _body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    parts = []
    size = 0
    async for chunk in request.stream():
        parts.append(chunk)
        size += len(chunk)
        if size > bytes_max:
            raise HTTPException(413, "too long")
    return b"".join(parts)


def add_doors(app: FastAPI, doors: Doors | None) -> None:
    """Open them, or with None answer 404 everywhere below /p/."""
    app.state.doors = doors
    app.include_router(router)
