"""Requests that leave the house: checked addresses, verified TLS, no redirects, bounded answers.

docs/channels.md says what this guards against.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.dispatcher.channels.port import Delayed, Outcome, Refused, Unknown

TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})
BROKEN_STATUSES: Final = frozenset({408, 500, 502, 504})
RESPONSE_BYTES_MAX: Final = 64 * 1024
DRAIN_SECONDS_MAX: Final = 0.1
RESOLVED_SECONDS_MAX: Final = 30
KEPT_SECONDS_MAX: Final = 10.0
"""An idle connection is given up before most servers do so: a request on one that the other
side is just closing would have an unknown outcome."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_HEADERS: Final = {"user-agent": "cuestream", "accept-encoding": "identity"}


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


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came back. `body` is empty where it was not asked for."""

    status: int
    body: bytes = b""
    retry_after_seconds: float | None = None

    def trouble(self, *, repeatable: bool) -> Outcome | None:
        """None for 2xx; 408, 425, 429 and 5xx delayed; anything else refused.

        Where a repeat is not `repeatable` without a second effect, a server that broke down
        over the request leaves it unknown what it did before.
        """
        if 200 <= self.status < 300:
            return None
        reason = f"status {self.status}"
        if self.status in BROKEN_STATUSES and not repeatable:
            return Unknown(reason=reason)
        if self.status in TRANSIENT_STATUSES or self.status >= 500:
            return Delayed(reason=reason, retry_after_seconds=self.retry_after_seconds)
        return Refused(reason=reason)

    def json(self) -> dict[str, Any]:
        """The body's JSON object; empty where it is none."""
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return found if isinstance(found, dict) else {}


class PrivateAddressError(OSError):
    """A name leads to an address that is not public."""


class CheckedResolver(AbstractResolver):
    """Resolves names and refuses those of which any address is private.

    The connection is made to the very addresses returned here: no second question is asked
    of the name service whose answer could lead elsewhere.
    """

    def __init__(self, *, private_allowed: bool) -> None:
        self._private_allowed = private_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of `host`.

        Raises:
            PrivateAddressError: one of them is not public.
            OSError: it has none.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family
        )
        results = [
            ResolveResult(
                hostname=host,
                host=str(entry[4][0]),
                port=port,
                family=entry[0],
                proto=entry[2],
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for entry in found
        ]
        if not self._private_allowed and not all(is_public(one["host"]) for one in results):
            raise PrivateAddressError("private address")
        return results

    async def close(self) -> None:
        """Nothing to close."""


class Outgoing:
    """The HTTP client of channels. Connections are kept, at most `connections_max`.

    A request takes at most `timeout_seconds`, of which reaching the other end at most half.
    Neither proxies nor cookies are used.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        private_allowed: bool,
        connections_max: int,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=timeout_seconds / 2)
        self._private_allowed = private_allowed
        self._connections_max = connections_max
        self._tls = tls_context if tls_context is not None else True
        self._opened: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        body_wanted: bool = True,
    ) -> Reply | Outcome:
        """The answer; or `Delayed` and `Refused` where nothing was said, else `Unknown`.

        With `body_wanted` an answer that breaks off is `Unknown`; without, the status counts.
        """
        if not self._private_allowed and _is_private_literal(url.host):
            return Refused(reason="private address")
        try:
            async with self._session().request(
                method, url, data=body, headers=headers, allow_redirects=False, ssl=self._tls
            ) as response:
                content = response.content
                read = b""
                if body_wanted:
                    read = await _body(content)
                elif not content.at_eof():
                    await _drain(content)
                asked = response.headers.get("retry-after")
                return Reply(
                    status=response.status,
                    body=read,
                    retry_after_seconds=retry_after_seconds(asked, time.time()),
                )
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, PrivateAddressError):
                return Refused(reason="private address")
            return Delayed(reason="name not resolved")
        except aiohttp.InvalidURL:
            return Refused(reason="no usable address")
        except aiohttp.ClientSSLError:
            return Delayed(reason="no trusted connection")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return Delayed(reason="no connection")
        except (aiohttp.ClientError, OSError) as error:
            # Time-outs are OSErrors too.
            return Unknown(reason=f"no answer: {type(error).__name__}")

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    def _session(self) -> aiohttp.ClientSession:
        # Made at first use: it belongs to the event loop that runs then.
        if self._opened is None:
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(private_allowed=self._private_allowed),
                ttl_dns_cache=RESOLVED_SECONDS_MAX,
                limit=self._connections_max,
                keepalive_timeout=KEPT_SECONDS_MAX,
            )
            self._opened = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers=_HEADERS,
                trust_env=False,
            )
        return self._opened


def _is_private_literal(host: str | None) -> bool:
    # Literals go to no resolver. What is none for us (`0x7f.1`) is a name for all.
    try:
        return not is_public(host or "")
    except ValueError:
        return False


async def _body(content: aiohttp.StreamReader) -> bytes:
    parts = []
    size = 0
    while chunk := await content.readany():
        parts.append(chunk)
        size += len(chunk)
        if size > RESPONSE_BYTES_MAX:
            # No provider's answer is so long: what it says is not worth reading.
            return b""
    return b"".join(parts)


async def _drain(content: aiohttp.StreamReader) -> None:
    """Read what is left, so that the connection can serve again; the status stands already."""
    read = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            while chunk := await content.readany():
                read += len(chunk)
                if read > RESPONSE_BYTES_MAX:
                    return
    except (aiohttp.ClientError, TimeoutError):
        return
