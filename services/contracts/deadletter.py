"""The dead letter: what could not be processed, whole, with the reason and where it stood."""

from typing import Literal

import msgspec

from services.contracts.time import Micros


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`value` and `key` are the original bytes (base64 in JSON); nothing is lost.

    For one bad event inside a packed record, `index` is its place in the pack and `value`
    that event alone.
    """

    v: int = 1
    code: str
    reason: str
    origin: str
    topic: str
    partition: int
    offset: int
    at: Micros
    index: int | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: dict[str, bytes] = {}


class LetterDone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Record `done/1` on the dead-letter topic: the letter at `offset` needs nobody any more."""

    v: int = 1
    offset: int
    what: Literal["replayed", "discarded"]
    at: Micros
