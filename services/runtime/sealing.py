"""Values encrypted at rest: AES-256-GCM under keys that can be rotated.

Each is bound to its place (whose, and which field, or which record): copied to another it does
not open. New values are sealed with the first key; all keys open. There are two forms:

- a JSON value becomes `{"$sealed": "<key id>.<base64url of nonce and ciphertext>"}`, so that it
  stands wherever JSON does; its nonce is random;
- bytes become a frame: `FRAME`, a version, the key id behind its length, a salt of 16 bytes, a
  count of 8 bytes, the ciphertext. Random nonces of 96 bits would wear a key out after 2^32 values
  (NIST SP 800-38D, section 8.3), which a busy log writes within a day. So each ring seals with a
  key of its own, HKDF-SHA256 (RFC 5869) of the listed key and its random salt, and counts.

docs/decisions/0014-sealed-records.md argues it.
"""

import itertools
import os
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.contracts.errors import CuestreamError

SETTING: Final = "CUESTREAM_SENSITIVE_KEYS"
SEALED: Final = "$sealed"
FRAME: Final = 0xC1
"""First byte of a frame. No JSON text begins with it, MessagePack never uses it, and an encoded
state begins with an instant, whose highest byte it would be in a hundred thousand years."""
SEALED_TEXT: Final = "\x1a"
"""First character of a sealed text; the rest is the frame in base64."""
SALTS_KEPT_MAX: Final = 4_096
"""Keys made of salts, kept so that each is made once; a ring's salt stands in all it sealed."""
KEY_BYTES: Final = 32
KEYS_MAX: Final = 20
_NONCE_BYTES: Final = 12
_KEY_ID_CHARS_MAX: Final = 32
_FRAME_VERSION: Final = 1
_HEAD_BYTES: Final = 3
_SALT_BYTES: Final = 16
_COUNT_BYTES: Final = 8
_TAG_BYTES: Final = 16
_NONCE_BEFORE_COUNT: Final = bytes(_NONCE_BYTES - _COUNT_BYTES)
_FRAME_KEY: Final = b"cuestream frame 1"


class WrongKeys(ValueError):
    """The setting does not hold keys."""


class Unopened(CuestreamError):
    """A sealed value that none of the keys opens: its key was taken away, or it was moved."""


class MissingKey(Unopened):
    """The key that a value is sealed with is not listed: with it, the value would open."""

    def __init__(self, name: str, where: str) -> None:
        super().__init__(
            f"{where} is sealed with key {name!r}, which {SETTING} does not list:"
            " without that key it cannot be read"
        )


class _Frame(NamedTuple):
    """The parts of a frame."""

    name: str
    salt: bytes
    nonce: bytes
    sealed: bytes


def is_frame(value: bytes | None) -> bool:
    """Whether bytes look sealed."""
    return bool(value) and value[0] == FRAME  # type: ignore[index]  # not None: it has a length


def _frame_of(text: str) -> bytes:
    """What follows the first character; empty where that is no base64."""
    try:
        return b64decode(text[len(SEALED_TEXT) :], validate=True)
    except Base64Error:
        return b""


def _parts(value: bytes) -> _Frame:
    """Raises `Unopened` for what only looks like a frame."""
    length = value[2] if len(value) > _HEAD_BYTES else 0
    salt_at = _HEAD_BYTES + length
    count_at = salt_at + _SALT_BYTES
    sealed_at = count_at + _COUNT_BYTES
    known = len(value) >= sealed_at + _TAG_BYTES and value[1] == _FRAME_VERSION
    name = value[_HEAD_BYTES:salt_at].decode(errors="replace")
    if not known or not name.isalnum():
        raise Unopened("this is no sealed value")
    nonce = _NONCE_BEFORE_COUNT + value[count_at:sealed_at]
    return _Frame(name, value[salt_at:count_at], nonce, value[sealed_at:])


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """How many values were looked at, sealed again, and could not be opened."""

    looked_at: int = 0
    sealed: int = 0
    unopened: int = 0

    def __add__(self, other: "Resealed") -> "Resealed":
        return Resealed(
            looked_at=self.looked_at + other.looked_at,
            sealed=self.sealed + other.sealed,
            unopened=self.unopened + other.unopened,
        )


class Keyring:
    """The keys of one setting: `id:base64,id:base64`, the one to seal with first.

    With no keys at all nothing is sealed, and what is not sealed opens as it is.

    Raises:
        WrongKeys: a key is not 32 bytes of base64, or an id is missing, odd or given twice.
    """

    def __init__(self, setting: str) -> None:
        self._keys: dict[str, AESGCM] = {}
        self._raw: dict[str, bytes] = {}
        self._of_salt: OrderedDict[tuple[str, bytes], AESGCM] = OrderedDict()
        for listed in filter(None, map(str.strip, setting.split(","))):
            name, colon, encoded = listed.partition(":")
            if not colon or not name.isalnum() or len(name) > _KEY_ID_CHARS_MAX:
                raise WrongKeys("a key is written id:base64, the id in letters and digits")
            if name in self._keys:
                raise WrongKeys("two keys have one id")
            try:
                key = b64decode(encoded, validate=True)
            except Base64Error:
                key = b""
            if len(key) != KEY_BYTES:
                raise WrongKeys(f"key {name} is not {KEY_BYTES} bytes of base64")
            self._keys[name] = AESGCM(key)
            self._raw[name] = key
        if len(self._keys) > KEYS_MAX:
            raise WrongKeys(f"more than {KEYS_MAX} keys")
        self._first = next(iter(self._keys), None)
        if self._first is not None:
            salt, id_ = os.urandom(_SALT_BYTES), self._first.encode()
            self._head = bytes((FRAME, _FRAME_VERSION, len(id_))) + id_ + salt
            self._own = self._key_of(self._first, salt)
            self._count = itertools.count()

    @property
    def sealing(self) -> bool:
        """Whether there is a key to seal with."""
        return self._first is not None

    def seal(self, value: Any, place: str) -> Any:
        """A JSON value sealed for its place; as it is where there are no keys."""
        if self._first is None:
            return value
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[self._first].encrypt(nonce, msgspec.json.encode(value), place.encode())
        return {SEALED: f"{self._first}.{urlsafe_b64encode(nonce + sealed).decode()}"}

    def seal_bytes(self, value: bytes, place: bytes) -> bytes:
        """Bytes sealed for their place, `frame_bytes` longer; as they are without keys."""
        if self._first is None:
            return value
        count = next(self._count).to_bytes(_COUNT_BYTES, "big")
        sealed = self._own.encrypt(_NONCE_BEFORE_COUNT + count, value, place)
        return b"".join((self._head, count, sealed))

    def open_bytes(self, value: bytes, place: bytes, where: str = "a value") -> bytes:
        """The bytes that were sealed for this place; what is no frame as it is.

        `where` names it in the error.

        Raises:
            MissingKey: it is sealed with a key that is not listed.
            Unopened: it was tampered with, or belongs elsewhere.
        """
        if not is_frame(value):
            return value
        frame = _parts(value)
        if frame.name not in self._raw:
            raise MissingKey(frame.name, where)
        try:
            return self._key_of(frame.name, frame.salt).decrypt(frame.nonce, frame.sealed, place)
        except InvalidTag as error:
            raise Unopened(f"{where}: key {frame.name!r} does not open it") from error

    def require(self, value: bytes | None, where: str) -> None:
        """Nothing, unless it is a frame of a key that is not listed.

        Raises:
            MissingKey: it is.
        """
        if value is not None and is_frame(value):
            try:
                name = _parts(value).name
            except Unopened:
                return  # no key helps
            if name not in self._raw:
                raise MissingKey(name, where)

    def seal_text(self, value: str, place: bytes) -> str:
        """A text sealed for its place; as it is without keys."""
        if self._first is None:
            return value
        return SEALED_TEXT + b64encode(self.seal_bytes(value.encode(), place)).decode()

    def open_text(self, value: str, place: bytes, where: str = "a text") -> str:
        """The text that was sealed for this place; what is not sealed as it is.

        Raises:
            MissingKey, Unopened: as of `open_bytes`.
        """
        if not value.startswith(SEALED_TEXT):
            return value
        frame = _frame_of(value)
        return self.open_bytes(frame, place, where).decode() if is_frame(frame) else value

    @property
    def frame_bytes(self) -> int:
        """By how much bytes grow as they are sealed; 0 without keys."""
        return 0 if self._first is None else len(self._head) + _COUNT_BYTES + _TAG_BYTES

    def is_old_frame(self, value: bytes) -> bool:
        """Whether bytes should be sealed again: in the clear, or under another key."""
        if self._first is None:
            return False
        return not value.startswith(self._head[:-_SALT_BYTES])

    def is_old_text(self, value: str) -> bool:
        """The same of a text."""
        sealed = value.startswith(SEALED_TEXT)
        return self.is_old_frame(_frame_of(value) if sealed else b"")

    def _key_of(self, name: str, salt: bytes) -> AESGCM:
        known = self._of_salt.get((name, salt))
        if known is None:
            derived = HKDF(SHA256(), KEY_BYTES, salt, _FRAME_KEY).derive(self._raw[name])
            known = self._of_salt[name, salt] = AESGCM(derived)
            if len(self._of_salt) > SALTS_KEPT_MAX:
                self._of_salt.popitem(last=False)
        return known

    def open(self, value: Any, place: str) -> Any:
        """The value that was sealed for this place; what is not sealed as it is.

        Raises:
            Unopened: no key opens it.
        """
        if not is_sealed(value):
            return value
        name, _, encoded = value[SEALED].partition(".")
        key = self._keys.get(name)
        if key is None:
            raise MissingKey(name[:_KEY_ID_CHARS_MAX], "a value")
        try:
            data = urlsafe_b64decode(encoded)
            opened = key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place.encode())
        except (InvalidTag, Base64Error, ValueError) as error:
            raise Unopened(f"key {name!r} does not open it") from error
        return msgspec.json.decode(opened)

    def is_old(self, value: Any) -> bool:
        """Whether a value should be sealed again: in the clear, or under another key."""
        if self._first is None:
            return False
        return not is_sealed(value) or not value[SEALED].startswith(f"{self._first}.")


def is_sealed(value: Any) -> bool:
    """Whether a JSON value is a sealed one."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(SEALED), str)
