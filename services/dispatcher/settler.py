"""Writes outcomes into the ledger, as many at a time as came together."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from services.contracts.command import SendCommand
from services.contracts.metrics import QUARANTINED, RETRIES, SEND_SECONDS
from services.contracts.time import SECOND
from services.dispatcher.addresses import Addresses
from services.dispatcher.ledger import Claim, Finished, Ledger, Result
from services.dispatcher.policy import SendState, Settlement
from services.dispatcher.reporter import Accepted, Reporter
from services.runtime.clock import Clock
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done

SETTLED_TOGETHER_MAX: Final = 2000

_log = get_logger(__name__)


class Settled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A claim with its outcome. `done` is called once the ledger has it.

    `idempotent`: repeating it would be harmless. `digest` is that of the address, if any.
    `enough`: for so many places it is worth to write one report.
    """

    claim: Claim
    command: SendCommand
    settlement: Settlement
    idempotent: bool
    digest: bytes | None = None
    done: Callable[[], None]
    enough: int = 1


class Settler:
    """Outcomes wait here only while the ledger is being written: lanes bound their number.

    An acceptance that could be repeated without harm is told to the log first and written
    down together with that: one write less. Everything else stands in the ledger first.
    """

    def __init__(
        self,
        ledger: Ledger,
        addresses: Addresses,
        reporter: Reporter,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._addresses = addresses
        self._reporter = reporter
        self._clock = clock
        self._seconds = metrics.histogram(SEND_SECONDS)
        self._retries = metrics.counter(RETRIES)
        self._quarantined = metrics.counter(QUARANTINED)
        self._waiting: list[Settled] = []
        self._arrived = asyncio.Event()
        self._ending = False

    def put(self, settled: Settled) -> None:
        """Hand an outcome over; never waits."""
        if settled.settlement.state is SendState.ACCEPTED:
            seconds = time.time() - settled.claim.read_at / SECOND
            self._seconds.labels(channel=settled.command.channel).observe(max(0.0, seconds))
        self._waiting.append(settled)
        self._arrived.set()

    def end(self) -> None:
        """Let `run` return once everything handed over stands in the ledger."""
        self._ending = True
        self._arrived.set()

    async def run(self) -> None:
        """Settle until told to end; waits for the database however long it takes."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                batch = self._waiting[:SETTLED_TOGETHER_MAX]
                del self._waiting[:SETTLED_TOGETHER_MAX]
                await self._settle(batch)
            if self._ending:
                return

    async def _settle(self, batch: list[Settled]) -> None:
        accepted: list[Accepted] = []
        others: list[Settled] = []
        for settled in batch:
            if settled.idempotent and settled.settlement.state is SendState.ACCEPTED:
                result = self._result(settled)
                finished = _finished(settled, result)
                accepted.append(Accepted(result, finished, settled.done, settled.enough))
            else:
                others.append(settled)
        await self._note_addresses(batch)
        if accepted:
            self._reporter.put_accepted(accepted)
        if others:
            await self._settle_first(others)

    async def _settle_first(self, batch: list[Settled]) -> None:
        results = {settled.claim.send_id: self._result(settled) for settled in batch}
        ours = await until_done(
            "settle", lambda: self._ledger.settle(list(results.values())), self._on_retry
        )
        finished = []
        for settled in batch:
            send_id = settled.claim.send_id
            if send_id not in ours:
                _log.warning("another process decided this send", send_id=send_id)
            elif results[send_id].finished_at is not None:
                finished.append(_finished(settled, results[send_id]))
        if finished:
            await self._reporter.put(finished)
        for settled in batch:
            settled.done()

    async def _note_addresses(self, batch: list[Settled]) -> None:
        """Tell apart the addresses that were refused now from those that work."""
        refused: dict[str, dict[bytes, str]] = {}
        accepted: dict[str, set[bytes]] = {}
        for settled in batch:
            if settled.digest is None:
                continue
            channel, settlement = settled.command.channel, settled.settlement
            if settlement.state is SendState.ACCEPTED:
                accepted.setdefault(channel, set()).add(settled.digest)
            elif settlement.about_address:
                refused.setdefault(channel, {})[settled.digest] = settlement.reason or ""
        for channel in refused.keys() | accepted.keys():
            no = refused.get(channel, {})
            note = partial(
                self._addresses.note,
                channel=channel,
                refused=no,
                accepted=accepted.get(channel, set()) - no.keys(),
            )
            blocked = await until_done("note_addresses", note, self._on_retry)
            if blocked:
                self._quarantined.labels(channel=channel).inc(blocked)

    def _on_retry(self, operation: str) -> None:
        self._retries.labels(operation=operation).inc()

    def _result(self, settled: Settled) -> Result:
        settlement = settled.settlement
        waits = settlement.state is SendState.PENDING
        return Result(
            send_id=settled.claim.send_id,
            attempts=settled.claim.attempts,
            state=settlement.state,
            doubtful=settlement.doubtful,
            bound=settlement.bound,
            reason=settlement.reason,
            provider_id=settlement.provider_id,
            wait_micros=settlement.wait_micros,
            finished_at=None if waits else self._clock.stamp(settled.command.decided_at),
        )


def _finished(settled: Settled, result: Result) -> Finished:
    assert result.finished_at is not None
    return Finished(
        send_id=result.send_id,
        person=settled.command.person,
        trigger=settled.command.trigger,
        channel=settled.command.channel,
        state=result.state,
        attempts=result.attempts,
        reason=result.reason,
        finished_at=result.finished_at,
        command=settled.claim.command,
        source_partition=settled.claim.source_partition,
        source_offset=settled.claim.source_offset,
    )
