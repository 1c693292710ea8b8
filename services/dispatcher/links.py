"""Links that come back to us: opened, clicked, unsubscribed, and a provider's word on a send.

All that a link stands for is sealed in it, so that it works without a look at any table, for
as long as its key is known. Sealed is encrypted and authenticated (AES-SIV, RFC 5297): no
address shows whom it was sent to, nobody can make one of our links for a place of their own.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_CHARS_MIN: Final = 32
TOKEN_CHARS_MAX: Final = 8192
URL_CHARS_MAX: Final = 4096
"""Longer ones are left as they are: nobody's browser has to follow more."""

Purpose = Literal["open", "click", "unsubscribe", "status"]
PATHS: Final[dict[Purpose, str]] = {
    "open": "/p/o/",
    "click": "/p/c/",
    "unsubscribe": "/p/u/",
    "status": "/p/r/",
}


class Sent(Protocol):
    """What a link says of its send; commands and messages both have it."""

    @property
    def send_id(self) -> str: ...
    @property
    def person(self) -> str: ...
    @property
    def trigger(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def category(self) -> str: ...


class Link(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True):
    """What is sealed. `url` is where a click leads; new fields go last."""

    send_id: str
    person: str
    trigger: str
    channel: str
    category: str
    url: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Link).decode


class Links:
    """Makes and reads links below `base_url`; the first of `keys` makes, each of them reads.

    The same send gives the same links, so that a repeated message has the same bytes.
    """

    def __init__(self, base_url: str, keys: Sequence[str]) -> None:
        self.base_url = base_url.rstrip("/")
        self._keys = [AESSIV(hashlib.sha512(key.encode()).digest()) for key in keys]

    def opened(self, sent: Sent) -> str:
        """Address of an image that is fetched when a mail is looked at."""
        return self._made("open", sent) + ".gif"

    def clicked(self, sent: Sent, url: str) -> str:
        """Address that leads on to `url` (http or https)."""
        return self._made("click", sent, url)

    def unsubscribe(self, sent: Sent) -> str:
        """Address of a page to unsubscribe on, and of the one click without a page."""
        return self._made("unsubscribe", sent)

    def status(self, sent: Sent, provider: str) -> str:
        """Address to which `provider` tells what became of the send."""
        return self._made("status", sent, provider)

    def read(self, purpose: Purpose, token: str) -> Link | None:
        """What a link of ours stands for; None for anything else."""
        if len(token) > TOKEN_CHARS_MAX:
            return None
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            return None
        for key in self._keys:
            try:
                return _decode(key.decrypt(sealed, [purpose.encode()]))
            except (InvalidTag, ValueError, msgspec.DecodeError):
                continue
        return None

    def _made(self, purpose: Purpose, sent: Sent, url: str = "") -> str:
        link = Link(
            send_id=sent.send_id,
            person=sent.person,
            trigger=sent.trigger,
            channel=sent.channel,
            category=sent.category,
            url=url,
        )
        sealed = self._keys[0].encrypt(_encode(link), [purpose.encode()])
        token = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        return self.base_url + PATHS[purpose] + token
