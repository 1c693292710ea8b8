"""What stands at the other end of a channel in tests: a file, an HTTP server, a mail server.

All of them are real: sockets on the loopback, a file on the disk.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message as Mail
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import msgspec
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.dispatcher.channels.log import LogChannel
from services.dispatcher.channels.mail import MailChannel
from services.dispatcher.channels.port import Channel
from services.dispatcher.channels.webhook import WebhookChannel

Mood = Literal["accept", "busy", "refuse", "silent"]
KEY = b"k" * 32
TIMEOUT_SECONDS = 1.0


class Counterpart(Protocol):
    """One channel with its other end."""

    channel: Channel
    moods: frozenset[Mood]

    def be(self, mood: Mood) -> None:
        """Answer like this from now on; only one of `moods`."""

    def received(self) -> list[str]:
        """The send ids that arrived and were accepted, in order."""


class LogEnd:
    """The file of the log channel; busy is a folder where a file should be."""

    moods: frozenset[Mood] = frozenset({"accept", "busy"})

    def __init__(self, folder: Path) -> None:
        self._file = folder / "sends.jsonl"
        self.channel: Channel = LogChannel(self._file)

    def be(self, mood: Mood) -> None:
        if mood == "busy":
            self._file.mkdir()
        elif self._file.is_dir():
            self._file.rmdir()

    def received(self) -> list[str]:
        lines = self._file.read_bytes().splitlines() if self._file.is_file() else []
        return [msgspec.json.decode(line)["send_id"] for line in lines]


class Request(msgspec.Struct):
    """One HTTP request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class HttpEnd:
    """An HTTP/1.1 server that answers as it is told and keeps every request."""

    moods: frozenset[Mood] = frozenset({"accept", "busy", "refuse", "silent"})
    statuses: ClassVar[dict[Mood, str]] = {
        "accept": "204 No Content",
        "busy": "503 Busy",
        "refuse": "410 Gone",
    }  # fmt: skip

    def __init__(self) -> None:
        self.channel: Channel
        self.requests: list[Request] = []
        self.status: str | None = self.statuses["accept"]
        self.headers: dict[str, str] = {}
        self.body = b""
        self.claimed_length: int | None = None
        self.url = ""
        self._accepted: list[str] = []
        self._closing = asyncio.Event()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def be(self, mood: Mood) -> None:
        self.status = self.statuses.get(mood)

    def received(self) -> list[str]:
        return self._accepted

    @property
    def connections_opened(self) -> int:
        """How many there have been."""
        return len(self._connections)

    async def close(self) -> None:
        """End all connections; none is cancelled, which asyncio would report as an error."""
        self._closing.set()
        for writer in self._connections.values():
            writer.close()
        await asyncio.gather(*self._connections)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while not self._closing.is_set():
                await self._answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _answer(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split()
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method=method, target=target, headers=headers, body=body)
        self.requests.append(request)
        answer = self.answer(request)
        if answer is None:
            await self._closing.wait()
            return
        status, content = answer
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        size = len(content) if self.claimed_length is None else self.claimed_length
        length = f"content-length: {size}\r\n" if status[:3] != "204" else ""
        writer.write(f"HTTP/1.1 {status}\r\n{length}{extra}\r\n".encode() + content)
        await writer.drain()

    def answer(self, request: Request) -> tuple[str, bytes] | None:
        """Status and body; None is silence."""
        if self.status is None:
            return None
        if self.status.startswith("2"):
            self._accepted.append(request.headers.get("webhook-id", ""))
        return self.status, self.body


@asynccontextmanager
async def http_end(
    server_tls: ssl.SSLContext | None = None, **changes: Any
) -> AsyncIterator[HttpEnd]:
    """A webhook channel and its server; `changes` go to the channel."""
    end = HttpEnd()
    server = await asyncio.start_server(end.handle, "127.0.0.1", 0, ssl=server_tls)
    end.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/hooks?shop=1"
    values: dict[str, Any] = {
        "url": end.url,
        "keys": (KEY,),
        "timeout_seconds": TIMEOUT_SECONDS,
        "private_allowed": True,
        "connections_max": 20,
    }
    end.channel = WebhookChannel(**(values | changes))
    try:
        yield end
    finally:
        await end.channel.close()
        server.close()
        await end.close()


class MailEnd:
    """An SMTP server that answers as it is told and keeps every mail."""

    moods: frozenset[Mood] = frozenset({"accept", "busy", "refuse", "silent"})

    def __init__(self) -> None:
        self.channel: Channel
        self.mails: list[Mail] = []
        self.senders: list[str] = []
        self.refusal = "550 5.1.1 no such mailbox"
        self.recipients: list[str] = []
        self.port = 0
        self.sessions: list[SMTP] = []
        self._mood: Mood = "accept"

    @property
    def connections(self) -> int:
        """How many were opened in all."""
        return len(self.sessions)

    def be(self, mood: Mood) -> None:
        self._mood = mood

    def received(self) -> list[str]:
        return [mail["Message-ID"].strip("<>").partition("@")[0] for mail in self.mails]

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        """Busy and refusing servers say so here."""
        if self._mood == "busy":
            return f"451 4.7.1 try later, {address}"
        if self._mood == "refuse":
            return f"{self.refusal}: {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Silent servers take the message and say nothing."""
        if self._mood == "silent":
            await asyncio.Event().wait()
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        self.recipients += envelope.rcpt_tos
        self.senders.append(str(envelope.mail_from))
        return "250 2.0.0 OK queued as 1234"


@asynccontextmanager
async def mail_end(
    server_tls: ssl.SSLContext | None = None, **changes: Any
) -> AsyncIterator[MailEnd]:
    """A mail channel and its server; `changes` go to the channel."""
    end = MailEnd()

    def session() -> SMTP:
        end.sessions.append(SMTP(end, hostname="mx.example.com", tls_context=server_tls))
        return end.sessions[-1]

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    end.port = server.sockets[0].getsockname()[1]
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": end.port,
        "tls": "none",
        "user": None,
        "password": None,
        "sender": "Shop <shop@example.com>",
        "domain": "shop.example.com",
        "timeout_seconds": TIMEOUT_SECONDS,
    }
    end.channel = MailChannel(**(values | changes))
    try:
        yield end
    finally:
        await end.channel.close()
        server.close()
        for one in end.sessions:
            if one.transport is not None:
                one.transport.abort()
        await asyncio.sleep(0)
