"""Reads `commands` into the ledger. An offset is committed once its command is durable there."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from services.contracts.errors import Malformed, Transient
from services.contracts.metrics import CONSUMER_LAG, DEAD_LETTERS, RETRIES
from services.dispatcher.commands import read_command
from services.dispatcher.lane import Lane
from services.dispatcher.ledger import Ledger, NewSend
from services.dispatcher.reports import ORIGIN
from services.runtime.dead_letters import dead_letter_of, send_dead_letter
from services.runtime.kafka import KAFKA_ERRORS
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done
from services.runtime.settings import KafkaSettings

POLL_MS: Final = 200

_log = get_logger(__name__)


class Backlog(Protocol):
    """Knows how many sends are open, between counts by being told."""

    backlog: int

    def recorded(self, number: int) -> None:
        """So many are new."""


class Intake:
    """Never waits for a channel: what cannot be sent now waits in the ledger.

    While `backlog.backlog` is at `backlog_max`, nothing is read and the rest waits in Kafka;
    the ledger's open sends exceed it by at most one batch a process.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        *,
        ledger: Ledger,
        lanes: Mapping[str, Lane],
        settings: KafkaSettings,
        metrics: Metrics,
        intake_max: int,
        backlog_max: int,
        backlog: Backlog,
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._ledger = ledger
        self._lanes = lanes
        self._settings = settings
        self._intake_max = intake_max
        self._backlog_max = backlog_max
        self._backlog = backlog
        self._lag = metrics.gauge(CONSUMER_LAG)
        self._letters_counted = metrics.counter(DEAD_LETTERS)
        self._retries = metrics.counter(RETRIES)

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop`; waits for Kafka and the database however long it takes."""
        while not stop.is_set():
            self._hold_or_go_on()
            batches = await until_done("poll_commands", self._poll, self._on_retry)
            if batches:
                await self._take(batches)
                await self._commit(batches)
                self._measure_lag(batches)

    def problem(self) -> str | None:
        """What keeps it from working; for readiness."""
        return None if self._consumer.assignment() else "no partition of commands is assigned"

    def _hold_or_go_on(self) -> None:
        # Paused, not left alone: a consumer that is not polled would lose its partitions.
        partitions = self._consumer.assignment()
        if self._backlog.backlog >= self._backlog_max:
            self._consumer.pause(*partitions)
        else:
            self._consumer.resume(*(self._consumer.paused() & partitions))

    async def _poll(self) -> Any:
        try:
            return await self._consumer.getmany(timeout_ms=POLL_MS, max_records=self._intake_max)
        except KAFKA_ERRORS as error:
            raise Transient(f"commands not read: {type(error).__name__}") from error

    def _on_retry(self, operation: str) -> None:
        self._retries.labels(operation=operation).inc()

    async def _take(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        sends: dict[str, NewSend] = {}
        for records in batches.values():
            for record in records:
                try:
                    send = read_command(
                        record.value,
                        partition=record.partition,
                        offset=record.offset,
                        queues=self._lanes.keys(),
                    )
                except Malformed as error:
                    await self._bury(record, error)
                else:
                    sends.setdefault(send.send_id, send)
        if not sends:
            return
        made = await until_done(
            "record", lambda: self._ledger.record(list(sends.values())), self._on_retry
        )
        self._backlog.recorded(len(made))
        for queue in {sends[send_id].queue for send_id in made}:
            self._lanes[queue].wake()

    async def _bury(self, record: Any, error: Malformed) -> None:
        letter = dead_letter_of(record, error, origin=ORIGIN)
        await until_done(
            "dead_letter",
            lambda: send_dead_letter(self._producer, self._settings, letter),
            self._on_retry,
        )
        self._letters_counted.labels(origin=ORIGIN, code=error.code).inc()

    async def _commit(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        offsets = {partition: records[-1].offset + 1 for partition, records in batches.items()}
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
