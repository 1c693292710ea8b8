"""What has to be looked after now and then: lost claims, untold outcomes, counts, age."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from services.contracts.errors import Transient
from services.contracts.metrics import ENDED_UNSENT, LEDGER
from services.dispatcher.addresses import PostgresAddresses
from services.dispatcher.commands import decode_known
from services.dispatcher.inbox import InboxStore
from services.dispatcher.ledger import Ledger
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.ledger_reads import LedgerReader
from services.dispatcher.moves import Moves
from services.dispatcher.provider import Provider
from services.dispatcher.reporter import Reporter
from services.dispatcher.rules import Rules
from services.dispatcher.settler import Settled, Settler
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics

ROUND_SECONDS: Final = 1.0
TAKEN_OVER_MAX: Final = 500
PRUNE_SECONDS: Final = 600.0
MOVED_DAYS: Final = 60
"""Who moved is known for so much longer than messages are kept: what was under way may come late,
and an app may show a token of before."""
COUNT_SHARE: Final = 100
"""Counting a large ledger takes long, and others wait for it: one part in so many of the time. With
a million open sends the counts are of the last minute."""

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
        changes: LedgerChanges,
        addresses: PostgresAddresses,
        reader: LedgerReader,
        providers: Mapping[str, Provider],
        rules: Rules,
        settler: Settler,
        reporter: Reporter,
        metrics: Metrics,
        keep_days: int,
        inbox: InboxStore,
        moves: Moves,
        inbox_days: int,
    ) -> None:
        self._ledger = ledger
        self._changes = changes
        self._addresses = addresses
        self._reader = reader
        self._providers = providers
        self._rules = rules
        self._settler = settler
        self._reporter = reporter
        self._gauge = metrics.gauge(LEDGER)
        self._unsent = metrics.counter(ENDED_UNSENT)
        self._keep_days = keep_days
        self._inbox = inbox
        self._moves = moves
        self._inbox_days = inbox_days
        self._prune_at = self._count_at = time.monotonic()
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
        if time.monotonic() >= self._count_at:
            await self._count()
        await self._resume()
        while late := await self._expire():
            self._unsent.labels(reason="expired").inc(late)
        while untold := await self._ledger.unreported(TAKEN_OVER_MAX):
            await self._reporter.put(untold)
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_SECONDS
            await self._prune()

    async def _count(self) -> None:
        began = time.monotonic()
        counts = await self._reader.counts()
        for state, number in counts.items():
            self._gauge.labels(state=state).set(number)
        self.backlog = counts["pending"] + counts["sending"]
        took = time.monotonic() - began
        if took * COUNT_SHARE > ROUND_SECONDS:
            self._count_at = began + took * COUNT_SHARE

    async def _expire(self) -> int:
        at = self._rules.ends_at()
        if at is None:
            return 0
        late = await self._ledger.expire(TAKEN_OVER_MAX, at=at)
        if late:
            await self._reporter.put(late)
        return len(late)

    async def _resume(self) -> None:
        """Decide about sends in whose middle a process ended: their effect is unknown."""
        while lost := await self._ledger.interrupted(TAKEN_OVER_MAX):
            _log.warning("found interrupted sends", count=len(lost))
            for claim in lost:
                provider = self._providers.get(
                    claim.queue if claim.provider is None else claim.provider
                )
                idempotent = provider is not None and provider.channel.idempotent
                command = decode_known(claim.command)
                self._settler.put(
                    Settled(
                        claim=claim,
                        command=command,
                        settlement=self._rules.interrupted(claim, command, idempotent=idempotent),
                        idempotent=idempotent,
                        done=_nothing,
                    )
                )

    async def _prune(self) -> None:
        pruned = 0
        while some := await self._reader.prune(self._keep_days):
            pruned += some
        while some := await self._changes.prune_cancels(self._keep_days):
            pruned += some
        while some := await self._addresses.prune():
            pruned += some
        while some := await self._inbox.prune(self._inbox_days):
            pruned += some
        while some := await self._moves.prune(self._inbox_days + MOVED_DAYS):
            pruned += some
        if pruned:
            _log.info("forgot old sends, cancels, addresses and messages", count=pruned)


def _nothing() -> None:
    """Sends taken over hold no place in a lane."""
