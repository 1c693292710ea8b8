"""The embedded servers serve what the runtime asks of them, and never outlive us."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    KIND_HEADER,
    KIND_PACK,
    TOPICS,
)
from services.runtime.embedded import EmbeddedBroker, EmbeddedError, EmbeddedPostgres
from services.runtime.embedded.broker import ENVIRONMENT
from services.runtime.kafka import (
    create_topics,
    make_consumer,
    make_producer,
    partition_of,
    topic_name,
)
from services.runtime.settings import KafkaSettings
from tests.support.processes import gone, wait_until

pytestmark = pytest.mark.embedded


async def test_topics_are_created_once_and_then_left_alone(kafka_settings: KafkaSettings) -> None:
    assert len(await create_topics(kafka_settings, TOPICS)) == len(TOPICS)
    assert await create_topics(kafka_settings, TOPICS) == []


async def test_records_come_back_in_order_from_the_partition_of_their_key(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [EVENTS])
    name = topic_name(kafka_settings, EVENTS)
    headers = [(KIND_HEADER, KIND_PACK)]
    async with make_producer(kafka_settings) as producer:
        for number in range(40):
            key = b"person%d" % (number % 7)
            await producer.send_and_wait(name, b"%d" % number, key=key, headers=headers)
    async with make_consumer(kafka_settings, EVENTS, group=None) as consumer:
        seen = [await consumer.getone() for _ in range(40)]
        ends = {
            partition: consumer.highwater(TopicPartition(name, partition))
            for partition in {record.partition for record in seen}
        }
    for record in seen:
        assert record.partition == partition_of(record.key, kafka_settings.partitions)
        assert record.headers == ((KIND_HEADER, KIND_PACK),)
    for partition, end in ends.items():
        values = [int(record.value) for record in seen if record.partition == partition]
        assert values == sorted(values)
        assert end == len(values)


async def test_a_topic_made_later_takes_nothing_from_records_on_their_way(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [DECISIONS])
    hasty = kafka_settings.model_copy(update={"kafka_request_timeout_ms": 2_000})
    async with make_producer(hasty, linger_ms=500) as producer:
        await create_topics(kafka_settings, [COMMANDS])
        earlier = await producer.send(topic_name(hasty, DECISIONS), b"1", partition=0)
        later = await producer.send(topic_name(hasty, COMMANDS), b"2", partition=0)
        assert [(await earlier).offset, (await later).offset] == [0, 0]


async def test_a_group_goes_on_after_what_it_committed(kafka_settings: KafkaSettings) -> None:
    await create_topics(kafka_settings, [DEAD_LETTERS])
    name = topic_name(kafka_settings, DEAD_LETTERS)
    async with make_producer(kafka_settings) as producer:
        for value in (b"first", b"second"):
            await producer.send_and_wait(name, value)
    async with make_consumer(kafka_settings, DEAD_LETTERS, group="readers") as consumer:
        assert (await consumer.getone()).value == b"first"
        await consumer.commit({TopicPartition(name, 0): 1})
    async with make_consumer(kafka_settings, DEAD_LETTERS, group="readers") as consumer:
        assert (await consumer.getone()).value == b"second"


def test_the_brokers_environment_names_real_settings() -> None:
    fields = {f"CUESTREAM_{name.upper()}" for name in KafkaSettings.model_fields}
    assert set(ENVIRONMENT) <= fields


def test_a_taken_port_is_reported(tmp_path: Path) -> None:
    with EmbeddedBroker(log_dir=tmp_path) as broker:
        second = EmbeddedBroker(log_dir=tmp_path, port=broker.port)
        with pytest.raises(EmbeddedError, match="taken"):
            second.start()


async def test_the_database_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "database"
    for statement in ("CREATE TABLE kept AS SELECT 7 AS number", "SELECT number FROM kept"):
        with EmbeddedPostgres(folder, log_dir=tmp_path, durable=False) as server:
            connection = await asyncpg.connect(server.url().replace("+asyncpg", ""))
            answer = await connection.fetch(statement)
            await connection.close()
    assert [row["number"] for row in answer] == [7]


async def test_the_database_wants_its_password(database_server_url: str) -> None:
    wrong = database_server_url.replace("+asyncpg", "").split("@")[1]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://cuestream:wrong@{wrong}")


PARENT = """
import sys, threading
from pathlib import Path
from services.runtime.embedded import EmbeddedBroker, EmbeddedPostgres

folder = Path(sys.argv[1])
broker = EmbeddedBroker(log_dir=folder)
server = EmbeddedPostgres(folder / "database", log_dir=folder, durable=False)
broker.start()
server.start()
print(broker.child.pid, server.child.pid, flush=True)
threading.Event().wait()
"""


def test_servers_die_with_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout as output:
        pids = [int(pid) for pid in output.readline().split()]
    assert len(pids) == 2
    assert not any(gone(pid) for pid in pids)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: all(gone(pid) for pid in pids), "the servers to die with their parent")


embedded_broker_only = pytest.mark.skipif(
    bool(os.environ.get("CUESTREAM_KAFKA")), reason="about the embedded broker, not a real one"
)


@embedded_broker_only
async def test_the_broker_still_lacks_idempotent_producers(kafka_settings: KafkaSettings) -> None:
    """If this fails after an upgrade, ENVIRONMENT of the embedded broker can shrink."""
    await create_topics(kafka_settings, [EVENTS])
    producer = make_producer(kafka_settings.model_copy(update={"kafka_idempotence": True}))
    with pytest.raises((KafkaError, TimeoutError)):  # noqa: PT012  (start or send may refuse)
        async with asyncio.timeout(3):
            await producer.start()
            await producer.send_and_wait(topic_name(kafka_settings, EVENTS), b"x")
    await producer.stop()


@embedded_broker_only
async def test_the_brokers_list_of_offsets_is_still_not_the_end(
    kafka_settings: KafkaSettings,
) -> None:
    """If this fails after an upgrade, ends may be asked for instead of fetched."""
    await create_topics(kafka_settings, [DEAD_LETTERS])
    name = topic_name(kafka_settings, DEAD_LETTERS)
    async with make_producer(kafka_settings, linger_ms=50) as producer:
        sent = [await producer.send(name, b"x") for _ in range(5)]
        await asyncio.gather(*sent)
    partition = TopicPartition(name, 0)
    async with make_consumer(kafka_settings, DEAD_LETTERS, group=None) as consumer:
        for _ in range(5):
            await consumer.getone()
        assert consumer.highwater(partition) == 5
        assert await consumer.end_offsets([partition]) == {partition: 1}
