"""The mail channel: one message a send over SMTP."""

import ssl
from collections import deque
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Final, Literal

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from services.contracts.time import from_micros
from services.dispatcher.channels.port import (
    Accepted,
    Delayed,
    Message,
    Outcome,
    Refused,
    Unknown,
)

ADDRESS_CHARS_MAX: Final = 254
SUBJECT_CHARS_MAX: Final = 500

Tls = Literal["none", "starttls", "tls"]
_TROUBLE: Final = (SMTPException, OSError, TimeoutError)


class _Composed(Exception):  # noqa: N818  (carries an outcome out of nested calls)
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome


def compose(message: Message, *, sender: str, domain: str) -> EmailMessage | Refused:
    """Build the mail; the same send gives the same bytes, `Message-ID` and `Date` included.

    Line breaks and control characters of a rendered subject become spaces, and an address
    has to be one bare ASCII address, so nothing of a person's data can start a header.
    """
    if message.to is None:
        return Refused(reason="no address")
    if len(message.to) > ADDRESS_CHARS_MAX or not message.to.isascii():
        return Refused(reason="bad address")
    mail = EmailMessage(policy=SMTP_POLICY)
    try:
        mail["To"] = Address(addr_spec=message.to)
        mail["From"] = sender
        mail["Subject"] = _one_line(message.subject)[:SUBJECT_CHARS_MAX]
        mail["Message-ID"] = f"<{message.send_id}@{domain}>"
        mail["Date"] = format_datetime(from_micros(message.decided_at))
        mail.set_content(message.body)
    except (MessageError, ValueError, IndexError):
        # The header registry reports a malformed address by any of these.
        return Refused(reason="bad address or content")
    return mail


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class MailChannel:
    """Sends over kept connections, at most as many as sends are under way.

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
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._user = user
        self._password = password
        self._sender = sender
        self._domain = domain
        self._timeout_seconds = timeout_seconds
        self._tls_context = tls_context
        self._idle: deque[SMTP] = deque()

    async def send(self, message: Message) -> Outcome:
        """4xx of the server delayed, 5xx refused, silence after the message unknown."""
        mail = compose(message, sender=self._sender, domain=self._domain)
        if isinstance(mail, Refused):
            return mail
        recipient = message.to
        assert recipient is not None
        try:
            client = await self._open_envelope(recipient)
        except _Composed as stop:
            return stop.outcome
        return await self._send_data(client, mail.as_bytes())

    async def close(self) -> None:
        """Say goodbye on every kept connection."""
        while self._idle:
            await self._quit(self._idle.pop())

    async def _open_envelope(self, recipient: str) -> SMTP:
        """A client whose server has taken sender and recipient."""
        while self._idle:
            client = self._idle.pop()
            if not client.is_connected:
                continue
            try:
                await self._envelope(client, recipient)
            except (aiosmtplib.SMTPServerDisconnected, TimeoutError):
                # Servers close idle connections: that is no answer about this message.
                client.close()
                continue
            return client
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
            raise _Composed(Delayed(reason=f"connect: status {error.code}")) from error
        except _TROUBLE as error:
            client.close()
            raise _Composed(Delayed(reason=f"connect: {type(error).__name__}")) from error
        try:
            await self._envelope(client, recipient)
        except _TROUBLE as error:
            client.close()
            raise _Composed(Delayed(reason=type(error).__name__)) from error
        return client

    async def _envelope(self, client: SMTP, recipient: str) -> None:
        try:
            await client.mail(self._sender)
            await client.rcpt(recipient)
        except SMTPResponseException as error:
            await self._reset(client)
            raise _Composed(_refusal(error)) from error

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


def _refusal(error: SMTPResponseException) -> Outcome:
    # The server's text may repeat the address; its code never does.
    if 400 <= error.code < 500:
        return Delayed(reason=f"status {error.code}")
    return Refused(reason=f"status {error.code}")
