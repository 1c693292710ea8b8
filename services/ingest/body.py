"""Reading a request's body, with a bound on its bytes at every step."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

from services.ingest.pressure import Pressure
from services.ingest.refusals import Refused

_GZIP_WBITS: Final = 31
_UTF8_BOM: Final = b"\xef\xbb\xbf"
GZIP_MEMBERS_MAX: Final = 16


async def read_body(
    chunks: AsyncIterator[bytes], *, bytes_max: int, timeout_seconds: float, pressure: Pressure
) -> bytes:
    """Read to the end. Every byte returned is counted into `pressure`; the caller counts it
    out again. A body that is refused leaves nothing counted.

    Raises:
        Refused: 413 past `bytes_max`, 408 past the timeout, 503 when `pressure` is full.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in chunks:
                if pressure.is_full:
                    raise overloaded()
                size += len(chunk)
                pressure.add(size=len(chunk))
                if size > bytes_max:
                    raise too_large(bytes_max)
                parts.append(chunk)
    except BaseException as error:
        pressure.release(size=size)
        if isinstance(error, TimeoutError):
            raise Refused(408, "body_timeout", "the body did not arrive in time") from error
        raise
    return b"".join(parts)


def decoded_body(body: bytes, encoding: str | None, *, bytes_max: int) -> bytes:
    """Undo the Content-Encoding; the result has at most `bytes_max` bytes.

    Raises:
        Refused: 415 for an encoding other than gzip, 400 for broken gzip, 413 past the bound
            (however small a bomb was on the wire, it is never unpacked further).
    """
    named = "" if encoding is None else encoding.strip().lower()
    if named in ("gzip", "x-gzip"):
        body = _gunzip(body, bytes_max)
    elif named not in ("", "identity"):
        raise Refused(415, "unsupported_encoding", "Content-Encoding is gzip or none")
    return body.removeprefix(_UTF8_BOM)


def too_large(bytes_max: int) -> Refused:
    """The refusal of a body past its bound."""
    return Refused(413, "body_too_large", f"a body has at most {bytes_max} bytes")


def overloaded() -> Refused:
    """The refusal while too much waits for Kafka."""
    return Refused(503, "overloaded", "too much waits for Kafka", retry_after_seconds=1.0)


def _gunzip(body: bytes, bytes_max: int) -> bytes:
    plain = bytearray()
    rest = body
    for _ in range(GZIP_MEMBERS_MAX):
        member = zlib.decompressobj(_GZIP_WBITS)
        try:
            plain += member.decompress(rest, bytes_max - len(plain) + 1)
        except zlib.error as error:
            raise _bad_gzip() from error
        if len(plain) > bytes_max:
            raise too_large(bytes_max)
        if not member.eof:
            raise _bad_gzip()
        rest = member.unused_data
        if not rest:
            return bytes(plain)
    raise _bad_gzip()


def _bad_gzip() -> Refused:
    return Refused(400, "bad_gzip", "the body is no complete gzip stream")
