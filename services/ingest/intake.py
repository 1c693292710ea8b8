"""What ingest does with a batch, free of HTTP: parse, pack, wait, and say what became of each."""

import asyncio
from typing import Final

import msgspec

from services.contracts.codec import encode_json
from services.contracts.deadletter import DeadLetter
from services.contracts.errors import Malformed, Transient
from services.contracts.metrics import DEAD_LETTERS, INGEST_EVENTS, INGEST_PENDING
from services.contracts.segment import parse_message
from services.contracts.time import Micros
from services.ingest.batch import Batch, message_id_of
from services.ingest.packer import Packer, Receipt
from services.ingest.pressure import Pressure, TokenBucket
from services.ingest.records import RecordLog
from services.runtime.clock import Clock
from services.runtime.metrics import Metrics

ORIGIN: Final = "ingest"
DEAD_LETTER_VALUE_BYTES_MAX: Final = 64 * 1024
"""A refused message longer than this is kept cut; whole events are half as long at most."""
NO_OFFSET: Final = -1


class Refusal(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One message that is no event, by its place in the batch."""

    index: int
    message_id: str | None = None
    code: str
    message: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch whose acceptance Kafka has acknowledged."""

    accepted: int
    refused: list[Refusal]


class Intake:
    """Takes batches; one object for the process.

    `replay` takes the messages' own timestamps as the time of receipt.
    """

    def __init__(
        self,
        log: RecordLog,
        *,
        packer: Packer,
        pressure: Pressure,
        clock: Clock,
        replay: bool,
        ack_timeout_seconds: float,
        dead_letters: TokenBucket,
        metrics: Metrics,
    ) -> None:
        self.pressure: Final = pressure
        self._log: Final = log
        self._packer: Final = packer
        self._clock: Final = clock
        self._replay: Final = replay
        self._ack_timeout_seconds: Final = ack_timeout_seconds
        self._dead_letter_rate: Final = dead_letters
        self._events: Final = metrics.counter(INGEST_EVENTS)
        self._accepted: Final = self._events.labels("accepted")
        self._dead_letters: Final = metrics.counter(DEAD_LETTERS)
        metrics.gauge(INGEST_PENDING).set_function(lambda: float(pressure.events))

    async def accept(self, batch: Batch, *, path: str, implied_type: str | None) -> Verdict:
        """Take the messages of one request, in their order.

        Returns once Kafka has acknowledged every accepted event and every dead letter.

        Raises:
            Transient: not all of it is known to be written. The client sends all of it again;
                what was written already is recognised by its message id.
        """
        now = self._clock.stamp(None)
        receipt = Receipt()
        refused = self._pack(batch, receipt, None if self._replay else now, implied_type)
        try:
            async with asyncio.timeout(self._ack_timeout_seconds):
                await self._keep(batch, refused, receipt, now, path)
                await receipt.wait()
        except TimeoutError as error:
            raise Transient("Kafka has not acknowledged in time", 1.0) from error
        accepted = len(batch.messages) - len(refused)
        self._accepted.inc(accepted)
        for refusal in refused:
            self._events.labels(refusal.code).inc()
        return Verdict(accepted=accepted, refused=refused)

    def _pack(
        self, batch: Batch, receipt: Receipt, received_at: Micros | None, implied_type: str | None
    ) -> list[Refusal]:
        partitions = self._log.partitions
        refused: list[Refusal] = []
        add, context, sent_at = self._packer.add, batch.context, batch.sent_at
        for index, raw in enumerate(batch.messages):
            try:
                event = parse_message(
                    raw, received_at=received_at, sent_at=sent_at, implied_type=implied_type
                )
            except Malformed as error:
                refusal = Refusal(
                    index=index,
                    message_id=message_id_of(raw),
                    code=error.code,
                    message=error.message,
                )
                refused.append(refusal)
                continue
            if context:
                event = msgspec.structs.replace(event, context={**context, **event.context})
            add(event, receipt, partitions)
        return refused

    async def _keep(
        self, batch: Batch, refused: list[Refusal], receipt: Receipt, now: Micros, path: str
    ) -> None:
        """Write dead letters, as many as the rate allows; the rest is counted alone."""
        for refusal in refused:
            if self._dead_letter_rate.take(1) > 0:
                break
            value = bytes(batch.messages[refusal.index])
            cut = value[:DEAD_LETTER_VALUE_BYTES_MAX]
            reason = refusal.message
            if len(cut) < len(value):
                reason += f" (kept: the first {len(cut)} of {len(value)} bytes)"
            letter = DeadLetter(
                code=refusal.code,
                reason=reason,
                origin=ORIGIN,
                topic=f"http:{path}",
                partition=NO_OFFSET,
                offset=NO_OFFSET,
                at=now,
                index=refusal.index,
                value=cut,
            )
            receipt.waits_for(await self._log.append_dead_letter(encode_json(letter)))
            self._dead_letters.labels(ORIGIN, refusal.code).inc()

    async def drained(self) -> None:
        """Everything taken so far is acknowledged or has failed."""
        await self._packer.drained()
