"""Rate limits that all dispatchers share: token buckets in PostgreSQL."""

from collections.abc import Callable
from typing import Final, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import SECOND, Micros
from services.runtime.database import transient_errors

BURST_SECONDS: Final = 1.0
"""A bucket holds what comes in this time, and at least one."""


def burst_of(rate: float) -> float:
    """The most that one instant may take of a bucket filled with `rate` a second."""
    return max(1.0, rate * BURST_SECONDS)


class Rates(Protocol):
    """Buckets by name, filled with `rate` tokens a second up to `burst_of(rate)`.

    In any t seconds all processes together take at most `burst_of(rate) + rate * t`.
    Each method raises `Transient` while the store is away.
    """

    async def take(self, name: str, wanted: int, rate: float) -> int:
        """Take up to `wanted` whole tokens; returns how many there were."""

    async def give_back(self, name: str, tokens: int, rate: float) -> None:
        """Return tokens that were not used."""


class MemoryRates:
    """The same within one process, with the clock given: `now` in microseconds."""

    def __init__(self, now: Callable[[], Micros]) -> None:
        self._now = now
        self._buckets: dict[str, tuple[float, Micros]] = {}

    async def take(self, name: str, wanted: int, rate: float) -> int:
        """See `Rates.take`."""
        now, burst = self._now(), burst_of(rate)
        tokens, filled_at = self._buckets.get(name, (burst, now))
        tokens = min(burst, tokens + rate * max(0, now - filled_at) / SECOND)
        taken = min(wanted, int(tokens))
        self._buckets[name] = (tokens - taken, max(now, filled_at))
        return taken

    async def give_back(self, name: str, tokens: int, rate: float) -> None:
        """See `Rates.give_back`."""
        before, filled_at = self._buckets.get(name, (0.0, self._now()))
        self._buckets[name] = (min(burst_of(rate), before + tokens), filled_at)


_MAKE: Final = text("""
INSERT INTO dispatcher.buckets (name, tokens, filled_at)
VALUES (:name, :burst, dispatcher.now_micros()) ON CONFLICT (name) DO NOTHING
""")

# `now` is when the transaction began: who waited for the row may be older than what it holds.
_TAKE: Final = text("""
WITH held AS MATERIALIZED (
    SELECT name, greatest(filled_at, dispatcher.now_micros()) AS now,
        least(CAST(:burst AS float8),
              tokens + CAST(:rate AS float8)
                  * greatest(0, dispatcher.now_micros() - filled_at) / 1000000.0) AS tokens
    FROM dispatcher.buckets WHERE name = :name FOR UPDATE
)
UPDATE dispatcher.buckets b
SET tokens = held.tokens - least(CAST(:wanted AS integer), floor(held.tokens)),
    filled_at = held.now
FROM held WHERE b.name = held.name
RETURNING CAST(least(CAST(:wanted AS integer), floor(held.tokens)) AS integer)
""")

_GIVE_BACK: Final = text("""
UPDATE dispatcher.buckets SET tokens = least(CAST(:burst AS float8), tokens + :tokens)
WHERE name = :name
""")


class PostgresRates:
    """Buckets in the dispatcher's schema, by the database's clock."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._made: set[str] = set()

    async def take(self, name: str, wanted: int, rate: float) -> int:
        """See `Rates.take`."""
        values = {"name": name, "burst": burst_of(rate)}
        with transient_errors():
            async with self._engine.begin() as connection:
                if name not in self._made:
                    await connection.execute(_MAKE, values)
                taken = await connection.execute(_TAKE, {**values, "wanted": wanted, "rate": rate})
                found = taken.scalar_one_or_none()
        if found is None:
            # An unlogged table is empty after the server crashed.
            self._made.discard(name)
            return 0
        self._made.add(name)
        return int(found)

    async def give_back(self, name: str, tokens: int, rate: float) -> None:
        """See `Rates.give_back`."""
        values = {"name": name, "burst": burst_of(rate), "tokens": float(tokens)}
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_GIVE_BACK, values)
