"""A batch of `quality` into the report: in order, with bounded retries, bad ones buried."""

import asyncio
from collections.abc import Sequence
from typing import Final

from services.contracts.errors import Malformed
from services.contracts.metrics import FINDINGS
from services.profile_store.quality_log import QualityLog, findings_of
from services.profile_store.storing import Record, Storing
from services.runtime.metrics import Metrics
from services.runtime.upkeep import now_and_then

PRUNE_SECONDS: Final = 3600.0


class QualityIntake:
    """Stores batches one after the other, in the order in which they are given."""

    def __init__(self, quality: QualityLog, storing: Storing, metrics: Metrics) -> None:
        self._quality = quality
        self._storing = storing
        self._turn = asyncio.Lock()
        self._counted = metrics.counter(FINDINGS)

    async def store(self, records: Sequence[Record]) -> None:
        """Store a batch, or bury what can never be stored.

        Raises:
            Transient: the database or the broker stayed away for too long.
        """
        async with self._turn:
            for record in records:
                try:
                    found = findings_of(record.value)
                except Malformed as error:
                    await self._storing.bury(record, error)
                    continue
                fresh = await self._storing.retrying(
                    "quality",
                    lambda found=found: self._quality.put(found),  # type: ignore[misc]
                )
                self._counted.labels("counted").inc(fresh)
                self._counted.labels("repeated").inc(len(found.findings) - fresh)


async def keep_thin(quality: QualityLog, stop: asyncio.Event, *, keep_days: int) -> None:
    """Forget what is old, now and then, until `stop`."""
    await now_and_then(
        "prune data quality",
        lambda: quality.prune(keep_days=keep_days),
        stop,
        seconds=PRUNE_SECONDS,
    )
