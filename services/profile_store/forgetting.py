"""Forgetting history that is too old."""

import asyncio
from typing import Final

from services.contracts.errors import Transient
from services.contracts.time import DAY
from services.profile_store.population import Population
from services.profile_store.settings import ProfileStoreSettings
from services.runtime.clock import WallClock
from services.runtime.logs import get_logger

ROUND_SECONDS: Final = 600.0
FORGOTTEN_MAX: Final = 10_000
"""In one statement; rounds go on until there is nothing left to forget."""

_log = get_logger(__name__)


async def keep_recent(
    population: Population, settings: ProfileStoreSettings, stop: asyncio.Event
) -> None:
    """Drop changes that are too old, every ten minutes; an away database is tried again.

    Nothing in a replay, whose log goes by another time.
    """
    if settings.clock == "replay":
        await stop.wait()
        return
    clock, kept = WallClock(), settings.profile_store_history_days * DAY
    while not stop.is_set():
        try:
            while await population.forget(clock.stamp(None) - kept, FORGOTTEN_MAX) == FORGOTTEN_MAX:
                pass
        except Transient as error:
            _log.warning("history not cleared", error=str(error))
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await stop.wait()
        except TimeoutError:
            pass  # time for the next round
