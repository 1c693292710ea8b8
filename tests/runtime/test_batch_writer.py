"""Writing in turn: no request goes out before the one before it is acknowledged."""

import asyncio
from dataclasses import dataclass

import pytest

from services.runtime.batch.writer import VALUE_BYTES_MAX, BatchWriter, Headed, Headers


@dataclass
class Place:
    """What the broker says of a request."""

    offset: int


class Batch:
    """As aiokafka's builder: takes records until it is full."""

    def __init__(self) -> None:
        self.records: list[Headed] = []

    def append(
        self, *, timestamp: None, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]
    ) -> object | None:
        if len(self.records) == 2:
            return None
        self.records.append((key, value, tuple(headers)))
        return self

    def record_count(self) -> int:
        return len(self.records)


class Producer:
    """Acknowledges when the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[Headed], asyncio.Future[Place]]] = []

    def create_batch(self, topic: str) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> object:
        acknowledged: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self.sent.append((batch.records, acknowledged))
        return acknowledged


def record(number: int) -> Headed:
    headers: Headers = (("kind", b"%d" % (number % 2)),)
    return b"k%d" % number, b"v", headers


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_request_waits_for_the_one_before() -> None:
    producer = Producer()
    records = [record(number) for number in range(5)]
    writing = asyncio.create_task(BatchWriter(producer).write_headed("t", 0, records))
    for number in range(3):
        await settle()
        assert len(producer.sent) == number + 1
        assert not writing.done()
        producer.sent[number][1].set_result(Place(10 * number))
    assert await writing == 20
    assert [one for batch, _ in producer.sent for one in batch] == records


async def test_nothing_is_sent_after_a_request_that_was_given_up() -> None:
    producer = Producer()
    records = [record(number) for number in range(5)]
    writing = asyncio.create_task(BatchWriter(producer).write_headed("t", 0, records))
    await settle()
    producer.sent[0][1].set_exception(TimeoutError())
    with pytest.raises(TimeoutError):
        await writing
    assert len(producer.sent) == 1


async def test_no_records_are_no_request_and_too_large_ones_an_error() -> None:
    producer = Producer()
    assert await BatchWriter(producer).write("t", 0, []) is None
    assert producer.sent == []
    too_large = (b"k", b"x" * (VALUE_BYTES_MAX + 1))
    with pytest.raises(ValueError, match="a record of"):
        await BatchWriter(producer).write("t", 0, [too_large])
