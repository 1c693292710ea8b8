"""Tells the log what became of sends: deliveries to `events`, dead letters beside them."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from prometheus_client import Counter

from services.contracts.codec import encode_json
from services.contracts.errors import Transient
from services.contracts.metrics import DEAD_LETTERS, RETRIES
from services.contracts.topics import (
    COMMANDS,
    EVENTS,
    KIND_DELIVERY,
    KIND_HEADER,
    URGENT_COMMANDS,
)
from services.contracts.topics import DEAD_LETTERS as DEAD_LETTERS_TOPIC
from services.dispatcher.ledger import Finished, Ledger, Result
from services.dispatcher.reports import ORIGIN, delivery_of, letter_of
from services.runtime.kafka import KAFKA_ERRORS, partition_of, topic_name
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done
from services.runtime.settings import KafkaSettings

WAITING_MAX: Final = 10_000
TOLD_TOGETHER_MAX: Final = 2000
WORKERS: Final = 2
"""While one waits for the database, the other waits for Kafka."""
GATHER_SECONDS: Final = 0.02
"""Reports wait so long for others, unless too many wait already: each writing costs the broker
and the database the same, whatever it holds."""
_HEADERS: Final = [(KIND_HEADER, KIND_DELIVERY)]


class Accepted(NamedTuple):
    """An acceptance that the ledger does not know yet; `done` is called once it does, and frees
    a place. `enough` of them are not to wait for others."""

    result: Result
    finished: Finished
    done: Callable[[], None]
    enough: int


class Reporter:
    """Writes reports, as many at a time as came together; those who bring too many wait.

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
        self._urgent = topic_name(settings, URGENT_COMMANDS)
        self._dead_letters = topic_name(settings, DEAD_LETTERS_TOPIC)
        self._letters_counted: Counter = metrics.counter(DEAD_LETTERS)
        self._retries: Counter = metrics.counter(RETRIES)
        self._finished: list[Finished] = []
        self._accepted: list[Accepted] = []
        self._arrived = asyncio.Event()
        self._hurry = asyncio.Event()
        self._room = asyncio.Event()
        self._ending = False

    async def put(self, finished: Sequence[Finished]) -> None:
        """Hand over what the ledger knows; waits while too much is before it."""
        while len(self._finished) >= WAITING_MAX:
            self._room.clear()
            await self._room.wait()
        self._finished += finished
        self._arrived.set()

    def put_accepted(self, batch: Sequence[Accepted]) -> None:
        """Hand over acceptances that are to be told first: lanes bound their number."""
        self._accepted += batch
        self._arrived.set()
        if len(self._accepted) >= min(one.enough for one in batch):
            self._hurry.set()

    def end(self) -> None:
        """Let `run` return once everything handed over has been reported."""
        self._ending = True
        self._arrived.set()
        self._hurry.set()

    async def run(self) -> None:
        """Report until told to end; waits for Kafka and the database however long it takes."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            if self._accepted or self._finished:
                await self._gather()
            if self._accepted:
                accepted = self._accepted[:TOLD_TOGETHER_MAX]
                del self._accepted[:TOLD_TOGETHER_MAX]
                await self._report_accepted(accepted)
            elif self._finished:
                finished = self._finished[:TOLD_TOGETHER_MAX]
                del self._finished[:TOLD_TOGETHER_MAX]
                self._room.set()
                await self._report(finished)
            elif self._ending:
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def _gather(self) -> None:
        """Until enough have come together, or a moment is over."""
        if len(self._accepted) + len(self._finished) < TOLD_TOGETHER_MAX:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._hurry.wait()
        if not self._ending:
            self._hurry.clear()

    async def _report(self, batch: Sequence[Finished]) -> None:
        await until_done("report", partial(self._tell, batch), self._on_retry)
        await until_done(
            "mark_reported", partial(self._ledger.mark_reported, batch), self._on_retry
        )

    async def _report_accepted(self, batch: Sequence[Accepted]) -> None:
        results = [one.result for one in batch]
        finished = [one.finished for one in batch]
        told = True
        try:
            await self._tell(finished)
        except Transient:
            # Kafka is away: the effects must not look interrupted meanwhile.
            told = False
        await until_done("settle", lambda: self._ledger.settle(results, told=told), self._on_retry)
        for one in batch:
            one.done()
        if not told:
            await self._report(finished)

    def _on_retry(self, operation: str) -> None:
        self._retries.labels(operation=operation).inc()

    async def _tell(self, batch: Sequence[Finished]) -> None:
        try:
            count = len(await self._producer.partitions_for(self._events))
            deliveries: dict[int, list[tuple[bytes, bytes]]] = {}
            letters: list[bytes] = []
            for finished in batch:
                delivery = delivery_of(finished)
                if delivery is not None:
                    key = finished.person.encode()
                    record = (key, encode_json(delivery))
                    deliveries.setdefault(partition_of(key, count), []).append(record)
                letter = letter_of(finished, topics=(self._commands, self._urgent))
                if letter is not None:
                    letters.append(encode_json(letter))
                    self._letters_counted.labels(origin=ORIGIN, code=letter.code).inc()
            written = [
                sent
                for partition, records in deliveries.items()
                for sent in await self._send(partition, records)
            ]
            for value in letters:
                key = ORIGIN.encode()
                written.append(await self._producer.send(self._dead_letters, value, key=key))
            for result in await asyncio.gather(*written, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
        except KAFKA_ERRORS as error:
            raise Transient(f"reports not written: {type(error).__name__}") from error

    async def _send(self, partition: int, records: list[tuple[bytes, bytes]]) -> list[Any]:
        """Whole batches: one future for many records. Returns the acknowledgements to come."""
        sent: list[Any] = []
        builder = self._producer.create_batch(self._events)
        for key, value in records:
            if builder.append(timestamp=None, key=key, value=value, headers=_HEADERS) is None:
                sent.append(
                    await self._producer.send_batch(builder, self._events, partition=partition)
                )
                builder = self._producer.create_batch(self._events)
                builder.append(timestamp=None, key=key, value=value, headers=_HEADERS)
        sent.append(await self._producer.send_batch(builder, self._events, partition=partition))
        return sent
