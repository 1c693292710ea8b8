"""Tokens and kept answers in memory; they pass the suites that PostgreSQL passes."""

import asyncio
from collections.abc import Callable

import msgspec

from services.contracts.time import Micros
from services.triggers.definitions.answers import ANSWERS_KEPT, Answer, Claim
from services.triggers.definitions.auditing import Entry
from services.triggers.definitions.memory import Tables, append_entries
from services.triggers.definitions.token_store import missing, revoked
from services.triggers.definitions.tokens import Token, TokenUse


class MemoryTokens:
    """`TokenStore` over the audit log of `Tables`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._tokens: dict[str, TokenUse] = {}
        self._by_hash: dict[bytes, str] = {}

    async def insert(self, token: Token, hash_: bytes, entry: Entry) -> None:
        """Keep it."""
        async with self._tables.turn:
            self._tokens[token.id] = TokenUse(token=token)
            self._by_hash[hash_] = token.id
            append_entries(self._tables, [entry])

    async def revoke(self, id_: str, at: Micros, entry: Callable[[Token, Token], Entry]) -> Token:
        """Mark it."""
        async with self._tables.turn:
            found = self._tokens.get(id_)
            if found is None:
                raise missing(id_)
            if found.token.revoked_at is not None:
                return found.token
            after = revoked(found.token, at)
            self._tokens[id_] = msgspec.structs.replace(found, token=after)
            append_entries(self._tables, [entry(found.token, after)])
            return after

    async def find(self, hash_: bytes) -> TokenUse | None:
        """By its hash."""
        await asyncio.sleep(0)
        id_ = self._by_hash.get(hash_)
        return None if id_ is None else self._tokens[id_]

    async def page(self, *, after: str, limit: int) -> list[TokenUse]:
        """In order of id."""
        return [self._tokens[id_] for id_ in sorted(self._tokens) if id_ > after][:limit]

    async def used(self, id_: str, at: Micros) -> None:
        """The later moment stays."""
        found = self._tokens[id_]
        later = max(at, found.last_used_at or at)
        self._tokens[id_] = msgspec.structs.replace(found, last_used_at=later)


class MemoryAnswers:
    """`Answers` in a dictionary."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], Claim] = {}

    async def claim(self, actor: str, key: str, hash_: bytes, at: Micros) -> Claim:
        """Take it, or say what stands there."""
        await asyncio.sleep(0)
        old = [one for one, claim in self._claims.items() if claim.claimed_at <= at - ANSWERS_KEPT]
        for one in old:
            del self._claims[one]
        standing = self._claims.get((actor, key))
        if standing is not None:
            return standing
        claim = Claim(mine=False, hash=hash_, claimed_at=at)
        self._claims[actor, key] = claim
        return msgspec.structs.replace(claim, mine=True)

    async def keep(self, actor: str, key: str, answer: Answer) -> None:
        """Beside the claim."""
        claim = self._claims.get((actor, key))
        if claim is not None:
            self._claims[actor, key] = msgspec.structs.replace(claim, answer=answer)

    async def forget(self, actor: str, key: str) -> None:
        """Gone."""
        self._claims.pop((actor, key), None)
