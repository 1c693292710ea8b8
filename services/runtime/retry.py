"""Staying with a call until it works, for work that must not be skipped."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.contracts.errors import Transient
from services.runtime.backoff import delay
from services.runtime.logs import get_logger

T = TypeVar("T")

FIRST_SECONDS: Final = 0.1
WAIT_SECONDS_MAX: Final = 5.0

_log = get_logger(__name__)


async def until_done(
    operation: str, call: Callable[[], Awaitable[T]], on_retry: Callable[[str], None]
) -> T:
    """Repeat `call` while it raises `Transient`, with waits of up to `WAIT_SECONDS_MAX`.

    It never gives up by itself: cancel it to stop. `on_retry` hears the operation's name
    before each repetition. Any other error of `call` comes out at once.
    """
    attempt = 0
    while True:
        try:
            return await call()
        except Transient as error:
            wait = error.retry_after_seconds or delay(
                attempt,
                first_seconds=FIRST_SECONDS,
                max_seconds=WAIT_SECONDS_MAX,
                random=random.random,
            )
            _log.warning("will try again", operation=operation, error=str(error))
        attempt += 1
        on_retry(operation)
        await asyncio.sleep(min(wait, WAIT_SECONDS_MAX))
