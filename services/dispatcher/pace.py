"""Bulk gives way: where the process is short of time, urgent sends get it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 0.05
LATE_SECONDS: Final = 0.004
"""Later than this the event loop has more to do than it gets done, or the database; a send waits
several times as long."""
URGENT_SECONDS: Final = 2.0
"""So long after the last urgent send there may be another."""
SHARE_MIN: Final = 1 / 16
LESS: Final = 0.5
MORE: Final = 1.1
BATCH_SHARE: Final = 0.1
"""Of a batch, while urgent sends come: they wait for each that is being written."""
WAIT_SECONDS: Final = 0.2


class Pace:
    """What share of its places bulk may use: all, unless urgent sends come and are held up.

    One for a process. Each step of a send waits its turn in the event loop and in the database, so
    one that is late holds up everybody. Bulk can wait: its part is halved until the others keep up,
    and grows again.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._urgent_at = float("-inf")
        self.share = 1.0

    def urgent(self) -> None:
        """An urgent send has come."""
        self._urgent_at = self._now()

    def late(self, seconds: float) -> None:
        """The loop came back so much later than it should have."""
        if seconds > LATE_SECONDS and self._urgent_comes():
            self.share = max(SHARE_MIN, self.share * LESS)
        else:
            self.share = min(1.0, self.share * MORE)

    def places_of(self, concurrency: int) -> int:
        """How many places bulk may have of so many; always one."""
        return max(1, int(concurrency * self.share))

    def batch_of(self, size: int) -> int:
        """How many bulk commands may be brought in together, where it could be so many."""
        return max(1, int(size * BATCH_SHARE)) if self._urgent_comes() else size

    def _urgent_comes(self) -> bool:
        return self._now() < self._urgent_at + URGENT_SECONDS

    async def give_way(self) -> None:
        """Whoever brings in bulk waits here while there is too much to do already."""
        if self.share < 1.0:
            await asyncio.sleep(WAIT_SECONDS * (1.0 - self.share))

    async def run(self, stop: asyncio.Event) -> None:
        """Watch the loop until `stop`."""
        while not stop.is_set():
            began = self._now()
            await asyncio.sleep(LOOK_SECONDS)
            self.late(self._now() - began - LOOK_SECONDS)
