"""The webhook channel: one signed HTTP request a send, after Standard Webhooks 1.0."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import msgspec

from services.contracts.time import from_micros
from services.dispatcher.channels.port import (
    Accepted,
    Delayed,
    Message,
    Outcome,
    Refused,
    Unknown,
)

TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})
RESPONSE_BYTES_MAX: Final = 64 * 1024
DRAIN_SECONDS_MAX: Final = 0.1
RESOLVED_SECONDS_MAX: Final = 30.0

_encode: Final = msgspec.json.Encoder().encode
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def secret_bytes(secret: str) -> bytes:
    """Key of a `whsec_` secret: base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError("a webhook secret is whsec_ and base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError("a webhook secret holds 24 to 64 bytes")
    return key


def sign(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Value of the header `webhook-signature` (Standard Webhooks 1.0, symmetric)."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever it is wrapped in."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Read `Retry-After` (RFC 9110 section 10.2.3), seconds or a date; None if unreadable."""
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


class WebhookChannel:
    """Posts to one endpoint. The receiver drops repeats by `webhook-id`, our `send_id`.

    The name is resolved here and the connection made to that very address, so that an
    answer of the name service cannot lead a request into a private network. Redirects are
    not followed and proxies of the environment not used.
    """

    idempotent: Final = True

    def __init__(
        self,
        *,
        url: str,
        key: bytes,
        timeout_seconds: float,
        private_allowed: bool,
        connections_max: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = httpx.URL(url)
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._private_allowed = private_allowed
        self._now = now
        self._resolved: tuple[float, list[str]] | None = None
        # One client an endpoint: connections are pooled by address, and another endpoint
        # at the same address must not ride on a TLS session made for this name.
        self._client = httpx.AsyncClient(
            timeout=timeout_seconds,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=connections_max, max_keepalive_connections=connections_max
            ),
        )

    async def send(self, message: Message) -> Outcome:
        """2xx accepted; 408, 425, 429 and 5xx delayed; anything else refused."""
        body = _encode(_payload(message))
        sent = asyncio.Event()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                addresses = await self._addresses()
                if isinstance(addresses, Refused):
                    return addresses
                return await self._post(addresses[0], message.send_id, body, sent)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            self._resolved = None
            return Delayed(reason="no connection")
        except httpx.RequestError as error:
            return Unknown(reason=f"no answer: {type(error).__name__}")
        except TimeoutError:
            # Whether the endpoint can have acted depends on whether it was spoken to at all.
            return Unknown(reason="timeout") if sent.is_set() else Delayed(reason="no connection")
        except OSError:
            return Delayed(reason="name not resolved")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _addresses(self) -> list[str] | Refused:
        now = time.monotonic()
        if self._resolved is not None and now < self._resolved[0]:
            return self._resolved[1]
        found = await asyncio.get_running_loop().getaddrinfo(
            self._url.host, self._url.port or 443, type=socket.SOCK_STREAM
        )
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._private_allowed and not all(map(is_public, addresses)):
            return Refused(reason="private address")
        self._resolved = (now + RESOLVED_SECONDS_MAX, addresses)
        return addresses

    async def _post(self, address: str, send_id: str, body: bytes, sent: asyncio.Event) -> Outcome:
        async def trace(event: str, _: object) -> None:
            if event == "http11.send_request_headers.started":
                sent.set()

        timestamp = int(self._now())
        headers = {
            "host": self._url.netloc.decode(),
            "content-type": "application/json",
            "user-agent": "cuestream",
            "idempotency-key": send_id,
            "webhook-id": send_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, send_id, timestamp, body),
        }
        async with self._client.stream(
            "POST",
            self._url.copy_with(host=address),
            content=body,
            headers=headers,
            extensions={"sni_hostname": self._url.host, "trace": trace},
        ) as response:
            outcome = self._outcome(response)
            await _drain(response)
            return outcome

    def _outcome(self, response: httpx.Response) -> Outcome:
        status = response.status_code
        if 200 <= status < 300:
            return Accepted()
        if status in TRANSIENT_STATUSES or status >= 500:
            asked = retry_after_seconds(response.headers.get("retry-after"), self._now())
            return Delayed(reason=f"status {status}", retry_after_seconds=asked)
        return Refused(reason=f"status {status}")


async def _drain(response: httpx.Response) -> None:
    """Read what is left, so that the connection can serve again; the status stands already."""
    read = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > RESPONSE_BYTES_MAX:
                    return
    except (httpx.RequestError, TimeoutError):
        return


def _payload(message: Message) -> dict[str, object]:
    moment: datetime = from_micros(message.decided_at)
    return {"type": "send", "timestamp": moment.isoformat(), "data": message}
