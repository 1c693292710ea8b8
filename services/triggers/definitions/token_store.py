"""The port to where API tokens are kept, and the rules of making and revoking them."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from services.contracts.time import Micros
from services.triggers.definitions.actors import Actor, Origin, Role, refuse_role
from services.triggers.definitions.auditing import Entry, token_entry
from services.triggers.definitions.tokens import (
    SHOWN_CHARS,
    TOKEN_BEGINS,
    USED_EVERY,
    Token,
    TokenUse,
    expiry,
    hash_of,
    new_secret,
    new_token_id,
)
from services.triggers.definitions.values import NotFound


class TokenStore(Protocol):
    """Keeps tokens; each change comes with its entry of the audit log, in one transaction.

    Raises:
        Transient: (all methods) the database cannot be reached for now.
    """

    async def insert(self, token: Token, hash_: bytes, entry: Entry) -> None:
        """Keep a new token under the hash of its secret."""

    async def revoke(self, id_: str, at: Micros, entry: Callable[[Token, Token], Entry]) -> Token:
        """Mark it revoked at `at`; once it is, nothing changes and no entry is written.

        Raises:
            NotFound: there is no such token.
        """

    async def find(self, hash_: bytes) -> TokenUse | None:
        """The token with this hash, good or not."""

    async def page(self, *, after: str, limit: int) -> list[TokenUse]:
        """Tokens with ids greater than `after`, in order of id, good or not."""

    async def used(self, id_: str, at: Micros) -> None:
        """Note that it was used; the later moment stays."""


class Tokens:
    """Making, revoking and recognising tokens. `now` gives microseconds."""

    def __init__(self, store: TokenStore, now: Callable[[], Micros]) -> None:
        self._store = store
        self._now = now

    async def make(
        self, *, by: Origin, name: str, owner: str, person: bool, role: Role, days: int
    ) -> tuple[Token, str]:
        """A new token and its secret, which nobody can show again.

        Raises:
            Forbidden: the caller is no administrator.
        """
        refuse_role(by.actor, "administrator", "making tokens")
        now, secret = self._now(), new_secret()
        token = Token(
            id=new_token_id(),
            name=name,
            owner=owner,
            person=person,
            role=role,
            prefix=secret[:SHOWN_CHARS],
            created_by=by.actor.id,
            created_at=now,
            expires_at=expiry(now, days),
        )
        entry = token_entry(by, "token_created", None, token, now)
        await self._store.insert(token, hash_of(secret), entry)
        return token, secret

    async def revoke(self, id_: str, *, by: Origin) -> Token:
        """Refuse it from now on, in every process.

        Raises:
            Forbidden, NotFound: no administrator; no such token.
        """
        refuse_role(by.actor, "administrator", "revoking tokens")
        now = self._now()
        return await self._store.revoke(
            id_, now, lambda before, after: token_entry(by, "token_revoked", before, after, now)
        )

    async def page(self, *, after: str, limit: int) -> list[TokenUse]:
        """Tokens in order of id, from after `after`."""
        return await self._store.page(after=after, limit=limit)

    async def authenticate(self, presented: str) -> Actor | None:
        """Whom it stands for, None for nobody; asks the database each time, so that a revoked
        one is refused at once.
        """
        if not presented.startswith(TOKEN_BEGINS):
            return None
        # Found by hash: the time it takes says nothing about the secret.
        found = await self._store.find(hash_of(presented))
        now = self._now()
        if found is None or not found.token.good_at(now):
            return None
        if found.last_used_at is None or now >= found.last_used_at + USED_EVERY:
            await self._store.used(found.token.id, now)
        return found.token.actor()


def revoked(token: Token, at: Micros) -> Token:
    """The token, good no longer."""
    return msgspec.structs.replace(token, revoked_at=at)


def missing(id_: str) -> NotFound:
    """There is no such token."""
    return NotFound(f"there is no token {id_}")
