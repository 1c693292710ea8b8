"""The batch path through Faust does what it promises, against a broker.

Each app here is a whole one, in this process: Faust, its consumer thread, a table.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from services.contracts.topics import EVENTS, Topic
from services.runtime.batch.app import BatchApp, BatchOptions, build_app, changelog_of, running
from services.runtime.batch.consumer import BatchMessage
from services.runtime.batch.states import States
from services.runtime.batch.writer import VALUE_BYTES_MAX, BatchWriter, Headed
from services.runtime.kafka import create_topics, make_producer, topic_name
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import committed, read_topic

GROUP = "batches"
PARTITIONS = 4
SECONDS_MAX = 40


class Node:
    """One app of the group: what it was given, and what the test lets it do with it."""

    def __init__(self, settings: KafkaSettings, folder: Path, **options: Any) -> None:
        self.batches: list[BatchMessage] = []
        self.recovered: list[frozenset[int]] = []
        self.process = True
        self.states = States()
        self.app: BatchApp = build_app(
            settings,
            group=GROUP,
            topic=topic_name(settings, EVENTS),
            partitions=PARTITIONS,
            states=self.states,
            handle=self.handle,
            on_recovered=self.recovered.append,
            options=BatchOptions(
                end_offsets_by_fetch=not settings.kafka_idempotence,
                commit_interval_seconds=0.1,
                **options,
            ),
            scratch=folder,
        )

    async def handle(self, message: BatchMessage) -> None:
        self.batches.append(message)
        if self.process:
            self.app.consumer.processed(message)

    @property
    def values(self) -> list[tuple[int, int, bytes]]:
        return sorted(
            (message.partition, row.offset, row.value)
            for message in self.batches
            for row in message.value
        )


@asynccontextmanager
async def up(node: Node) -> AsyncIterator[Node]:
    async with running(node.app, stop_seconds_max=20):
        await until(lambda: bool(node.recovered), "the first assignment")
        yield node


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():  # noqa: ASYNC110  (a condition of plain values)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


@asynccontextmanager
async def producing(settings: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    await create_topics(settings, [EVENTS])
    producer = make_producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def append(
    producer: AIOKafkaProducer, settings: KafkaSettings, first: int, count: int
) -> None:
    for number in range(first, first + count):
        await producer.send(
            topic_name(settings, EVENTS), b"%d" % number, partition=number % PARTITIONS
        )
    await producer.flush()


def expected(count: int) -> list[tuple[int, int, bytes]]:
    return sorted(
        (number % PARTITIONS, number // PARTITIONS, b"%d" % number) for number in range(count)
    )


async def test_everything_arrives_once_in_batches_of_bounded_size(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with producing(kafka_settings) as producer:
        await append(producer, kafka_settings, 0, 1000)
        async with up(Node(kafka_settings, tmp_path, batch_records_max=70)) as node:
            await until(lambda: len(node.values) >= 1000, "what was there")
            await append(producer, kafka_settings, 1000, 40)
            await until(lambda: len(node.values) >= 1040, "what came later")
    assert node.values == expected(1040)
    assert max(len(message.value) for message in node.batches) <= 70
    ends: dict[int, int] = {}
    for message in node.batches:
        assert message.start == ends.get(message.partition, 0)
        ends[message.partition] = message.offset + 1
    assert await committed(kafka_settings, GROUP, EVENTS) == dict.fromkeys(range(4), 260)


async def test_what_was_not_processed_is_not_committed_and_comes_again(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with producing(kafka_settings) as producer:
        await append(producer, kafka_settings, 0, 100)
        async with up(Node(kafka_settings, tmp_path / "a")) as node:
            await until(lambda: len(node.values) >= 100, "the first hundred")
            node.process = False
            await append(producer, kafka_settings, 100, 100)
            await until(lambda: len(node.values) >= 200, "the second hundred")
            for message in node.batches:
                if not message.processed:
                    # As at a stop, when nobody will process it any more.
                    node.app.consumer.abandoned(message)
        assert await committed(kafka_settings, GROUP, EVENTS) == dict.fromkeys(range(4), 25)
        async with up(Node(kafka_settings, tmp_path / "b")) as again:
            await until(lambda: len(again.values) >= 100, "the second hundred again")
    assert again.values == [row for row in expected(200) if int(row[2]) >= 100]


async def test_a_later_batch_is_not_committed_before_an_earlier_one(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with producing(kafka_settings) as producer:
        await append(producer, kafka_settings, 0, 40)
        node = Node(kafka_settings, tmp_path, batch_records_max=4)
        node.process = False
        async with up(node):
            await until(lambda: len(node.values) >= 40, "everything")
            later = [m for m in node.batches if m.start > 0]
            for message in later:
                node.app.consumer.processed(message)
            await node.app.consumer.commit()
            assert set((await committed(kafka_settings, GROUP, EVENTS)).values()) == {0}
            for message in node.batches:
                node.app.consumer.processed(message)
    assert await committed(kafka_settings, GROUP, EVENTS) == dict.fromkeys(range(4), 10)


async def test_a_handler_that_raises_ends_the_app_without_committing_its_batch(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    class Failing(Node):
        async def handle(self, message: BatchMessage) -> None:
            raise ArithmeticError("on purpose")

    async with producing(kafka_settings) as producer:
        await append(producer, kafka_settings, 0, 40)
        node = Failing(kafka_settings, tmp_path)
        node.app.finalize()
        await node.app.start()
        await until(lambda: node.app.crashed, "the crash")
        assert isinstance(node.app.crash_reason, ArithmeticError)
        await node.app.stop()
    assert set((await committed(kafka_settings, GROUP, EVENTS)).values()) == {0}


async def test_states_are_recovered_from_the_changelog_with_later_ones_winning(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with producing(kafka_settings) as producer:
        writer = BatchWriter(producer)
        async with up(Node(kafka_settings, tmp_path / "a")) as node:
            changelog = changelog_of(node.app)
            for part in range(PARTITIONS):
                rows = [(b"k%d" % n, b"%d-%d" % (part, n)) for n in range(500)]
                await writer.write(changelog, part, rows)
                await writer.write(changelog, part, [(b"k7", b"newer")])
        async with up(Node(kafka_settings, tmp_path / "b")) as again:
            assert again.recovered[0] == frozenset(range(PARTITIONS))
            for part in range(PARTITIONS):
                stored = again.states[part].stored
                assert len(stored) == 500
                assert stored["k7"] == b"newer"
                assert stored["k8"] == b"%d-8" % part
                assert again.states[part].position == 500


async def test_a_standby_follows_and_takes_over_without_reading_from_the_start(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    async with producing(kafka_settings) as producer:
        writer = BatchWriter(producer)
        first = Node(kafka_settings, tmp_path / "a")
        second = Node(kafka_settings, tmp_path / "b")
        async with up(second):
            async with up(first):
                await until(
                    lambda: bool(second.recovered[-1]) and second.recovered[-1] < set(range(4)),
                    "partitions shared by two",
                )
                changelog = changelog_of(first.app)
                for round_ in range(20):
                    for part in range(PARTITIONS):
                        rows = [(b"k%d" % n, b"%d" % round_) for n in range(50)]
                        last = await writer.write(changelog, part, rows)
                        owner = first if part in first.recovered[-1] else second
                        if last is not None:
                            owner.states[part].written(last)
                followed = set(range(4)) - second.recovered[-1]
                await until(
                    lambda: all(second.states[part].position == 999 for part in followed),
                    "the standby to follow",
                )
                applied = [second.states[part] for part in followed]
                seen = [id(states) for states in applied]
            await until(lambda: second.recovered[-1] == frozenset(range(4)), "the takeover")
            assert [id(second.states[part]) for part in followed] == seen
            for states in applied:
                assert set(states.stored.values()) == {b"19"}
                assert states.position == 999


async def test_partitions_that_change_hands_again_and_again_lose_nothing(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    """A fetch can outlive a rebalance, and bring records of the new assignment."""
    total, rounds = 0, 3
    stop = asyncio.Event()
    async with producing(kafka_settings) as producer:

        async def keep_writing() -> int:
            written = 0
            while not stop.is_set():
                await append(producer, kafka_settings, written, 40)
                written += 40
                await asyncio.sleep(0.01)
            return written

        writing = asyncio.create_task(keep_writing())
        stayer = Node(kafka_settings, tmp_path / "stayer")
        nodes = [stayer]
        async with up(stayer):
            for number in range(rounds):
                nodes.append(Node(kafka_settings, tmp_path / f"guest{number}"))
                async with up(nodes[-1]):
                    await until(lambda: bool(nodes[-1].batches), "the guest to get some")
            stop.set()
            total = await writing

            def seen() -> set[tuple[int, int, bytes]]:
                return {value for node in nodes for value in node.values}

            await until(lambda: len(seen()) >= total, "every record")
            assert sorted(seen()) == expected(total)
        assert sum((await committed(kafka_settings, GROUP, EVENTS)).values()) == total


async def test_a_batch_that_does_not_follow_what_is_held_is_read_again(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    """As when Faust empties the changelog's queue while the flow is resumed."""
    async with producing(kafka_settings) as producer:
        writer = BatchWriter(producer)
        leader, standby = Node(kafka_settings, tmp_path / "a"), Node(kafka_settings, tmp_path / "b")
        async with up(leader), up(standby):
            await until(
                lambda: bool(leader.recovered[-1]) and leader.recovered[-1] < set(range(4)),
                "partitions shared by two",
            )
            part = min(leader.recovered[-1])
            changelog = changelog_of(leader.app)
            lost: list[BatchMessage] = []
            take = standby.app.tables.recovery._take

            async def lossy(event: Any) -> None:
                if not lost and event.message.partition == part:
                    lost.append(event.message)
                else:
                    await take(event)

            standby.app.tables.recovery._take = lossy
            await writer.write(changelog, part, [(b"one", b"1")])
            await until(lambda: bool(lost), "a batch to lose")
            assert "one" not in standby.states[part].stored
            await writer.write(changelog, part, [(b"two", b"2")])
            await until(lambda: standby.states[part].position == 1, "both records")
            assert standby.states[part].stored == {"one": b"1", "two": b"2"}


async def test_a_write_of_many_records_spans_requests_and_names_the_last_offset(
    kafka_settings: KafkaSettings,
) -> None:
    topic = Topic(name="bulk", keyed_by="nothing", partitions=1)
    async with producing(kafka_settings) as producer:
        await create_topics(kafka_settings, [topic])
        writer, name = BatchWriter(producer), topic_name(kafka_settings, topic)
        assert await writer.write(name, 0, []) is None
        first = await writer.write(name, 0, [(b"k", b"x" * 100_000)] * 25)
        second = await writer.write(name, 0, [(None, b"x" * VALUE_BYTES_MAX)], (("h", b"v"),))
    assert (first, second) == (24, 25)


async def test_records_with_headers_of_their_own_keep_their_order_and_their_own_headers(
    kafka_settings: KafkaSettings,
) -> None:
    topic = Topic(name="turns", keyed_by="nothing", partitions=1)
    records: list[Headed] = [
        (b"%d" % number, b"x" * 100_000, (("kind", b"%d" % (number % 3)),)) for number in range(25)
    ]
    async with producing(kafka_settings) as producer:
        await create_topics(kafka_settings, [topic])
        writer, name = BatchWriter(producer), topic_name(kafka_settings, topic)
        # Another one's records for the same partition may stand between.
        others = writer.write(name, 0, [(b"other", b"x" * 100_000)] * 25)
        await asyncio.gather(writer.write_headed(name, 0, records), others)
    found = [
        (record.key, record.value, tuple(record.headers))
        async for record in read_topic(kafka_settings, topic, timeout_seconds=30)
        if record.key != b"other"
    ]
    assert found == records
