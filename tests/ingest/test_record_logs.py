"""What every `RecordLog` does, the one in memory and the one on Kafka."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from services.contracts.codec import encode_pack
from services.contracts.errors import Transient
from services.contracts.event import Event
from services.contracts.topics import DEAD_LETTERS, EVENTS, RECORD_BYTES_MAX
from services.ingest.kafka_log import KafkaLog
from services.ingest.packer import PACK_BYTES_MAX
from services.ingest.records import MemoryLog, RecordLog
from services.runtime.kafka import partition_of
from services.runtime.settings import KafkaSettings
from tests.ingest.running import Enough, make_topics, read_records

PARTITIONS = 4
PERSON = "p-1"
HOME = partition_of(PERSON.encode(), PARTITIONS)
Read = Callable[[int], Awaitable[list[bytes]]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A log, what stands on it, and how to take its broker away."""

    log: RecordLog
    packs: Read
    dead_letters: Read
    lose: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.embedded)])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    """One adapter, ready to be written to."""
    if request.param == "memory":
        yield memory_case()
        return
    kafka: KafkaSettings = request.getfixturevalue("kafka_settings")
    await make_topics(kafka)
    log = KafkaLog(kafka)
    log.start()
    while log.problem() is not None:  # noqa: ASYNC110  (the port tells no more)
        await asyncio.sleep(0.01)
    yield Case(
        log=log,
        packs=lambda count: read_records(kafka, EVENTS, Enough(count, packed=True)),
        dead_letters=lambda count: read_records(kafka, DEAD_LETTERS, Enough(count, packed=False)),
        lose=log.stop,
    )
    await log.stop()


def memory_case() -> Case:
    log = MemoryLog(PARTITIONS)

    async def packs(_: int) -> list[bytes]:
        return [pack for partition in log.packs for pack in partition]

    async def dead_letters(_: int) -> list[bytes]:
        return log.dead_letters

    async def lose() -> None:
        log.failing = "away"

    return Case(log=log, packs=packs, dead_letters=dead_letters, lose=lose)


def pack(number: int, size: int = 0) -> bytes:
    event = Event(
        person=PERSON,
        type="track",
        name="x",
        message_id=f"{number}",
        occurred_at=0,
        received_at=0,
        properties={"text": "x" * size} if size else {},
    )
    return encode_pack([event])


async def test_it_knows_the_partitions(case: Case) -> None:
    assert case.log.partitions == PARTITIONS
    assert case.log.problem() is None


async def test_acknowledged_packs_stand_in_their_partition_in_order(case: Case) -> None:
    packs = [pack(n) for n in range(50)]
    acks = [await case.log.append(HOME, one) for one in packs]
    await asyncio.gather(*acks)
    assert await case.packs(50) == packs


async def test_the_largest_pack_is_taken(case: Case) -> None:
    largest = pack(1, PACK_BYTES_MAX - (len(pack(1, 100_000)) - 100_000))
    assert PACK_BYTES_MAX <= len(largest) <= RECORD_BYTES_MAX
    acks = [await case.log.append(HOME, largest) for _ in range(3)]
    await asyncio.gather(*acks)
    assert len(await case.packs(3)) == 3


async def test_dead_letters_stand_apart(case: Case) -> None:
    await (await case.log.append_dead_letter(b"letter"))
    await (await case.log.append(HOME, pack(1)))
    assert await case.dead_letters(1) == [b"letter"]
    assert await case.packs(1) == [pack(1)]


async def test_without_a_broker_nothing_is_taken_and_it_says_so(case: Case) -> None:
    await case.lose()
    assert case.log.problem() is not None
    with pytest.raises(Transient):
        _ = case.log.partitions
    with pytest.raises(Transient):
        await case.log.append(HOME, pack(1))
    with pytest.raises(Transient):
        await case.log.append_dead_letter(b"letter")
