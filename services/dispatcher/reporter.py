"""Tells the log what became of sends: deliveries to `events`, dead letters beside them."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from aiokafka import AIOKafkaProducer
from prometheus_client import Counter

from services.contracts.codec import encode_json
from services.contracts.errors import Transient
from services.contracts.metrics import DEAD_LETTERS, RETRIES
from services.contracts.topics import COMMANDS, EVENTS, KIND_DELIVERY, KIND_HEADER
from services.contracts.topics import DEAD_LETTERS as DEAD_LETTERS_TOPIC
from services.dispatcher.ledger import Finished, Ledger
from services.dispatcher.reports import ORIGIN, delivery_of, letter_of
from services.runtime.kafka import KAFKA_ERRORS, partition_of, topic_name
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done
from services.runtime.settings import KafkaSettings

BATCHES_WAITING_MAX: Final = 8


class Reporter:
    """Writes reports batch after batch; a full queue makes those who settle wait.

    A send counts as reported once Kafka has acknowledged, so a crash between repeats the
    report: deliveries are idempotent in the engine, and a dead letter carries its `send_id`.
    """

    def __init__(
        self, producer: AIOKafkaProducer, ledger: Ledger, settings: KafkaSettings, metrics: Metrics
    ) -> None:
        self._producer = producer
        self._ledger = ledger
        self._events = topic_name(settings, EVENTS)
        self._commands = topic_name(settings, COMMANDS)
        self._dead_letters = topic_name(settings, DEAD_LETTERS_TOPIC)
        self._letters_counted: Counter = metrics.counter(DEAD_LETTERS)
        self._retries: Counter = metrics.counter(RETRIES)
        self._waiting: asyncio.Queue[Sequence[Finished] | None] = asyncio.Queue(BATCHES_WAITING_MAX)

    async def put(self, finished: Sequence[Finished]) -> None:
        """Hand a batch over; waits while too many are before it."""
        await self._waiting.put(finished)

    async def end(self) -> None:
        """Let `run` return once everything handed over has been reported."""
        await self._waiting.put(None)

    async def run(self) -> None:
        """Report until told to end; waits for Kafka and the database however long it takes."""
        while (batch := await self._waiting.get()) is not None:
            await until_done("report", partial(self._tell, batch), self._on_retry)
            await until_done(
                "mark_reported", partial(self._ledger.mark_reported, batch), self._on_retry
            )

    def _on_retry(self, operation: str) -> None:
        self._retries.labels(operation=operation).inc()

    async def _tell(self, batch: Sequence[Finished]) -> None:
        try:
            count = len(await self._producer.partitions_for(self._events))
            written = []
            for finished in batch:
                delivery = delivery_of(finished)
                if delivery is not None:
                    key = finished.person.encode()
                    written.append(
                        await self._producer.send(
                            self._events,
                            encode_json(delivery),
                            key=key,
                            partition=partition_of(key, count),
                            headers=[(KIND_HEADER, KIND_DELIVERY)],
                        )
                    )
                letter = letter_of(finished, topic=self._commands)
                if letter is not None:
                    written.append(
                        await self._producer.send(
                            self._dead_letters, encode_json(letter), key=ORIGIN.encode()
                        )
                    )
                    self._letters_counted.labels(origin=ORIGIN, code=letter.code).inc()
            await asyncio.gather(*written)
        except KAFKA_ERRORS as error:
            raise Transient(f"reports not written: {type(error).__name__}") from error
