"""The port to kept answers: a POST repeated with its idempotency key is done once."""

from typing import Final, Protocol

import msgspec

from services.contracts.time import HOUR, Micros

ANSWERS_KEPT: Final[Micros] = 24 * HOUR
KEY_CHARS_MAX: Final = 255
ANSWER_BYTES_MAX: Final = 1024 * 1024
"""A longer answer is not kept: its repetition is told that it was done."""
FORGOTTEN_AT_ONCE_MAX: Final = 100
"""Old answers that one new one clears away."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered. `body` is None where it is not kept: too long, or a secret."""

    status: int
    headers: dict[str, str]
    body: bytes | None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What stands under a key: `mine` where nothing did, and the caller may go on.

    `answer` is None while the request is under way, and for ever where its process died.
    """

    mine: bool
    hash: bytes
    claimed_at: Micros
    answer: Answer | None = None


class Answers(Protocol):
    """Keeps answers for `ANSWERS_KEPT`. Keys of different actors have nothing in common.

    Raises:
        Transient: (all methods) the database cannot be reached for now.
    """

    async def claim(self, actor: str, key: str, hash_: bytes, at: Micros) -> Claim:
        """Take the key for a request of this hash, or say what stands there; of many at the
        same time one takes it. One from `ANSWERS_KEPT` ago is as if it were not there.
        """

    async def keep(self, actor: str, key: str, answer: Answer) -> None:
        """The answer to the request that claimed the key."""

    async def forget(self, actor: str, key: str) -> None:
        """Give the key back: nothing was done under it."""
