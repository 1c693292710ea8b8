"""Noticing that this process slept: its partitions may have been given to others meanwhile."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

RENEW_SECONDS: Final = 0.25


class LeaseLost(RuntimeError):
    """The process must stop without writing anything more."""


class Lease:
    """Holds while the event loop turns at least once in `seconds`.

    Kafka gives a silent member's partitions away after the session timeout. A process that
    was suspended for longer would go on with states that another owner has changed, and
    overwrite them. `check` stands before each write.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._renewed_at = clock()

    def check(self) -> None:
        """Renew it.

        Raises:
            LeaseLost: too late.
        """
        now = self._clock()
        if now - self._renewed_at > self._seconds:
            raise LeaseLost(f"asleep for {now - self._renewed_at:.1f} s, a session is shorter")
        self._renewed_at = now

    async def run(self) -> None:
        """Renew it until cancelled.

        Raises:
            LeaseLost: too late.
        """
        while True:
            self.check()
            await asyncio.sleep(RENEW_SECONDS)
