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
_PASS: Final = b"inbox"
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
        opened = self._opened(token, purpose.encode())
        try:
            return None if opened is None else _decode(opened)
        except msgspec.DecodeError:
            return None

    def make_pass(self, person: str, until: int) -> str:
        """A token that opens a person's inbox until an instant in seconds."""
        return self._sealed(_encode((person, until)), _PASS)

    def read_pass(self, token: str, now: float) -> str | None:
        """Whose inbox a token opens at `now`; None for what is none, or none any more."""
        opened = self._opened(token, _PASS)
        if opened is None:
            return None
        person, until = msgspec.msgpack.decode(opened, type=tuple[str, int])
        return person if now < until else None

    def _made(self, purpose: Purpose, sent: Sent, url: str = "") -> str:
        link = Link(
            send_id=sent.send_id,
            person=sent.person,
            trigger=sent.trigger,
            channel=sent.channel,
            category=sent.category,
            url=url,
        )
        return self.base_url + PATHS[purpose] + self._sealed(_encode(link), purpose.encode())

    def _sealed(self, data: bytes, purpose: bytes) -> str:
        sealed = self._keys[0].encrypt(data, [purpose])
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def _opened(self, token: str, purpose: bytes) -> bytes | None:
        if len(token) > TOKEN_CHARS_MAX:
            return None
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            return None
        for key in self._keys:
            try:
                return key.decrypt(sealed, [purpose])
            except (InvalidTag, ValueError):
                continue
        return None
