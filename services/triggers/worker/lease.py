"""Noticing that the partitions may be another worker's: nothing more may be written then."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LOOK_SECONDS: Final = 0.25


class LeaseLost(RuntimeError):
    """The process must end at once, with every write that is still on its way."""


class Lease:
    """Holds while the group answers heartbeats: as long as that is younger than a session.

    Kafka gives a silent member's partitions away after the session timeout. A worker that was
    suspended, or cut off, for longer would overwrite what the new owner has written, because
    nothing at the broker fences the changelog's writers from each other. So it looks before
    each write, and while one is under way (the client repeats those by itself). What is left
    is a request that stands in the network's own buffers when the process ends.
    """

    def __init__(
        self,
        seconds: float,
        heartbeat_at: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._heartbeat_at = heartbeat_at
        self._clock = clock
        self._writing = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Around a write.

        Raises:
            LeaseLost: it must not begin, or should not have gone on.
        """
        self._check()
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1
        self._check()

    async def watch(self) -> None:
        """Look after the writes under way until cancelled.

        Raises:
            LeaseLost: one of them may no longer arrive.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._writing:
                self._check()

    def _check(self) -> None:
        silent = self._clock() - self._heartbeat_at()
        if silent > self._seconds:
            raise LeaseLost(f"no heartbeat was answered for {silent:.1f} s")
