"""Write keys: who may send, told apart without their comparison telling anything."""

import secrets
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable
from hashlib import blake2b

from services.ingest.pressure import Monotonic, TokenBucket

WRITE_KEY_CHARS_MAX = 256


class WriteKey:
    """One accepted write key, with its own rate where one is set."""

    def __init__(self, rate: TokenBucket | None) -> None:
        self._rate = rate

    def charge(self, events: int) -> float:
        """Seconds this key has to wait before sending `events`; 0.0 lets them pass."""
        return 0.0 if self._rate is None else self._rate.take(events)


class WriteKeys:
    """The accepted write keys.

    Found by a keyed digest under a secret of this process: how long a lookup takes says
    nothing about how much of a guess was right.
    """

    def __init__(
        self, accepted: Iterable[str], *, events_per_second: int, monotonic: Monotonic
    ) -> None:
        self._secret = secrets.token_bytes(32)
        self._known = {
            self._digest(key): WriteKey(
                TokenBucket(events_per_second, monotonic=monotonic) if events_per_second else None
            )
            for key in accepted
        }

    def find(self, presented: str) -> WriteKey | None:
        """The accepted key with this text."""
        return self._known.get(self._digest(presented[: WRITE_KEY_CHARS_MAX + 1]))

    def _digest(self, key: str) -> bytes:
        return blake2b(key.encode(errors="surrogatepass"), key=self._secret).digest()


def key_of_header(authorization: str | None) -> str | None:
    """The write key in an Authorization header: the user name of Basic (RFC 7617).

    None without a header of that scheme; the empty text, which no key equals, for one that
    cannot be read.
    """
    if authorization is None:
        return None
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = b64decode(credentials.strip(), validate=True).decode()
    except (Base64Error, ValueError):
        return ""
    return decoded.partition(":")[0]
