"""Access tokens that providers give for a while, fetched once for all who wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from services.dispatcher.channels.port import Outcome

EARLY_SECONDS: Final = 60.0
"""A token is not used in the last minute of its life: clocks differ, requests take time."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token and how long it is good for."""

    value: str
    seconds: float


class Tokens:
    """The current token. `fetch` gives a new one, or the outcome of a send without one."""

    def __init__(self, fetch: Callable[[], Awaitable[Token | Outcome]]) -> None:
        self._fetch = fetch
        self._token: str | None = None
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> str | Outcome:
        """The token, fetched where there is none or it is about to end."""
        async with self._lock:
            if self._token is not None and time.monotonic() < self._until:
                return self._token
            found = await self._fetch()
            if not isinstance(found, Token):
                return found
            self._token = found.value
            self._until = time.monotonic() + found.seconds - EARLY_SECONDS
            return self._token

    def forget(self, token: str) -> None:
        """It was refused. A newer one, fetched meanwhile, stays."""
        if self._token == token:
            self._token = None
