"""Forgetting history that is too old."""

import asyncio
from typing import Final

from services.contracts.time import DAY
from services.profile_store.population import Population
from services.profile_store.settings import ProfileStoreSettings
from services.runtime.clock import WallClock
from services.runtime.upkeep import now_and_then

ROUND_SECONDS: Final = 600.0
FORGOTTEN_MAX: Final = 10_000
"""In one statement; rounds go on until there is nothing left to forget."""


async def keep_recent(
    population: Population, settings: ProfileStoreSettings, stop: asyncio.Event
) -> None:
    """Drop changes that are too old, every ten minutes.

    Nothing in a replay, whose log goes by another time.
    """
    if settings.clock == "replay":
        await stop.wait()
        return
    clock, kept = WallClock(), settings.profile_store_history_days * DAY

    async def forget() -> None:
        while await population.forget(clock.stamp(None) - kept, FORGOTTEN_MAX) == FORGOTTEN_MAX:
            pass

    await now_and_then("forget history", forget, stop, seconds=ROUND_SECONDS)
