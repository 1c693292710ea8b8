"""The Kafka client: producers, consumers, topics and the partitioner, one way for all."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import murmur2

from services.contracts.errors import Transient
from services.contracts.topics import DEAD_LETTER_BYTES_MAX, RECORD_BYTES_MAX, Topic
from services.runtime.sealed_records import RecordSealing
from services.runtime.settings import KafkaSettings

PARTITION_CACHE_MAX = 1 << 17
TOPICS_POLLS_MAX = 300
TOPICS_POLL_SECONDS = 0.05
KAFKA_ERRORS = (KafkaError, OSError)
"""What a client raises when the broker is away or refuses for now."""


@lru_cache(maxsize=PARTITION_CACHE_MAX)
def partition_of(key: bytes, partitions: int) -> int:
    """Partition of a key: Kafka's own murmur2 rule, so that every client agrees."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def topic_name(settings: KafkaSettings, topic: Topic) -> str:
    """Name on the broker: the contract's name behind the configured prefix."""
    return settings.topic_prefix + topic.name


class _Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """Keeps every topic it writes to in its client's metadata.

    A producer learns all topics as it connects. As soon as it is told of one made later, aiokafka
    asks for those alone that it was told of, so a record on its way to another finds no leader
    and fails after the request's timeout. So it is told of each topic at the first write.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._told: set[str] = set()

    async def send(self, topic: str, *args: Any, **options: Any) -> Any:
        if topic not in self._told:
            await self._tell(topic)
        return await super().send(topic, *args, **options)

    def create_batch(self, topic: str) -> Any:
        """A batch for this topic and no other; see `_Sealing`."""
        return super().create_batch()

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        if topic not in self._told:
            await self._tell(topic)
        return await super().send_batch(batch, topic, partition=partition)

    async def _tell(self, topic: str) -> None:
        await self.client.add_topic(topic)
        self._told.add(topic)


class _Sealing(_Producer):
    """Seals every record that it writes, wherever one is of a person."""

    def __init__(self, sealing: RecordSealing, **options: Any) -> None:
        super().__init__(**options)
        self._sealing = sealing

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> Any:
        sealed = self._sealing.seal(topic, key, value, headers)
        return await super().send(topic, sealed, key, partition, timestamp_ms, headers)

    def create_batch(self, topic: str) -> "_SealingBatch":
        return _SealingBatch(super().create_batch(topic), topic, self._sealing)

    async def send_batch(self, batch: "_SealingBatch", topic: str, *, partition: int) -> Any:
        if batch.topic != topic:
            raise ValueError(f"a batch sealed for {batch.topic} cannot go to {topic}")
        return await super().send_batch(batch.inner, topic, partition=partition)


class _SealingBatch:
    """A batch of aiokafka whose records are sealed as they are appended."""

    def __init__(self, inner: Any, topic: str, sealing: RecordSealing) -> None:
        self.inner = inner
        self.topic = topic
        self._sealing = sealing

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Any = ()
    ) -> Any:
        """See aiokafka: None where there is no room."""
        sealed = self._sealing.seal(self.topic, key, value, headers)
        return self.inner.append(
            timestamp=timestamp, key=key, value=sealed, headers=list(headers or ())
        )

    def record_count(self) -> int:
        """How many records it has."""
        count: int = self.inner.record_count()
        return count


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """Opens what is sealed; see `RecordSealing.open_in_place` for what cannot be opened."""

    def __init__(self, sealing: RecordSealing, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **options)
        self._sealing = sealing

    async def getone(self, *partitions: Any) -> Any:
        record = await super().getone(*partitions)
        self._sealing.open_in_place((record,))
        return record

    async def getmany(self, *partitions: Any, **options: Any) -> Any:
        found = await super().getmany(*partitions, **options)
        for records in found.values():
            self._sealing.open_in_place(records)
        return found


def make_producer(settings: KafkaSettings, *, linger_ms: int = 0) -> AIOKafkaProducer:
    """A producer that reports success only when all in-sync replicas have the record.

    With `sensitive_keys` it seals what it writes, and `make_consumer`'s opens it.
    """
    sealing = RecordSealing(settings)
    kind = partial(_Sealing, sealing) if sealing.on else _Producer
    return kind(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        linger_ms=linger_ms,
        max_batch_size=RECORD_BYTES_MAX,
        # The largest any topic takes; the broker holds each topic to its own limit.
        max_request_size=DEAD_LETTER_BYTES_MAX,
        request_timeout_ms=settings.kafka_request_timeout_ms,
    )


def make_consumer(
    settings: KafkaSettings,
    *topics: Topic,
    group: str | None,
    fetch_wait_ms: int = 20,
    opened: bool = True,
) -> AIOKafkaConsumer:
    """A consumer that commits only when told to; `group` None reads without a group.

    Not `opened`, values are what stands in the topic.
    """
    kind = partial(_Consumer, RecordSealing(settings)) if opened else AIOKafkaConsumer
    return kind(
        *(topic_name(settings, topic) for topic in topics),
        bootstrap_servers=settings.kafka,
        group_id=None if group is None else settings.topic_prefix + group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=fetch_wait_ms,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=500,
        max_partition_fetch_bytes=4 * RECORD_BYTES_MAX,
    )


async def create_topics(settings: KafkaSettings, topics: Iterable[Topic]) -> list[str]:
    """Create the topics that are missing; returns their names. Existing ones are left alone.

    Returns once the broker shows all of them with leaders: Apache Kafka says that a topic is
    created a moment before clients can find it.

    Raises:
        Transient: the broker cannot be reached or refused for now.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    created: list[str] = []
    wanted = list(topics)
    try:
        await admin.start()
        for topic in wanted:
            configs: dict[str, str] = {}
            if topic.compacted:
                configs["cleanup.policy"] = "compact"
            if topic.retention_ms is not None:
                configs["retention.ms"] = str(topic.retention_ms)
            if topic.compaction_lag_ms is not None:
                configs["min.compaction.lag.ms"] = str(topic.compaction_lag_ms)
            if topic.record_bytes_max is not None:
                configs["max.message.bytes"] = str(topic.record_bytes_max)
            new = NewTopic(
                topic_name(settings, topic),
                topic.partitions or settings.partitions,
                settings.replication,
                topic_configs=configs,
            )
            answer = await admin.create_topics([new])
            for _, code, *_rest in answer.topic_errors:
                error = for_code(code)
                if code == 0:
                    created.append(new.name)
                elif error is not TopicAlreadyExistsError:
                    raise Transient(f"topic {new.name}: {error.__name__}")
        await _wait_until_visible(admin, {topic_name(settings, topic) for topic in wanted})
    except KAFKA_ERRORS as error:
        raise Transient(f"broker {settings.kafka}: {error!r}") from error
    finally:
        await admin.close()
    return created


async def _wait_until_visible(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    for _ in range(TOPICS_POLLS_MAX):
        if names <= await _topics_with_leaders(admin):
            return
        await asyncio.sleep(TOPICS_POLL_SECONDS)
    raise Transient("the topics are created and the broker does not show them")


async def _topics_with_leaders(admin: AIOKafkaAdminClient) -> set[str]:
    # All topics are asked for: asking by name would make many brokers create a missing one.
    return {
        topic["topic"]
        for topic in await admin.describe_topics()
        if topic["error_code"] == 0
        and topic["partitions"]
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }


async def require_topics(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Return if all of them exist. Ask before subscribing or producing: a client's question
    for a missing topic would make many brokers create it, with one partition.

    Raises:
        Transient: one is missing, or the broker cannot be reached.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
    except KAFKA_ERRORS as error:
        raise Transient(f"broker {settings.kafka}: {type(error).__name__}") from error
    finally:
        await admin.close()
    for topic in topics:
        if topic_name(settings, topic) not in existing:
            name = topic_name(settings, topic)
            raise Transient(f"topic {name} is missing: `cuestream topics` creates it")
