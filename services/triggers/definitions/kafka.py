"""The announcer on Kafka."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.contracts.codec import encode_json
from services.contracts.control import Marker
from services.contracts.definitions import HEAD_KEY, DefinitionRecord, definition_key
from services.contracts.errors import Transient
from services.contracts.topics import DEFINITIONS, EVENTS, KIND_HEADER, KIND_MARKER
from services.runtime.kafka import make_consumer, make_producer, topic_name
from services.runtime.settings import KafkaSettings

CLOSE_SECONDS_MAX: Final = 5.0
HEAD_SECONDS_MAX: Final = 30.0
HEAD_POLL_MS: Final = 200

_decoder: Final = msgspec.json.Decoder(DefinitionRecord)


class KafkaAnnouncer:
    """`Announcer` with one producer, made anew by each `open`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._definitions = topic_name(settings, DEFINITIONS)
        self._events = topic_name(settings, EVENTS)
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Connect, and refuse to go on while a topic is missing: a producer's question for it
        would make many brokers create it, with one partition.
        """
        async with _kafka_errors():
            admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka)
            try:
                await admin.start()
                topics = await admin.list_topics()
            finally:
                await admin.close()
            for name in (self._definitions, self._events):
                if name not in topics:
                    raise Transient(f"topic {name} is missing: `cuestream topics` creates it")
            self._producer = make_producer(self._settings)
            await self._producer.start()

    async def head(self) -> int:
        """Read the topic of definitions, which is small, to its end."""
        place = TopicPartition(self._definitions, 0)
        consumer = make_consumer(self._settings, group=None)
        head = 0
        async with _kafka_errors(), asyncio.timeout(HEAD_SECONDS_MAX):
            try:
                await consumer.start()
                consumer.assign([place])
                await consumer.seek_to_beginning(place)
                end = (await consumer.end_offsets([place]))[place]
                while await consumer.position(place) < end:
                    found = await consumer.getmany(place, timeout_ms=HEAD_POLL_MS)
                    for record in found.get(place, ()):
                        if record.key == HEAD_KEY:
                            head = max(head, _decoder.decode(record.value or b"").revision)
            except msgspec.DecodeError as error:
                raise Transient(f"a record of {self._definitions} cannot be read") from error
            finally:
                await consumer.stop()
        return head

    async def write_definitions(self, records: Sequence[DefinitionRecord]) -> None:
        """Append the records; the last one only when those before it are acknowledged."""
        async with _kafka_errors():
            *body, last = records
            waiting = [await self._send(record) for record in body]
            await asyncio.gather(*waiting)
            await (await self._send(last))

    async def write_marker(self, marker: Marker) -> None:
        """Append the marker to every partition at once."""
        producer = self._open_producer()
        value = encode_json(marker)
        headers = [(KIND_HEADER, KIND_MARKER)]
        async with _kafka_errors():
            waiting = [
                await producer.send(self._events, value, partition=partition, headers=headers)
                for partition in sorted(await producer.partitions_for(self._events))
            ]
            await asyncio.gather(*waiting)

    async def close(self) -> None:
        """Disconnect. What is buffered gets a bounded time; then the connection is cut."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await producer.stop()
        except (KafkaError, OSError, TimeoutError):
            await producer.client.close()

    async def _send(self, record: DefinitionRecord) -> "asyncio.Future[object]":
        # Compaction takes away what has no value: old versions must not pile up.
        gone = record.kind == "version" and record.definition is None
        future: asyncio.Future[object] = await self._open_producer().send(
            self._definitions,
            None if gone else encode_json(record),
            key=definition_key(record.kind, record.id),
            partition=0,
        )
        return future

    def _open_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Transient("the announcer is closed")
        return self._producer


@asynccontextmanager
async def _kafka_errors() -> AsyncIterator[None]:
    """Every error of the client passes by waiting: what is written was bounded before."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Transient(f"kafka: {type(error).__name__}") from error
