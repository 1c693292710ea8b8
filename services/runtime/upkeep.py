"""What is done now and then beside a process's work, and may wait while a database is away."""

import asyncio
from collections.abc import Awaitable, Callable

from services.contracts.errors import Transient
from services.runtime.logs import get_logger

_log = get_logger(__name__)


async def now_and_then(
    what: str, work: Callable[[], Awaitable[object]], stop: asyncio.Event, *, seconds: float
) -> None:
    """Do it at once and every so many seconds until `stop`; `what` names it in the log.

    What fails with `Transient` is done again when it is due again. Any other error comes out.
    """
    while not stop.is_set():
        try:
            await work()
        except Transient as error:
            _log.warning("upkeep put off", what=what, error=str(error))
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass  # time for the next round
