"""Reading a topic from its beginning to its end, for those who count what really happened."""

import time
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.contracts.errors import Transient
from services.contracts.topics import Topic
from services.runtime.kafka import make_consumer, require_topics, topic_name
from services.runtime.settings import KafkaSettings

READ_RECORDS_MAX: Final = 2_000
POLL_MS: Final = 100
ENDS_SECONDS_MAX: Final = 30.0


async def read_topic(
    settings: KafkaSettings,
    topic: Topic,
    *,
    timeout_seconds: float,
    partition: int | None = None,
    start: int | None = None,
    opened: bool = True,
) -> AsyncIterator[Any]:
    """Yield every record that stands in the topic when reading begins, by partition in order;
    of one partition alone where that is asked for, from offset `start` on. Values are `opened`,
    or as they stand there.

    Raises:
        Transient: the broker fails or the end is not reached in time.
    """
    name, count = topic_name(settings, topic), topic.partitions or settings.partitions
    consumer = make_consumer(settings, group=None, opened=opened)
    deadline = time.monotonic() + timeout_seconds
    ends: dict[TopicPartition, int] = {}
    try:
        await consumer.start()
        numbers = range(count) if partition is None else (partition,)
        partitions = [TopicPartition(name, number) for number in numbers]
        await _assign(consumer, partitions, start)
        open_ = set(partitions)
        while open_:
            if time.monotonic() > deadline:
                raise Transient(f"topic {name} could not be read in {timeout_seconds:.0f} s")
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=READ_RECORDS_MAX)
            for one in open_ - ends.keys():
                # The end comes with the answers to Fetch: not every ListOffsets is right.
                if (end := consumer.highwater(one)) is not None:
                    ends[one] = end
            for one, records in batches.items():
                for record in records:
                    if record.offset < ends[one]:
                        yield record
            for one in list(open_):
                if one in ends and await consumer.position(one) >= ends[one]:
                    open_.discard(one)
                    consumer.pause(one)
    except (KafkaError, OSError) as error:
        raise Transient(f"topic {name}: {error!r}") from error
    finally:
        await consumer.stop()


async def _assign(consumer: Any, partitions: list[TopicPartition], start: int | None) -> None:
    consumer.assign(partitions)
    if start is None:
        await consumer.seek_to_beginning(*partitions)
        return
    for partition in partitions:
        consumer.seek(partition, start)


async def committed(settings: KafkaSettings, group: str, topic: Topic) -> dict[int, int]:
    """The offsets a group has committed on the topic, by partition; 0 before its first.

    Raises:
        Transient: the broker fails.
    """
    name, count = topic_name(settings, topic), topic.partitions or settings.partitions
    consumer = make_consumer(settings, group=group)
    partitions = [TopicPartition(name, number) for number in range(count)]
    try:
        await consumer.start()
        # Assigned by hand it asks the group's coordinator and never becomes a member.
        consumer.assign(partitions)
        return {part.partition: await consumer.committed(part) or 0 for part in partitions}
    except (KafkaError, OSError) as error:
        raise Transient(f"group {group}: {error!r}") from error
    finally:
        await consumer.stop()


async def ends_of(settings: KafkaSettings, topic: Topic) -> dict[int, int]:
    """The offset after the last record of each partition, as Fetch answers it.

    Raises:
        Transient: the broker fails or does not answer in time.
    """
    name, count = topic_name(settings, topic), topic.partitions or settings.partitions
    partitions = [TopicPartition(name, number) for number in range(count)]
    consumer = make_consumer(settings, group=None)
    deadline = time.monotonic() + ENDS_SECONDS_MAX
    try:
        await consumer.start()
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        while any(consumer.highwater(partition) is None for partition in partitions):
            if time.monotonic() > deadline:
                raise Transient(f"the ends of topic {name} are not known")
            await consumer.getmany(timeout_ms=POLL_MS, max_records=1)
        return {part.partition: consumer.highwater(part) or 0 for part in partitions}
    except (KafkaError, OSError) as error:
        raise Transient(f"topic {name}: {error!r}") from error
    finally:
        await consumer.stop()


async def partitions_of(settings: KafkaSettings, topic: Topic) -> int:
    """How many partitions the topic has, whatever the settings say of it.

    Raises:
        Transient: the broker fails, or has no such topic.
    """
    await require_topics(settings, [topic])
    name = topic_name(settings, topic)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        await admin.start()
        (described,) = await admin.describe_topics([name])
        return len(described["partitions"])
    except (KafkaError, OSError) as error:
        raise Transient(f"topic {name}: {error!r}") from error
    finally:
        await admin.close()
