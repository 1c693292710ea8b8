"""Values encrypted at rest: AES-256-GCM under keys that can be rotated.

A sealed value is `{"$sealed": "<key id>.<base64url of nonce and ciphertext>"}`, so that it stands
wherever JSON does. Each is bound to its place (whose, and which field): copied to another it
does not open. New values are sealed with the first key; all keys open.
"""

import os
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED: Final = "$sealed"
KEY_BYTES: Final = 32
KEYS_MAX: Final = 20
_NONCE_BYTES: Final = 12
_KEY_ID_CHARS_MAX: Final = 32


class WrongKeys(ValueError):
    """The setting does not hold keys."""


class Unopened(Exception):
    """A sealed value that none of the keys opens: its key was taken away, or it was moved."""


class Keyring:
    """The keys of one setting: `id:base64,id:base64`, the one to seal with first.

    With no keys at all nothing is sealed, and what is not sealed opens as it is.

    Raises:
        WrongKeys: a key is not 32 bytes of base64, or an id is missing, odd or given twice.
    """

    def __init__(self, setting: str) -> None:
        self._keys: dict[str, AESGCM] = {}
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
        if len(self._keys) > KEYS_MAX:
            raise WrongKeys(f"more than {KEYS_MAX} keys")
        self._first = next(iter(self._keys), None)

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
            raise Unopened(f"there is no key {name[:_KEY_ID_CHARS_MAX]!r}")
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
