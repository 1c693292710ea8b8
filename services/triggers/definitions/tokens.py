"""API tokens of people and programs: made once, kept as a hash, expiring, revocable."""

import hashlib
import secrets
from typing import Final

import msgspec

from services.contracts.time import DAY, MINUTE, Micros
from services.triggers.definitions.actors import Actor, Role

TOKEN_BEGINS: Final = "cue_"  # noqa: S105  (of every token)
SECRET_BYTES: Final = 32
SHOWN_CHARS: Final = len(TOKEN_BEGINS) + 6
"""What is kept readable of a token, to recognise it by: 36 of its 256 random bits."""
TOKEN_DAYS_MAX: Final = 366
TOKEN_DAYS_DEFAULT: Final = 90
USED_EVERY: Final[Micros] = MINUTE
"""How exactly `last_used_at` is kept: not every request shall be a write."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token; the secret itself is known only to whoever made it.

    `owner` is the id of the person behind it (a second token of the same person is the same
    person to the two-person rule), or of the program where `person` is false.
    """

    id: str
    name: str
    owner: str
    person: bool
    role: Role
    prefix: str
    created_by: str
    created_at: Micros
    expires_at: Micros
    revoked_at: Micros | None = None

    def actor(self) -> Actor:
        """Whom a request with this token comes from."""
        return Actor(
            id=self.owner,
            name=self.name,
            role=self.role,
            kind="token",
            person=self.person,
            credential=self.id,
        )

    def good_at(self, now: Micros) -> bool:
        """Whether it is accepted."""
        return self.revoked_at is None and now < self.expires_at


class TokenUse(msgspec.Struct, frozen=True, kw_only=True):
    """A token and when it was last used, to `USED_EVERY`; None: never."""

    token: Token
    last_used_at: Micros | None = None


def new_secret() -> str:
    """A secret with 256 random bits."""
    return TOKEN_BEGINS + secrets.token_urlsafe(SECRET_BYTES)


def new_token_id() -> str:
    """An id that says nothing."""
    return f"tok_{secrets.token_hex(8)}"


def hash_of(secret: str) -> bytes:
    """What is kept of a secret. It is random itself, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def expiry(now: Micros, days: int) -> Micros:
    """When a token made now for so many days ends."""
    return now + days * DAY
