"""Each function of `services.runtime.kafka` against a real Apache Kafka."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from services.contracts.errors import Transient
from services.contracts.topics import (
    COMMANDS,
    DEFINITIONS,
    EVENTS,
    PROFILES,
    RECORD_BYTES_MAX,
    TOPICS,
    Topic,
)
from services.runtime.kafka import (
    create_topics,
    make_consumer,
    make_producer,
    partition_of,
    require_topics,
    topic_name,
)
from services.runtime.settings import KafkaSettings


async def _configs(settings: KafkaSettings, topic: Topic) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic_name(settings, topic))]
        )
    finally:
        await admin.close()
    entries: list[Any] = answers[0].resources[0][-1]
    return {entry[0]: entry[1] for entry in entries}


async def _partitions(settings: KafkaSettings) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        described = await admin.describe_topics([topic_name(settings, topic) for topic in TOPICS])
    finally:
        await admin.close()
    return {
        topic["topic"].removeprefix(settings.topic_prefix): len(topic["partitions"])
        for topic in described
    }


async def _read(consumer: AIOKafkaConsumer, count: int) -> list[ConsumerRecord[bytes, bytes]]:
    return [await consumer.getone() for _ in range(count)]


async def test_topics_are_created_with_the_partitions_and_configs_of_the_contract(
    kafka_settings: KafkaSettings,
) -> None:
    created = await create_topics(kafka_settings, TOPICS)

    assert created == [topic_name(kafka_settings, topic) for topic in TOPICS]
    assert await _partitions(kafka_settings) == {
        topic.name: topic.partitions or kafka_settings.partitions for topic in TOPICS
    }
    events = await _configs(kafka_settings, EVENTS)
    assert events["cleanup.policy"] == "delete"
    assert events["retention.ms"] == str(EVENTS.retention_ms)
    definitions = await _configs(kafka_settings, DEFINITIONS)
    assert definitions["cleanup.policy"] == "compact"
    assert definitions["min.compaction.lag.ms"] == str(DEFINITIONS.compaction_lag_ms)
    assert (await _configs(kafka_settings, PROFILES))["cleanup.policy"] == "compact"


async def test_creating_topics_again_leaves_them_as_they_are(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [EVENTS])
    wider = kafka_settings.model_copy(update={"partitions": kafka_settings.partitions * 2})

    created = await create_topics(wider, [EVENTS, COMMANDS])

    assert created == [topic_name(kafka_settings, COMMANDS)]
    assert (await _partitions(kafka_settings))["events"] == kafka_settings.partitions


async def test_more_replicas_than_brokers_is_reported_with_the_topics_name(
    kafka_settings: KafkaSettings,
) -> None:
    greedy = kafka_settings.model_copy(update={"replication": 9})
    with pytest.raises(Transient, match=r"topic .*-events: InvalidReplicationFactor"):
        await create_topics(greedy, [EVENTS])


async def test_a_broker_that_is_not_there_is_transient(kafka_settings: KafkaSettings) -> None:
    nowhere = kafka_settings.model_copy(update={"kafka": "127.0.0.1:1"})
    with pytest.raises(Transient, match=r"broker 127\.0\.0\.1:1"):
        await create_topics(nowhere, [EVENTS])


async def test_an_idempotent_producer_writes_in_order_to_the_partition_of_the_key(
    kafka_settings: KafkaSettings,
) -> None:
    assert kafka_settings.kafka_idempotence
    await create_topics(kafka_settings, [EVENTS])
    people = [f"person-{number}".encode() for number in range(50)]
    name = topic_name(kafka_settings, EVENTS)
    async with make_producer(kafka_settings, linger_ms=5) as producer:
        pending = [
            await producer.send(name, b"%d" % turn, key=person)
            for turn in range(4)
            for person in people
        ]
        acknowledged = [await future for future in pending]

    # No partition was named: the client's own choice must be the rule of `partition_of`.
    for place, person in zip(acknowledged, people * 4, strict=True):
        assert place.partition == partition_of(person, kafka_settings.partitions)
    async with make_consumer(kafka_settings, EVENTS, group=None) as consumer:
        records = await _read(consumer, 200)
    for person in people:
        assert [r.value for r in records if r.key == person] == [b"0", b"1", b"2", b"3"]


async def test_a_record_of_the_largest_allowed_size_goes_through_and_a_larger_one_does_not(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [EVENTS])
    name = topic_name(kafka_settings, EVENTS)
    largest = b"x" * RECORD_BYTES_MAX
    async with make_producer(kafka_settings) as producer:
        await producer.send_and_wait(name, largest, key=b"p", headers=[("cuestream", b"pack/1")])
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(name, b"x" * (RECORD_BYTES_MAX + 60_000), key=b"p")
    async with make_consumer(kafka_settings, EVENTS, group=None) as consumer:
        (record,) = await _read(consumer, 1)
    assert record.value == largest
    assert record.headers == (("cuestream", b"pack/1"),)


async def test_a_group_resumes_after_what_it_committed_and_only_that(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [DEFINITIONS])
    name = topic_name(kafka_settings, DEFINITIONS)
    async with make_producer(kafka_settings) as producer:
        for number in range(10):
            await producer.send_and_wait(name, b"%d" % number, key=b"k")
    partition = TopicPartition(name, 0)

    async with make_consumer(kafka_settings, DEFINITIONS, group="reader") as first:
        assert [r.value for r in await _read(first, 6)] == [b"%d" % n for n in range(6)]
        await first.commit({partition: 4})
    async with make_consumer(kafka_settings, DEFINITIONS, group="reader") as second:
        assert [r.value for r in await _read(second, 6)] == [b"%d" % n for n in range(4, 10)]
    async with make_consumer(kafka_settings, DEFINITIONS, group="other") as other:
        assert (await _read(other, 1))[0].value == b"0"


async def test_a_second_member_takes_over_what_the_first_left(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [COMMANDS])
    everything = set(range(kafka_settings.partitions))
    first = make_consumer(kafka_settings, COMMANDS, group="pair")
    second = make_consumer(kafka_settings, COMMANDS, group="pair")
    await first.start()
    try:
        assert {p.partition for p in first.assignment()} == everything
        await second.start()
        shared = {p.partition for p in second.assignment()}
        assert shared
        assert shared < everything
        await first.stop()
        async with make_producer(kafka_settings) as producer:
            for number in everything:
                await producer.send_and_wait(
                    topic_name(kafka_settings, COMMANDS), b"", partition=number
                )
        # Nothing is committed, so what stood before the takeover may be read twice.
        seen: set[int] = set()
        async with asyncio.timeout(30):
            while seen != everything:
                seen.add((await second.getone()).partition)
    finally:
        await first.stop()
        await second.stop()


async def test_topics_can_be_used_the_moment_they_are_created(
    kafka_settings: KafkaSettings,
) -> None:
    for number in range(10):
        fresh = kafka_settings.model_copy(
            update={"topic_prefix": f"{kafka_settings.topic_prefix}{number}-"}
        )
        await create_topics(fresh, TOPICS)
        await require_topics(fresh, TOPICS)
