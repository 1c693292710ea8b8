"""The Kafka client: producers, consumers, topics and the partitioner, one way for all."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import murmur2

from services.contracts.errors import Transient
from services.contracts.topics import DEAD_LETTER_BYTES_MAX, RECORD_BYTES_MAX, Topic
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

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        if topic not in self._told:
            await self._tell(topic)
        return await super().send_batch(batch, topic, partition=partition)

    async def _tell(self, topic: str) -> None:
        await self.client.add_topic(topic)
        self._told.add(topic)


def make_producer(settings: KafkaSettings, *, linger_ms: int = 0) -> AIOKafkaProducer:
    """A producer that reports success only when all in-sync replicas have the record."""
    return _Producer(
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
    settings: KafkaSettings, *topics: Topic, group: str | None, fetch_wait_ms: int = 20
) -> AIOKafkaConsumer:
    """A consumer that commits only when told to; `group` None reads without a group."""
    return AIOKafkaConsumer(
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
