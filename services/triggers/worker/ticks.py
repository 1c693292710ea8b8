"""Ticks: the owner of a partition tells it the time, twice a second."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from services.contracts.codec import encode_json
from services.contracts.control import Tick
from services.contracts.topics import KIND_HEADER, KIND_TICK
from services.runtime.batch.writer import BatchWriter

TICK_SECONDS: Final = 0.5
"""Timers fire on ticks, and within a second of their time."""
_HEADERS: Final = ((KIND_HEADER, KIND_TICK),)


class Ticker:
    """Writes ticks of the machine's clock into the partitions owned at that moment."""

    def __init__(
        self, writer: BatchWriter, *, topic: str, owned: Callable[[], Iterable[int]]
    ) -> None:
        self._writer = writer
        self._topic = topic
        self._owned = owned

    async def run(self) -> None:
        """Tick on whole and half seconds until cancelled. One that was missed is not made up for.

        Raises:
            KafkaError: a tick was not acknowledged.
        """
        while True:
            await asyncio.sleep(TICK_SECONDS - time.time() % TICK_SECONDS)
            value = encode_json(Tick(at=time.time_ns() // 1000))
            await asyncio.gather(
                *(
                    self._writer.write(self._topic, partition, [(None, value)], _HEADERS)
                    for partition in list(self._owned())
                )
            )
