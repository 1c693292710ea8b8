"""Standard Webhooks 1.0, symmetric: what we sign as a sender, and what we check as a receiver."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

TOLERANCE_SECONDS: Final = 300
"""How far a receipt's timestamp may lie from now, so that an old one cannot be played again."""


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


def secret_keys(secrets: str) -> tuple[bytes, ...]:
    """Keys of one secret, or of several with blanks or commas between while one is replaced.

    Raises:
        ValueError: there is none, or one of them is no secret.
    """
    found = secrets.replace(",", " ").split()
    if not found:
        raise ValueError("a webhook secret is whsec_ and base64")
    return tuple(secret_bytes(secret) for secret in found)


def sign(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """One signature of the header `webhook-signature`."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signatures(keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Value of the header `webhook-signature`: a signature for each key, a blank between.

    Receivers take a message if any fits, so that a secret is replaced without a gap.
    """
    return " ".join([sign(key, webhook_id, timestamp, body) for key in keys])


def verified(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a request with these headers (lower case) was signed with one of `keys` lately."""
    webhook_id = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    if not webhook_id or not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return False
    timestamp = int(stamp)
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        return False
    given = headers.get("webhook-signature", "").encode(errors="surrogateescape").split(b" ")
    matches = [
        hmac.compare_digest(sign(key, webhook_id, timestamp, body).encode(), one)
        for key in keys
        for one in given
    ]
    return any(matches)
