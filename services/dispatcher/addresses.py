"""Addresses that are not worth another attempt: quarantined, bounced or unsubscribed."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Final, Protocol

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import DAY
from services.runtime.database import transient_errors

DIGEST_BYTES: Final = 16
REASON_CHARS_MAX: Final = 200
EXPIRED_ROWS_MAX: Final = 10_000


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """`failures` refusals of an address in a row keep it out for `days`."""

    failures: int
    days: int


def digest_of(channel: str, address: str) -> bytes:
    """What is kept of an address. Not a secret: whoever has the address can make it."""
    whole = f"{channel}\n{address}".encode()
    return hashlib.blake2b(whole, digest_size=DIGEST_BYTES).digest()


class Addresses(Protocol):
    """What is known of addresses, by `digest_of`. `Transient` while the store is away."""

    async def blocked(self, digests: Collection[bytes]) -> dict[bytes, str]:
        """Those among them that are kept out now, with the reason."""

    async def note(
        self, *, channel: str, refused: Mapping[bytes, str], accepted: Collection[bytes]
    ) -> int:
        """Count a refusal, forget the earlier ones of what was accepted; returns how many
        are kept out from now on. The two have nothing in common."""

    async def block(self, channel: str, digest: bytes, reason: str) -> None:
        """Keep an address out at once, as long as a quarantine lasts: it bounced, say."""

    async def release(self, digest: bytes) -> None:
        """Let it in again."""


_BLOCKED: Final = text("""
SELECT digest, reason FROM dispatcher.addresses
WHERE digest = ANY(CAST(:digests AS bytea[])) AND blocked_until > dispatcher.now_micros()
""")

# Sorted, so that two processes lock the rows in the same order. A block that has ended counts
# from the start again.
_REFUSED: Final = text("""
INSERT INTO dispatcher.addresses AS a (digest, channel, failures, blocked_until, reason, at)
SELECT g.digest, :channel, 1,
    CASE WHEN :failures <= 1 THEN dispatcher.now_micros() + CAST(:lasts AS bigint) END,
    g.reason, dispatcher.now_micros()
FROM unnest(CAST(:digests AS bytea[]), CAST(:reasons AS text[])) AS g(digest, reason)
ORDER BY g.digest
ON CONFLICT (digest) DO UPDATE
SET failures = CASE WHEN a.blocked_until <= dispatcher.now_micros() THEN 1
                    ELSE a.failures + 1 END,
    blocked_until = CASE
        WHEN a.blocked_until > dispatcher.now_micros() THEN a.blocked_until
        WHEN a.blocked_until IS NULL AND a.failures + 1 >= :failures
            OR :failures <= 1
            THEN dispatcher.now_micros() + CAST(:lasts AS bigint) END,
    reason = excluded.reason, at = excluded.at
RETURNING blocked_until IS NOT NULL AS blocked
""")

_ACCEPTED: Final = text("""
DELETE FROM dispatcher.addresses
WHERE digest = ANY(CAST(:digests AS bytea[])) AND blocked_until IS NULL
""")

_BLOCK: Final = text("""
INSERT INTO dispatcher.addresses AS a (digest, channel, failures, blocked_until, reason, at)
VALUES (:digest, :channel, 1, dispatcher.now_micros() + CAST(:lasts AS bigint), :reason,
    dispatcher.now_micros())
ON CONFLICT (digest) DO UPDATE
SET blocked_until = greatest(a.blocked_until, excluded.blocked_until),
    reason = excluded.reason, at = excluded.at
""")

_RELEASE: Final = text("DELETE FROM dispatcher.addresses WHERE digest = :digest")

_PRUNE: Final = text("""
DELETE FROM dispatcher.addresses WHERE digest IN (
    SELECT digest FROM dispatcher.addresses
    WHERE coalesce(blocked_until, at + CAST(:lasts AS bigint)) < dispatcher.now_micros()
    LIMIT :limit)
""")


class PostgresAddresses:
    """Shared by all dispatchers; instants are the database's."""

    def __init__(self, engine: AsyncEngine, quarantine: Quarantine) -> None:
        self._engine = engine
        self._failures = quarantine.failures
        self._lasts = quarantine.days * DAY

    async def blocked(self, digests: Collection[bytes]) -> dict[bytes, str]:
        """See `Addresses.blocked`."""
        with transient_errors():
            async with self._engine.begin() as connection:
                rows = await connection.execute(_BLOCKED, {"digests": list(digests)})
                return {bytes(row.digest): row.reason for row in rows}

    async def note(
        self, *, channel: str, refused: Mapping[bytes, str], accepted: Collection[bytes]
    ) -> int:
        """See `Addresses.note`."""
        blocked = 0
        with transient_errors():
            async with self._engine.begin() as connection:
                if refused:
                    values = {
                        "digests": list(refused),
                        "reasons": [reason[:REASON_CHARS_MAX] for reason in refused.values()],
                        "channel": channel,
                        "failures": self._failures,
                        "lasts": self._lasts,
                    }
                    rows = await connection.execute(_REFUSED, values)
                    blocked = sum(row.blocked for row in rows)
                if accepted:
                    await connection.execute(_ACCEPTED, {"digests": list(accepted)})
        return blocked

    async def block(self, channel: str, digest: bytes, reason: str) -> None:
        """See `Addresses.block`."""
        values = {
            "digest": digest,
            "channel": channel,
            "reason": reason[:REASON_CHARS_MAX],
            "lasts": self._lasts,
        }
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_BLOCK, values)

    async def release(self, digest: bytes) -> None:
        """See `Addresses.release`."""
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_RELEASE, {"digest": digest})

    async def prune(self) -> int:
        """Forget blocks that have ended and refusals as old as a block; returns how many."""
        with transient_errors():
            async with self._engine.begin() as connection:
                values = {"lasts": self._lasts, "limit": EXPIRED_ROWS_MAX}
                return (await connection.execute(_PRUNE, values)).rowcount


class MemoryAddresses:
    """The same for tests: in one process, for ever."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._failures: dict[bytes, int] = {}
        self._blocked: dict[bytes, str] = {}

    async def blocked(self, digests: Collection[bytes]) -> dict[bytes, str]:
        """See `Addresses.blocked`."""
        return {digest: self._blocked[digest] for digest in digests if digest in self._blocked}

    async def note(
        self, *, channel: str, refused: Mapping[bytes, str], accepted: Collection[bytes]
    ) -> int:
        """See `Addresses.note`."""
        blocked = 0
        for digest, reason in refused.items():
            self._failures[digest] = self._failures.get(digest, 0) + 1
            if self._failures[digest] >= self._quarantine.failures:
                self._blocked[digest] = reason
            blocked += digest in self._blocked
        for digest in accepted:
            if digest not in self._blocked:
                self._failures.pop(digest, None)
        return blocked

    async def block(self, channel: str, digest: bytes, reason: str) -> None:
        """See `Addresses.block`."""
        self._blocked[digest] = reason

    async def release(self, digest: bytes) -> None:
        """See `Addresses.release`."""
        self._blocked.pop(digest, None)
        self._failures.pop(digest, None)
