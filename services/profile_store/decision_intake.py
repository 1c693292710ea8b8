"""A batch of `decisions` into the log: in order, with bounded retries, bad ones buried."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from services.contracts.decision import Decision
from services.contracts.errors import Malformed
from services.contracts.metrics import (
    DECISION_LOG,
    DECISION_LOG_SECONDS,
)
from services.contracts.time import SECOND
from services.profile_store.decision_log import DecisionLog, Logged, logged_of
from services.profile_store.storing import DeadLetters, Record, Storing
from services.runtime.clock import Clock
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.upkeep import now_and_then

PRUNE_SECONDS: Final = 3600.0

_log = get_logger(__name__)


class DecisionIntake:
    """Stores batches one after the other, in the order in which they are given.

    `clock` is None where time is what the records say: there is no lag to be measured then.
    Decisions are kept as `shown` shows them to everybody: what is masked is not stored.
    """

    def __init__(
        self,
        decisions: DecisionLog,
        dead_letters: DeadLetters,
        metrics: Metrics,
        *,
        clock: Clock | None,
        shown: Callable[[Decision], Decision],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._decisions = decisions
        self._storing = Storing(dead_letters, metrics, sleep=sleep)
        self._clock = clock
        self._shown = shown
        self._turn = asyncio.Lock()
        self._stored = metrics.counter(DECISION_LOG)
        self._seconds = metrics.histogram(DECISION_LOG_SECONDS)

    async def store(self, records: Sequence[Record]) -> None:
        """Store a batch, or bury what can never be stored.

        Raises:
            Transient: the database or the broker stayed away for `ATTEMPTS_MAX` tries.
        """
        async with self._turn:
            good: list[Logged] = []
            for record in records:
                try:
                    good.append(self._read(record))
                except Malformed as error:
                    await self._bury(record, error)
            if good:
                done = await self._storing.retrying("decisions", lambda: self._decisions.put(good))
                self._stored.labels("written").inc(done.written)
                self._stored.labels("repeated").inc(done.repeated)
                self._measure(good)

    def _measure(self, batch: Sequence[Logged]) -> None:
        if self._clock is None:
            return
        # Of each batch the one that waited longest, and so whoever is behind shows it.
        now, oldest = self._clock.stamp(None), min(one.decision.now for one in batch)
        self._seconds.observe(max(0, now - oldest) / SECOND)

    async def _bury(self, record: Record, error: Malformed) -> None:
        await self._storing.bury(record, error)
        self._stored.labels("dead_letter").inc()

    def _read(self, record: Record) -> Logged:
        logged = logged_of(
            record.value,
            partition=record.partition,
            offset=record.offset,
            written_ms=record.timestamp,
        )
        return msgspec.structs.replace(logged, decision=self._shown(logged.decision))


async def keep_pruned(
    decisions: DecisionLog, stop: asyncio.Event, *, keep_micros: int, keep_people: int
) -> None:
    """Forget what is old, now and then, until `stop`."""

    async def prune() -> None:
        gone = await decisions.prune(keep_micros=keep_micros, keep_people=keep_people)
        if gone:
            _log.info("decisions pruned", decisions=gone)

    await now_and_then("prune decisions", prune, stop, seconds=PRUNE_SECONDS)
