"""HTTP of the inbox: the app fetches, marks as read, and listens (server-sent events).

The app shows a token that the shop's own backend has asked for (`/v1/inbox/tokens`): it is
sealed like a link, names the person, and ends by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Protocol
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from services.contracts.errors import Transient
from services.contracts.event import PERSON_CHARS_MAX
from services.dispatcher.inbox import ITEMS_MAX, READ_TOGETHER_MAX, InboxStore, Item
from services.dispatcher.inbox_stream import InboxStreams
from services.dispatcher.links import Link, Links
from services.dispatcher.receipts import Receipt, Receipts
from services.runtime.bearer import require_token
from services.runtime.logs import get_logger

TOKEN_SECONDS_MAX: Final = 30 * 86_400
KEEPALIVE_SECONDS: Final = 20.0
"""Proxies drop what is silent for a minute."""
SEEN_MAX: Final = 4 * ITEMS_MAX

_log = get_logger(__name__)


class TokenRequest(BaseModel):
    """Who the token is for, and for how long."""

    person: Annotated[str, Field(min_length=1, max_length=PERSON_CHARS_MAX)]
    seconds: Annotated[int, Field(ge=60, le=TOKEN_SECONDS_MAX)] = 86_400


class InboxToken(BaseModel):
    """What the app shows; `expires_at` in microseconds."""

    token: str
    expires_at: int


class Message(BaseModel):
    """One message. Instants in microseconds; `seq` pages and resumes."""

    model_config = ConfigDict(from_attributes=True)

    message_id: str
    seq: int
    trigger: str
    category: str
    title: str
    body: str
    created_at: int
    expires_at: int | None
    read_at: int | None


class Messages(BaseModel):
    """The newest first; `unread` counts all that there are, not only those on this page."""

    messages: list[Message]
    unread: int


class ReadRequest(BaseModel):
    """Which messages have been read."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=READ_TOGETHER_MAX)]


class ReadAnswer(BaseModel):
    """How many were not read before."""

    read: int


class Store(Protocol):
    """What this page needs of the inbox."""

    async def of_person(
        self, person: str, *, unread: bool = False, before: int = ..., limit: int = ...
    ) -> list[Item]:
        """See `InboxStore.of_person`."""


class InboxDoors:
    """What the endpoints need."""

    def __init__(
        self, *, links: Links, store: InboxStore, streams: InboxStreams, receipts: Receipts
    ) -> None:
        self.links = links
        self.store = store
        self.streams = streams
        self.receipts = receipts


_NO_INBOX: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "no inbox is kept here"}}
_NO_TOKEN: Final[dict[int | str, dict[str, Any]]] = {401: {"description": "no valid inbox token"}}

tokens_router: Final = APIRouter(
    prefix="/v1/inbox", dependencies=[Depends(require_token)], responses=_NO_INBOX
)
router: Final = APIRouter(prefix="/p/inbox", responses={**_NO_INBOX, **_NO_TOKEN})


def _doors(request: Request) -> InboxDoors:
    doors: InboxDoors | None = request.app.state.inbox
    if doors is None:
        raise HTTPException(404, "no inbox is kept here: it needs a public address and keys")
    return doors


def _person(request: Request, token: Annotated[str | None, Query(max_length=4096)] = None) -> str:
    """Whose inbox: by `Authorization: Bearer`, or `?token=` where headers cannot be set."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    presented = given.strip() if scheme.lower() == "bearer" else token
    person = None if presented is None else _doors(request).links.read_pass(presented, time.time())
    if person is None:
        raise HTTPException(
            401, "a valid inbox token is needed", headers={"WWW-Authenticate": "Bearer"}
        )
    return person


Doors = Annotated[InboxDoors, Depends(_doors)]
Person = Annotated[str, Depends(_person)]


@tokens_router.post("/tokens")
async def make_token(asked: TokenRequest, doors: Doors) -> InboxToken:
    """A token for the app of one person; asked for by the shop's backend."""
    until = int(time.time()) + asked.seconds
    return InboxToken(token=doors.links.make_pass(asked.person, until), expires_at=until * 10**6)


@router.get("")
async def messages(
    person: Person,
    doors: Doors,
    unread: bool = False,
    before: Annotated[int, Query(ge=1, lt=2**63)] = 2**63 - 1,
    limit: Annotated[int, Query(ge=1, le=ITEMS_MAX)] = ITEMS_MAX,
) -> Messages:
    """The person's messages."""
    found = await doors.store.of_person(person, unread=unread, before=before, limit=limit)
    count = await doors.store.unread(person)
    return Messages(messages=[Message.model_validate(item) for item in found], unread=count)


@router.post("/read")
async def mark_read(asked: ReadRequest, person: Person, doors: Doors) -> ReadAnswer:
    """Mark messages as read; each becomes an event the first time."""
    found = await doors.store.mark_read(person, [str(one) for one in asked.ids])
    for item in found:
        sent = Link(
            send_id=item.message_id,
            person=person,
            trigger=item.trigger,
            channel="inbox",
            category=item.category,
        )
        try:
            await doors.receipts.take(Receipt(kind="opened", sent=sent))
        except Transient as error:
            _log.warning("a receipt is lost", kind="opened", reason=str(error))
    return ReadAnswer(read=len(found))


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(request: Request, person: Person, doors: Doors) -> StreamingResponse:
    """New messages as they come, as server-sent events.

    `Last-Event-ID` (sent by browsers on their own when they connect again) resumes after it;
    without it unread messages come first.
    """
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None
    return StreamingResponse(
        stream_of(doors.store, doors.streams, person, after),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def stream_of(
    store: Store, streams: InboxStreams, person: str, after: int | None
) -> AsyncIterator[bytes]:
    """The stream's bytes. Each message comes once, the oldest first, until all is closing.

    Looks at the newest `ITEMS_MAX` each time, not at what follows the last number: numbers
    are given when a transaction begins, and one that ends late would be passed over.
    """
    seen: dict[str, None] = {}
    with streams.listening(person) as news:
        yield b"retry: 3000\n\n"
        while not streams.closing:
            news.clear()
            try:
                found = await store.of_person(person, unread=after is None)
            except Transient:
                found = []
            for item in reversed(found):
                if item.message_id not in seen and (after is None or item.seq > after):
                    yield _frame(item)
                seen[item.message_id] = None
            while len(seen) > SEEN_MAX:
                del seen[next(iter(seen))]
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield b": still here\n\n"


def _frame(item: Item) -> bytes:
    return b"id: %d\nevent: message\ndata: %s\n\n" % (item.seq, msgspec.json.encode(item))


def add_inbox(app: FastAPI, doors: InboxDoors | None) -> None:
    """Serve the inbox, or with None answer 404."""
    app.state.inbox = doors
    app.include_router(tokens_router)
    app.include_router(router)
