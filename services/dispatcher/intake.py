"""Reads commands into the ledger. Offsets are committed soon after that is durable."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from services.contracts.command import Cancel, Erased, Moved
from services.contracts.errors import Malformed, Transient
from services.contracts.metrics import CONSUMER_LAG, DEAD_LETTERS, RETRIES
from services.contracts.topics import KIND_CANCEL, KIND_ERASED, KIND_HEADER, KIND_MOVED, KIND_REPLAY
from services.dispatcher.commands import decode_cancel, decode_moved, read_command
from services.dispatcher.erasing import decode_erased
from services.dispatcher.lane import Lane
from services.dispatcher.ledger import Ledger, NewSend
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.moves import Moves
from services.dispatcher.pace import Pace
from services.dispatcher.reports import ORIGIN
from services.dispatcher.rules import Rules
from services.runtime.dead_letters import dead_letter_of, send_dead_letter
from services.runtime.erasing import Erasures
from services.runtime.kafka import KAFKA_ERRORS
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done
from services.runtime.settings import KafkaSettings

POLL_MS: Final = 200
COMMIT_SECONDS: Final = 0.2
"""So much of the topic at most is read again after a crash; the ledger knows it."""
READ_TOGETHER_MAX: Final = 64
"""After so many the event loop turns to others: urgent ones may have come."""
URGENT_BACKLOG_FACTOR: Final = 2
"""Urgent commands are still read while bulk ones have to wait in Kafka, up to this."""

_log = get_logger(__name__)


class Backlog(Protocol):
    """Knows how many sends are open, between counts by being told."""

    backlog: int

    def recorded(self, number: int) -> None:
        """So many are new."""


class _Batch(msgspec.Struct):
    """What one poll brought."""

    sends: dict[str, NewSend]
    replays: set[str]
    cancels: list[Cancel]
    moves: list[Moved]
    erasures: list[Erased]


class Intake:
    """Reads one topic: `urgent` commands, cancels and who moved, or the campaigns that none of
    these is to wait behind.

    Never waits for a channel: what cannot be sent now waits in the ledger. While
    `backlog.backlog` is at `backlog_max`, nothing is read and the rest waits in Kafka;
    the ledger's open sends exceed it by at most one batch a process.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        *,
        urgent: bool,
        ledger: Ledger,
        changes: LedgerChanges,
        moves: Moves,
        erasures: Erasures,
        lanes: Mapping[str, Lane],
        rules: Rules,
        settings: KafkaSettings,
        metrics: Metrics,
        intake_max: int,
        backlog_max: int,
        backlog: Backlog,
        pace: Pace,
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._urgent = urgent
        self._ledger = ledger
        self._changes = changes
        self._moves = moves
        self._erasures = erasures
        self._lanes = lanes
        self._rules = rules
        self._settings = settings
        self._intake_max = intake_max
        self._backlog_max = backlog_max * (URGENT_BACKLOG_FACTOR if urgent else 1)
        self._backlog = backlog
        self._pace = pace
        self._durable: dict[TopicPartition, int] = {}
        self._lag = metrics.gauge(CONSUMER_LAG)
        self._letters_counted = metrics.counter(DEAD_LETTERS)
        self._retries = metrics.counter(RETRIES)

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop`; waits for Kafka and the database however long it takes."""
        committing: asyncio.Task[None] | None = None
        while not stop.is_set():
            if not self._urgent:
                await self._pace.give_way()
            self._hold_or_go_on()
            batches = await until_done("poll_commands", self._poll, self._on_retry)
            if batches:
                await self._take(batches)
                for partition, records in batches.items():
                    self._durable[partition] = records[-1].offset + 1
                self._measure_lag(batches)
            # Beside the reading, which would else wait for the broker after each small batch.
            if self._durable and (committing is None or committing.done()):
                if committing is not None:
                    committing.result()
                committing = asyncio.create_task(self._commit_soon())
        if committing is not None:
            await committing
        await self._commit()

    def problem(self) -> str | None:
        """What keeps it from working; for readiness."""
        return None if self._consumer.assignment() else "no partition is assigned"

    def _hold_or_go_on(self) -> None:
        # Paused, not left alone: a consumer that is not polled would lose its partitions.
        partitions = self._consumer.assignment()
        if self._backlog.backlog >= self._backlog_max:
            self._consumer.pause(*partitions)
        else:
            self._consumer.resume(*(self._consumer.paused() & partitions))

    async def _poll(self) -> Any:
        try:
            most = self._intake_max if self._urgent else self._pace.batch_of(self._intake_max)
            return await self._consumer.getmany(timeout_ms=POLL_MS, max_records=most)
        except KAFKA_ERRORS as error:
            raise Transient(f"commands not read: {type(error).__name__}") from error

    def _on_retry(self, operation: str) -> None:
        self._retries.labels(operation=operation).inc()

    async def _take(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        batch = _Batch(sends={}, replays=set(), cancels=[], moves=[], erasures=[])
        every = (record for records in batches.values() for record in records)
        for number, record in enumerate(every, 1):
            try:
                self._read(record, batch)
            except Malformed as error:
                await self._bury(record, error)
            if number % READ_TOGETHER_MAX == 0:
                await asyncio.sleep(0)
        # Cancels first: whatever they name, they win.
        if batch.cancels:
            await until_done(
                "cancel",
                lambda: self._changes.cancel(batch.cancels, at=self._rules.ends_at()),
                self._on_retry,
            )
        if batch.moves:
            await until_done("moved", lambda: self._moves.note(batch.moves), self._on_retry)
        if batch.replays:
            await self._replay(batch)
        if batch.sends and self._urgent:
            self._pace.urgent()
        if batch.sends:
            began = time.monotonic()
            await self._record(batch.sends)
            if self._urgent:
                self._pace.late(time.monotonic() - began)
        # What came before it in this batch is in the ledger by now.
        for erased in batch.erasures:
            await self._erase(erased)

    def _read(self, record: Any, batch: _Batch) -> None:
        kind = _kind(record)
        if kind == KIND_CANCEL:
            batch.cancels.append(decode_cancel(record.value))
            return
        if kind == KIND_ERASED:
            batch.erasures.append(decode_erased(record.value))
            return
        if kind == KIND_MOVED:
            batch.moves.append(decode_moved(record.value))
            return
        if kind not in (None, KIND_REPLAY):
            raise Malformed("bad_command", "a record of an unknown kind")
        send = read_command(
            record.value,
            partition=record.partition,
            offset=record.offset,
            queues=self._lanes.keys(),
        )
        if kind == KIND_REPLAY:
            batch.replays.add(send.send_id)
            batch.sends[send.send_id] = send
        else:
            batch.sends.setdefault(send.send_id, send)

    async def _erase(self, erased: Erased) -> None:
        await until_done("erase", lambda: self._erasures.erase(erased), self._on_retry)

    async def _record(self, together: dict[str, NewSend]) -> None:
        by_queue: dict[str, list[NewSend]] = {}
        for send in together.values():
            by_queue.setdefault(send.queue, []).append(send)
        offers = {
            queue: self._lanes[queue].offer(sends, urgent=self._urgent)
            for queue, sends in by_queue.items()
        }
        offered = {id_: name for offer in offers.values() for id_, name in offer.items()}
        if offered:
            for send_id, provider in offered.items():
                send = together[send_id]
                together[send_id] = msgspec.structs.replace(send, provider=provider)
        made = await until_done(
            "record",
            lambda: self._ledger.record(list(together.values())),
            lambda operation: self._on_lost_record(operation, offers),
        )
        self._backlog.recorded(len(made))
        for queue, offer in offers.items():
            claims = [claim for id_ in offer if (claim := made.get(id_)) is not None]
            self._lanes[queue].take(offer, claims)
        for queue in {together[id_].queue for id_, claim in made.items() if claim is None}:
            self._lanes[queue].wake()

    async def _replay(self, batch: _Batch) -> None:
        """Let what was given up wait again; the rest is recorded like any command."""
        replayed = [batch.sends[send_id] for send_id in batch.replays]
        again = await until_done("replay", lambda: self._changes.replay(replayed), self._on_retry)
        for send_id in again:
            self._lanes[batch.sends.pop(send_id).queue].wake()

    def _on_lost_record(self, operation: str, offers: Mapping[str, dict[str, str]]) -> None:
        self._on_retry(operation)
        for queue, offer in offers.items():
            if offer:
                self._lanes[queue].doubt()

    async def _bury(self, record: Any, error: Malformed) -> None:
        letter = dead_letter_of(record, error, origin=ORIGIN)
        await until_done(
            "dead_letter",
            lambda: send_dead_letter(self._producer, self._settings, letter),
            self._on_retry,
        )
        self._letters_counted.labels(origin=ORIGIN, code=error.code).inc()

    async def _commit_soon(self) -> None:
        await self._commit()
        await asyncio.sleep(COMMIT_SECONDS)

    async def _commit(self) -> None:
        offsets, self._durable = self._durable, {}
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError, *KAFKA_ERRORS) as error:
            # Whoever owns the partition now reads these again, and the ledger knows them.
            _log.warning("offsets not committed", error=type(error).__name__)

    def _measure_lag(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        assigned = self._consumer.assignment()
        for partition, records in batches.items():
            if partition in assigned:
                end = self._consumer.highwater(partition) or 0
                self._lag.labels(topic=partition.topic, partition=partition.partition).set(
                    max(0, end - records[-1].offset - 1)
                )


def _kind(record: Any) -> bytes | None:
    for name, value in record.headers:
        if name == KIND_HEADER:
            kind: bytes = value
            return kind
    return None
