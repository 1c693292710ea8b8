"""What has to be looked after now and then: lost claims, untold outcomes, counts, age."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from services.contracts.errors import Transient
from services.contracts.metrics import LEDGER
from services.dispatcher.channels.port import Unknown
from services.dispatcher.commands import decode_known
from services.dispatcher.lane import INTERRUPTED, Lane, Rules
from services.dispatcher.ledger import Ledger
from services.dispatcher.ledger_reads import LedgerReader
from services.dispatcher.reporter import Reporter
from services.dispatcher.settler import Settled, Settler
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics

ROUND_SECONDS: Final = 1.0
TAKEN_OVER_MAX: Final = 500
PRUNE_SECONDS: Final = 600.0

_log = get_logger(__name__)


class Housekeeping:
    """Runs once a second. Every process does it; rows are shared out by their locks.

    `problem` says why the last round failed, None while the database answers.
    `backlog` is the number of open sends of all processes.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        reader: LedgerReader,
        lanes: Mapping[str, Lane],
        rules: Rules,
        settler: Settler,
        reporter: Reporter,
        metrics: Metrics,
        keep_days: int,
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._lanes = lanes
        self._rules = rules
        self._settler = settler
        self._reporter = reporter
        self._gauge = metrics.gauge(LEDGER)
        self._keep_days = keep_days
        self._prune_at = time.monotonic()
        self.problem: str | None = "not asked yet"
        self.backlog = 0

    def recorded(self, number: int) -> None:
        """So many sends have come in since the last count."""
        self.backlog += number

    async def run(self, stop: asyncio.Event) -> None:
        """Look after things until `stop`; a database that is away is tried again next time."""
        while not stop.is_set():
            try:
                await self.round()
            except Transient as error:
                self.problem = str(error)
            else:
                self.problem = None
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass  # time for the next round

    async def round(self) -> None:
        """Once; raises `Transient` while the database is away."""
        counts = await self._reader.counts()
        for state, number in counts.items():
            self._gauge.labels(state=state).set(number)
        self.backlog = counts["pending"] + counts["sending"]
        await self._resume()
        while untold := await self._ledger.unreported(TAKEN_OVER_MAX):
            await self._reporter.put(untold)
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_SECONDS
            while pruned := await self._reader.prune(self._keep_days):
                _log.info("forgot old sends", count=pruned)

    async def _resume(self) -> None:
        """Decide about sends in whose middle a process ended: their effect is unknown."""
        while lost := await self._ledger.interrupted(TAKEN_OVER_MAX):
            _log.warning("found interrupted sends", count=len(lost))
            for claim in lost:
                lane = self._lanes.get(claim.queue)
                idempotent = lane is not None and lane.channel.idempotent
                outcome = Unknown(reason=INTERRUPTED)
                self._settler.put(
                    Settled(
                        claim=claim,
                        command=decode_known(claim.command),
                        settlement=self._rules.settle(claim, outcome, idempotent=idempotent),
                        done=_nothing,
                    )
                )


def _nothing() -> None:
    """Sends taken over hold no place in a lane."""
