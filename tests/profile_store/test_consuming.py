"""The consumer group over a broker and a database: nothing lost, nothing doubled."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import encode_json
from services.contracts.deadletter import DeadLetter
from services.contracts.profile import Profile
from services.contracts.topics import DEAD_LETTERS, PROFILES
from services.profile_store.consuming import GROUP, Consuming, Store
from services.profile_store.erasing import erasures_of
from services.profile_store.intake import Intake
from services.profile_store.postgres import PostgresProfiles
from services.profile_store.storing import Record
from services.runtime.dead_letters import send_dead_letter
from services.runtime.kafka import create_topics, make_consumer, make_producer, topic_name
from services.runtime.metrics import Metrics
from services.runtime.settings import KafkaSettings
from tests.profile_store.examples import profile

pytestmark = pytest.mark.embedded


class Crash(Exception):
    """The process dies here."""


class Scene:
    """A topic of profiles, a database, and stores to run over them one after another."""

    def __init__(self, settings: KafkaSettings, engine: AsyncEngine) -> None:
        self.settings = settings
        self.profiles = PostgresProfiles(engine)
        self.metrics = Metrics()
        self.producer = make_producer(settings)
        self.intake = Intake(
            self.profiles,
            erasures_of(engine).erase,
            lambda letter: send_dead_letter(self.producer, settings, letter),
            self.metrics,
        )

    async def produce(self, values: Sequence[bytes]) -> None:
        name = topic_name(self.settings, PROFILES)
        for value in values:
            await self.producer.send_and_wait(name, value, key=b"k", partition=0)

    def consuming(self, store: Store | None = None, batch_max: int = 100) -> Consuming:
        return Consuming(
            make_consumer(self.settings, group=GROUP),
            topic_name(self.settings, PROFILES),
            store or self.intake.store,
            self.metrics,
            batch_max,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Consuming]:
        stop = asyncio.Event()
        consuming = self.consuming()
        task = asyncio.create_task(consuming.run(stop))
        try:
            yield consuming
        finally:
            stop.set()
            await task

    async def until_stored(self, person: str, offset: int) -> Profile:
        async with asyncio.timeout(30):
            while True:
                found = await self.profiles.get(person)
                if found is not None and found.source_offset >= offset:
                    return found
                await asyncio.sleep(0.01)

    async def committed(self) -> int | None:
        partition = TopicPartition(topic_name(self.settings, PROFILES), 0)
        async with make_consumer(self.settings, group=GROUP) as consumer:
            offset: int | None = await consumer.committed(partition)
            return offset

    def counted(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "cuestream_profile_upserts_total", {"outcome": outcome}
        )


@pytest.fixture
async def scene(kafka_settings: KafkaSettings, engine: AsyncEngine) -> AsyncIterator[Scene]:
    await create_topics(kafka_settings, [PROFILES, DEAD_LETTERS])
    made = Scene(kafka_settings, engine)
    async with made.producer:
        yield made


def snapshots(count: int) -> list[bytes]:
    return [
        encode_json(profile(f"p{n % 3}", source_offset=n, tags={"tag": n})) for n in range(count)
    ]


async def test_what_is_produced_is_stored_and_then_committed(scene: Scene) -> None:
    await scene.produce([*snapshots(10), b"rubbish", *snapshots(12)[10:]])
    async with scene.running() as consuming:
        assert (await scene.until_stored("p2", 11)).tags == {"tag": 11}
        assert consuming.missing() is None
        async with asyncio.timeout(10):
            labels = {"topic": topic_name(scene.settings, PROFILES), "partition": "0"}
            sample = scene.metrics.registry.get_sample_value
            while sample("cuestream_consumer_lag_records", labels) != 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert await scene.committed() == 13
    async with make_consumer(scene.settings, DEAD_LETTERS, group=None) as consumer:
        letter = msgspec.json.decode((await consumer.getone()).value, type=DeadLetter)
    assert (letter.offset, letter.value, letter.code) == (10, b"rubbish", "bad_profile")


async def test_a_crash_between_database_and_commit_repeats_the_batch_without_effect(
    scene: Scene, engine: AsyncEngine
) -> None:
    await scene.produce(snapshots(6))

    async def store_and_crash(records: Sequence[Record]) -> None:
        await scene.intake.store(records)
        raise Crash

    with pytest.raises(Crash):
        await scene.consuming(store_and_crash).run(asyncio.Event())
    assert await scene.committed() is None
    written = scene.counted("written")
    async with engine.connect() as connection:
        before = (await connection.execute(text(f"SELECT {ROW_VERSIONS}"))).scalar_one()
    await scene.produce([encode_json(profile("last", source_offset=6))])
    async with scene.running():
        await scene.until_stored("last", 6)
    assert await scene.committed() == 7
    assert written is not None
    assert scene.counted("written") == written + 1
    async with engine.connect() as connection:
        after = (await connection.execute(text(f"SELECT {ROW_VERSIONS}"))).scalar_one()
    assert after == before


ROW_VERSIONS = (
    "string_agg(person || xmin::text, ',' ORDER BY person) FROM profile_store.profiles"
    " WHERE person <> 'last'"
)
"""xmin changes whenever a row is written."""


async def test_a_crash_before_the_database_loses_nothing(scene: Scene) -> None:
    await scene.produce(snapshots(6))

    async def crash(_: Sequence[Record]) -> None:
        raise Crash

    with pytest.raises(Crash):
        await scene.consuming(crash).run(asyncio.Event())
    async with scene.running():
        assert (await scene.until_stored("p2", 5)).tags == {"tag": 5}


async def test_a_batch_stored_early_is_not_committed_before_the_one_ahead_of_it(
    scene: Scene,
) -> None:
    await scene.produce(snapshots(3))
    second_stored = asyncio.Event()

    async def first_crashes_after_the_second(records: Sequence[Record]) -> None:
        if records[0].offset == 0:
            await second_stored.wait()
            raise Crash
        await scene.intake.store(records)
        second_stored.set()

    with pytest.raises(Crash):
        await scene.consuming(first_crashes_after_the_second, batch_max=1).run(asyncio.Event())
    assert await scene.committed() is None
    async with scene.running():
        await scene.until_stored("p0", 0)
        await scene.until_stored("p2", 2)
