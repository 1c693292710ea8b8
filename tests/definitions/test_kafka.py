"""The announcer against a broker: what is acknowledged can be read, in order, everywhere."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.contracts.codec import decode_marker
from services.contracts.control import Marker
from services.contracts.definitions import HEAD_KEY, DefinitionRecord
from services.contracts.errors import Transient
from services.contracts.topics import DEFINITIONS, EVENTS, KIND_HEADER, KIND_MARKER
from services.runtime.kafka import create_topics, make_consumer, topic_name
from services.runtime.process import free_port
from services.runtime.settings import KafkaSettings
from services.triggers.definitions.kafka import KafkaAnnouncer
from services.triggers.definitions.rows import head_record


async def read(settings: KafkaSettings, topic: Any, partition: int, count: int) -> list[Any]:
    """The first `count` records of a partition."""
    consumer = make_consumer(settings, group=None)
    await consumer.start()
    try:
        place = TopicPartition(topic_name(settings, topic), partition)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        async with asyncio.timeout(20):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


def record(id_: str, revision: int = 1) -> DefinitionRecord:
    """A record of a tag."""
    return DefinitionRecord(
        kind="tag", id=id_, version=1, revision=revision, definition={"id": id_}
    )


@pytest.fixture
async def announcer(kafka_settings: KafkaSettings) -> AsyncIterator[KafkaAnnouncer]:
    """Open, with its topics."""
    await create_topics(kafka_settings, [EVENTS, DEFINITIONS])
    made = KafkaAnnouncer(kafka_settings)
    await made.open()
    yield made
    await made.close()


async def test_records_stand_in_order_with_their_keys(
    announcer: KafkaAnnouncer, kafka_settings: KafkaSettings
) -> None:
    records = [*(record(f"t{number}") for number in range(50)), head_record(1)]
    await announcer.write_definitions(records)
    found = await read(kafka_settings, DEFINITIONS, 0, 51)
    assert [one.key for one in found] == [
        *(f"tag/t{number}".encode() for number in range(50)),
        HEAD_KEY,
    ]


async def test_a_version_let_go_of_has_no_value_and_a_removed_definition_says_so(
    announcer: KafkaAnnouncer, kafka_settings: KafkaSettings
) -> None:
    kept = DefinitionRecord(kind="version", id="t@2", version=2, revision=2, definition={"id": "t"})
    gone = DefinitionRecord(kind="version", id="t@1", version=1, revision=2)
    removed = DefinitionRecord(kind="tag", id="t", version=1, revision=2)
    await announcer.write_definitions([kept, gone, removed, head_record(2)])
    found = await read(kafka_settings, DEFINITIONS, 0, 4)
    assert [(one.key, one.value is None) for one in found[:3]] == [
        (b"version/t@2", False),
        (b"version/t@1", True),
        (b"tag/t", False),
    ]


async def test_the_head_is_the_newest_revision_whatever_was_repeated(
    announcer: KafkaAnnouncer,
) -> None:
    assert await announcer.head() == 0
    for revision in (1, 2, 3):
        await announcer.write_definitions([record("t", revision), head_record(revision)])
    await announcer.write_definitions([*(record(f"t{n}", 2) for n in range(9)), head_record(2)])
    assert await announcer.head() == 3


async def test_a_marker_stands_in_every_partition_and_says_what_it_is(
    announcer: KafkaAnnouncer, kafka_settings: KafkaSettings
) -> None:
    marker = Marker(revision=7, at=123)
    await announcer.write_marker(marker)
    for partition in range(kafka_settings.partitions):
        (found,) = await read(kafka_settings, EVENTS, partition, 1)
        assert decode_marker(found.value) == marker
        assert dict(found.headers) == {KIND_HEADER: KIND_MARKER}


async def test_it_can_be_opened_again(
    announcer: KafkaAnnouncer, kafka_settings: KafkaSettings
) -> None:
    await announcer.close()
    with pytest.raises(Transient):
        await announcer.write_marker(Marker(revision=1, at=1))
    await announcer.open()
    await announcer.write_marker(Marker(revision=2, at=1))
    (found,) = await read(kafka_settings, EVENTS, 0, 1)
    assert decode_marker(found.value).revision == 2


async def test_a_missing_topic_is_waited_for_and_never_created(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [DEFINITIONS])
    made = KafkaAnnouncer(kafka_settings)
    with pytest.raises(Transient, match="events is missing"):
        await made.open()
    await made.close()
    assert await create_topics(kafka_settings, [EVENTS]) == [topic_name(kafka_settings, EVENTS)]
    await made.open()
    await made.close()


async def test_a_broker_that_is_away_is_transient() -> None:
    made = KafkaAnnouncer(KafkaSettings(kafka=f"127.0.0.1:{free_port()}"))
    with pytest.raises(Transient):
        await made.open()
    await made.close()
