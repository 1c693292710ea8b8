"""The mail channel: one message a send over SMTP."""

import asyncio
import re
import ssl
from collections import deque
from email.errors import MessageError
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import Policy
from email.utils import format_datetime, parseaddr
from typing import Any, Final, Literal

from aiosmtplib import SMTP, SMTPException, SMTPRecipientRefused, SMTPResponseException

from services.contracts.time import from_micros
from services.dispatcher.channels.port import (
    Accepted,
    Delayed,
    Message,
    Outcome,
    Refused,
    Unknown,
)
from services.dispatcher.dsn import SEND_HEADER, is_no_mailbox, status_in, verp
from services.dispatcher.links import Links
from services.dispatcher.tracking import tracked

TRANSACTIONAL: Final = "transactional"
ADDRESS_CHARS_MAX: Final = 254
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}")
"""Dot-atoms alone: quoted names, comments and address literals reach nobody's customer."""
SUBJECT_CHARS_MAX: Final = 500
LINE_CHARS_MAX: Final = 900
"""RFC 5322 allows lines of 998 characters; a longer link gets no header."""


class _Whole(UnstructuredHeader):
    """A header on one line: addresses of the web that are folded or encoded work nowhere."""

    def fold(self, *, policy: "Policy[Any]") -> str:
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined]


_headers: Final = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", _Whole)  # type: ignore[arg-type]  # as it takes its own
# Not every server on the way takes 8-bit bodies (RFC 6152).
_POLICY: Final = SMTP_POLICY.clone(cte_type="7bit", header_factory=_headers)

Tls = Literal["none", "starttls", "tls"]
_ADDRESS_CODES: Final = frozenset({550, 551, 553})
"""Answers to a recipient by which there is no such mailbox (RFC 5321 section 4.2.3)."""
_TROUBLE: Final = (SMTPException, OSError, TimeoutError)


def compose(
    message: Message, *, sender: str, domain: str, links: Links | None = None
) -> EmailMessage | Refused:
    """Build the mail; the same send gives the same bytes, `Message-ID` and `Date` included.

    Line breaks and control characters of a rendered subject become spaces, and an address
    has to be one bare ASCII address, so nothing of a person's data can start a header.

    With `links` every mail that is not transactional can be unsubscribed from by one click
    (RFC 2369, RFC 8058), and its HTML tells of looks and clicks.
    """
    if message.to is None:
        return Refused(reason="no address")
    if len(message.to) > ADDRESS_CHARS_MAX or _ADDRESS.fullmatch(message.to) is None:
        return Refused(reason="bad address", about_address=True)
    mail = EmailMessage(policy=_POLICY)
    try:
        mail["To"] = Address(addr_spec=message.to)
        mail["From"] = sender
        mail["Subject"] = _one_line(message.subject)[:SUBJECT_CHARS_MAX]
        mail["Message-ID"] = f"<{message.send_id}@{domain}>"
        mail[SEND_HEADER] = message.send_id
        mail["Date"] = format_datetime(from_micros(message.decided_at))
        html = message.html
        if links is not None and message.category != TRANSACTIONAL:
            page = links.unsubscribe(message)
            if len(page) <= LINE_CHARS_MAX:
                mail["List-Unsubscribe"] = f"<{page}>"
                mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            html = html and tracked(html, message, links)
        mail.set_content(message.body)
        if html:
            mail.add_alternative(html, subtype="html")
            # The standard library draws a boundary; the same send has to give the same bytes.
            mail.set_boundary(f"=_{message.send_id}")
    except (MessageError, ValueError, IndexError):
        # The header registry reports a malformed address by any of these.
        return Refused(reason="bad address or content")
    return mail


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class MailChannel:
    """Sends over kept connections, at most as many as sends are under way.

    What comes back goes to `bounces`, with the send's id in the address (VERP), or, where that is
    empty, to the sender's address.

    A send takes at most twice `timeout_seconds`: once until the server has taken the
    recipient, once for the message.

    Not idempotent: mail servers do not drop repeats, though a repeat carries the same
    `Message-ID`. Once the message has left and no answer comes, the outcome is unknown.
    """

    idempotent: Final = False

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: Tls,
        user: str | None,
        password: str | None,
        sender: str,
        domain: str,
        timeout_seconds: float,
        links: Links | None = None,
        bounces: str = "",
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._user = user
        self._password = password
        self._sender = sender
        self._return_path = parseaddr(sender)[1]
        self._bounces = bounces
        self._domain = domain
        self._timeout_seconds = timeout_seconds
        self._links = links
        self._tls_context = tls_context
        self._idle: deque[SMTP] = deque()

    async def send(self, message: Message) -> Outcome:
        """4xx of the server delayed, 5xx refused, silence after the message unknown."""
        mail = compose(message, sender=self._sender, domain=self._domain, links=self._links)
        if isinstance(mail, Refused):
            return mail
        recipient = message.to
        assert recipient is not None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                client = await self._open_envelope(self._sender_of(message), recipient)
        except TimeoutError:
            return Delayed(reason="connect: timeout")
        if not isinstance(client, SMTP):
            return client
        return await self._send_data(client, mail.as_bytes())

    async def close(self) -> None:
        """Say goodbye on every kept connection."""
        while self._idle:
            await self._quit(self._idle.pop())

    def _sender_of(self, message: Message) -> str:
        return verp(self._bounces, message.send_id) if self._bounces else self._return_path

    async def _open_envelope(self, sender: str, recipient: str) -> SMTP | Outcome:
        """A client whose server has taken sender and recipient, or why there is none."""
        while self._idle:
            client = self._idle.pop()
            try:
                return await self._envelope(client, sender, recipient)
            except _TROUBLE:
                # Servers close idle connections: that is no answer about this message.
                continue
        client = SMTP(
            hostname=self._host,
            port=self._port,
            use_tls=self._tls == "tls",
            start_tls=self._tls == "starttls",
            username=self._user,
            password=self._password,
            tls_context=self._tls_context,
            timeout=self._timeout_seconds,
        )
        try:
            await client.connect()
        except SMTPResponseException as error:
            # Also wrong credentials: an operator's mistake, mended while commands wait.
            client.close()
            return Delayed(reason=f"connect: status {error.code}")
        except _TROUBLE as error:
            client.close()
            return Delayed(reason=f"connect: {type(error).__name__}")
        try:
            return await self._envelope(client, sender, recipient)
        except _TROUBLE as error:
            return Delayed(reason=type(error).__name__)

    async def _envelope(self, client: SMTP, sender: str, recipient: str) -> SMTP | Outcome:
        kept = False
        try:
            await client.mail(sender)
            await client.rcpt(recipient)
            kept = True
        except SMTPRecipientRefused as error:
            await self._reset(client)
            kept = True
            return _refusal(error, about_address=_is_about_address(error))
        except SMTPResponseException as error:
            await self._reset(client)
            kept = True
            return _refusal(error)
        finally:
            # A connection left in the middle of a command belongs to no later message.
            if not kept:
                client.close()
        return client

    async def _send_data(self, client: SMTP, data: bytes) -> Outcome:
        try:
            response = await client.data(data)
        except SMTPResponseException as error:
            await self._reset(client)
            return _refusal(error)
        except _TROUBLE as error:
            client.close()
            return Unknown(reason=f"no answer to the message: {type(error).__name__}")
        self._idle.append(client)
        return Accepted(provider_id=_one_line(response.message) or None)

    async def _reset(self, client: SMTP) -> None:
        try:
            await client.rset()
        except _TROUBLE:
            client.close()
            return
        self._idle.append(client)

    async def _quit(self, client: SMTP) -> None:
        try:
            await client.quit()
        except _TROUBLE:
            client.close()


def _is_about_address(error: SMTPResponseException) -> bool:
    """By the enhanced code where there is one: servers say 550 of what they don't like, too."""
    status = status_in(error.message)
    return is_no_mailbox(status) if status else error.code in _ADDRESS_CODES


def _refusal(error: SMTPResponseException, *, about_address: bool = False) -> Outcome:
    # The server's text may repeat the address; its code never does.
    if 400 <= error.code < 500:
        return Delayed(reason=f"status {error.code}")
    return Refused(reason=f"status {error.code}", about_address=about_address)
