"""The Kafka adapter of `RecordLog`."""

import asyncio
import random
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.contracts.errors import Transient
from services.contracts.topics import DEAD_LETTERS, EVENTS, KIND_HEADER, KIND_PACK
from services.runtime.kafka import KAFKA_ERRORS, make_producer, topic_name
from services.runtime.logs import get_logger
from services.runtime.settings import KafkaSettings

CONNECT_WAIT_SECONDS_MAX: Final = 2.0
CONNECT_WAIT_SECONDS_FIRST: Final = 0.1
STOP_SECONDS_MAX: Final = 5.0
DEAD_LETTER_KEY: Final = b"ingest"
_PACK_HEADERS: Final = [(KIND_HEADER, KIND_PACK)]

_log = get_logger(__name__)


class KafkaLog:
    """Writes through one idempotent producer, and replaces it after any failure.

    A producer that has failed a record may hold later ones behind it and, when idempotent,
    may never succeed again (its sequence has a hole). So the first failure fails everything
    that is not acknowledged, and a new producer begins.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings: Final = settings
        self._events: Final = topic_name(settings, EVENTS)
        self._dead_letters: Final = topic_name(settings, DEAD_LETTERS)
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0
        self._problem = "Kafka has not been reached yet"
        self._keeper: asyncio.Task[None] | None = None
        self._failed = asyncio.Event()

    def start(self) -> "asyncio.Task[None]":
        """Begin to connect, and go on for as long as it takes.

        The task returned ends by `stop` alone, or with an error that a new process has to
        mend.
        """
        self._keeper = asyncio.get_running_loop().create_task(self._keep_connected())
        return self._keeper

    async def stop(self) -> None:
        """Wait a bounded time for what is unacknowledged, then disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        try:
            await self._drop_producer("ingest is stopping", within_seconds=STOP_SECONDS_MAX)
        except TimeoutError:
            _log.warning("the producer still held records")

    def problem(self) -> str | None:
        """None while a producer is connected and none of its records has failed."""
        return None if self._producer is not None else self._problem

    @property
    def partitions(self) -> int:
        """Partitions of `events`, as the broker said when the producer connected."""
        if self._producer is None:
            raise Transient(self._problem)
        return self._partitions

    async def append(self, partition: int, pack: bytes) -> "asyncio.Future[None]":
        """See `RecordLog`."""
        return await self._append(self._events, pack, partition=partition, headers=_PACK_HEADERS)

    async def append_dead_letter(self, letter: bytes) -> "asyncio.Future[None]":
        """See `RecordLog`."""
        return await self._append(self._dead_letters, letter, key=DEAD_LETTER_KEY, partition=0)

    async def _append(self, topic: str, value: bytes, **options: Any) -> "asyncio.Future[None]":
        producer = self._producer
        if producer is None:
            raise Transient(self._problem)
        try:
            sent = await producer.send(topic, value, **options)
        except KafkaError as error:
            self._fail(producer, error)
            raise Transient(self._problem) from error
        ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(partial(self._on_sent, producer, ack))
        return ack

    def _on_sent(
        self, producer: AIOKafkaProducer, ack: "asyncio.Future[None]", sent: "asyncio.Future[Any]"
    ) -> None:
        error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        if error is not None:
            self._fail(producer, error)
        if ack.done():
            return
        if error is None:
            ack.set_result(None)
        else:
            ack.set_exception(Transient(f"Kafka: {type(error).__name__}"))

    def _fail(self, producer: AIOKafkaProducer, error: BaseException) -> None:
        if self._producer is producer:
            self._problem = f"Kafka: {type(error).__name__}"
            _log.warning("producer failed", error=type(error).__name__)
            self._failed.set()

    async def _keep_connected(self) -> None:
        waits = CONNECT_WAIT_SECONDS_FIRST
        while True:
            try:
                await self._connect()
            except (*KAFKA_ERRORS, Transient) as error:
                if isinstance(error, Transient):
                    self._problem = str(error)
                else:
                    self._problem = f"Kafka cannot be reached: {type(error).__name__}"
                _log.warning("no connection to Kafka", problem=self._problem)
                await asyncio.sleep(waits * (0.5 + random.random() / 2))
                waits = min(CONNECT_WAIT_SECONDS_MAX, waits * 2)
                continue
            waits = CONNECT_WAIT_SECONDS_FIRST
            _log.info("connected to Kafka", partitions=self._partitions)
            await self._failed.wait()
            await self._drop_producer(self._problem)

    async def _connect(self) -> None:
        self._failed.clear()
        self._partitions = await self._count_partitions()
        producer = make_producer(self._settings)
        try:
            await producer.start()
            # Fetched now, so that the first request does not wait for it.
            await producer.partitions_for(self._events)
            await producer.partitions_for(self._dead_letters)
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def _count_partitions(self) -> int:
        # Asked for through the admin client: a producer's metadata request would make a
        # missing topic on brokers that allow it, with the wrong number of partitions.
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka)
        try:
            await admin.start()
            existing = await admin.list_topics()
            missing = {self._events, self._dead_letters} - set(existing)
            if missing:
                raise Transient(f"topics are missing: {', '.join(sorted(missing))}")
            described = await admin.describe_topics([self._events])
            return len(described[0]["partitions"])
        finally:
            await admin.close()

    async def _drop_producer(self, problem: str, *, within_seconds: float | None = None) -> None:
        """Stop the producer: all it holds is acknowledged or failed when this returns.

        Raises:
            TimeoutError: it holds records still, which a successor could overtake.
        """
        producer, self._producer = self._producer, None
        self._problem = problem
        if producer is None:
            return
        expired_seconds = self._settings.kafka_request_timeout_ms / 1000 + STOP_SECONDS_MAX
        try:
            async with asyncio.timeout(within_seconds or expired_seconds):
                await producer.stop()
        except KAFKA_ERRORS as error:
            _log.warning("the producer did not stop cleanly", error=type(error).__name__)
