"""What is fetched is handed on or read again: the cases a broker brings about only by chance."""

from base64 import b64encode
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP
from pydantic import SecretStr

from services.runtime.batch.consumer import BatchConsumer, BatchMessage
from services.runtime.batch.fetch import BatchConsumerThread, Fetched
from services.runtime.sealed_records import RecordSealing
from services.runtime.sealing import MissingKey
from services.runtime.settings import KafkaSettings
from tests.worker.driver import Row

A, B = TP("events", 0), TP("events", 1)
CHANGELOG = TP("triggers-state-changelog", 0)
KEYS = f"k1:{b64encode(bytes(32)).decode()}"


def rows(first: int, last: int) -> list[Any]:
    return [Row(offset=offset, key=None, value=b"") for offset in range(first, last)]


class Thread:
    """The consumer thread as far as handing on needs it."""

    def __init__(self) -> None:
        self.current_assignment = object()
        self.rewound: dict[TP, int] = {}

    async def rewind(self, starts: dict[TP, tuple[int, Any]]) -> None:
        self.rewound |= {tp: start for tp, (start, _) in starts.items()}


class Consumer:
    """A consumer whose next fetch is known, with the real way of handing on."""

    getmany = BatchConsumer.getmany
    _flows = BatchConsumer._flows
    _batches = BatchConsumer._batches
    _hand_on = BatchConsumer._hand_on
    _open = BatchConsumer._open

    def __init__(self, records_max: int = 100, keys: str = "") -> None:
        self._thread = Thread()
        self.app = SimpleNamespace(
            consumer_generation_id=7,
            options=SimpleNamespace(batch_records_max=records_max),
            topics=SimpleNamespace(acks_enabled_for=lambda topic: topic == "events"),
            sealing=RecordSealing(KafkaSettings(sensitive_keys=SecretStr(keys))),
        )
        self.flow_active, self.should_stop = True, False
        self.active = {A, B}
        self._buffered_partitions: set[TP] = set()
        self._in_flight: defaultdict[TP, deque[BatchMessage]] = defaultdict(deque)
        self._next: dict[TP, int] = {}
        self.fetched: dict[TP, Fetched] = {}

    def fetch(self, tp: TP, first: int, last: int, start: int | None = None) -> None:
        self.fetched[tp] = Fetched(
            rows(first, last), first if start is None else start, self._thread.current_assignment
        )

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109
        return self.fetched, self.active

    async def handed_on(self) -> list[tuple[TP, int, int]]:
        taken = [(tp, message) async for tp, message in self.getmany(1.0)]  # type: ignore[misc]
        return [(tp, message.start, message.offset) for tp, message in taken]


async def test_all_of_a_fetch_is_handed_on_in_pieces() -> None:
    consumer = Consumer(records_max=4)
    consumer.fetch(A, 3, 13, start=1)
    assert await consumer.handed_on() == [(A, 1, 6), (A, 7, 10), (A, 11, 12)]
    assert consumer._thread.rewound == {}


def sealed(tp: TP) -> list[Any]:
    """One row as a process with the key wrote it."""
    sealing = RecordSealing(KafkaSettings(sensitive_keys=SecretStr(KEYS)))
    return [Row(offset=0, key=b"ann", value=sealing.seal(tp.topic, b"ann", b"{}", None))]


@pytest.mark.parametrize("tp", [A, CHANGELOG])
async def test_what_is_sealed_is_handed_on_opened(tp: TP) -> None:
    consumer = Consumer(keys=KEYS)
    consumer.fetched[tp] = Fetched(sealed(tp), 0, consumer._thread.current_assignment)
    consumer.active = {tp}
    taken = [message async for _, message in consumer.getmany(1.0)]  # type: ignore[misc]
    assert [row.value for message in taken for row in message.value] == [b"{}"]


async def test_what_does_not_open_stops_the_source_and_is_kept_of_a_changelog() -> None:
    other = f"k2:{b64encode(bytes(32)).decode()}"
    for tp in (A, CHANGELOG):
        consumer, rows = Consumer(keys=other), sealed(tp)
        consumer.fetched[tp] = Fetched(rows, 0, consumer._thread.current_assignment)
        consumer.active = {tp}
        if tp is A:
            with pytest.raises(MissingKey, match="events@0"):
                await consumer.handed_on()
            continue
        taken = [message async for _, message in consumer.getmany(1.0)]  # type: ignore[misc]
        assert [row.value for row in taken[0].value] == [rows[0].value]


async def test_what_was_handed_on_before_is_left_out() -> None:
    consumer = Consumer()
    consumer.fetch(A, 0, 10)
    await consumer.handed_on()
    consumer.fetch(A, 4, 14)
    assert await consumer.handed_on() == [(A, 10, 13)]
    consumer.fetch(A, 4, 14)
    assert await consumer.handed_on() == []


async def test_what_comes_while_the_flow_is_stopped_is_read_again() -> None:
    consumer = Consumer()
    consumer.fetch(A, 5, 10, start=4)
    consumer.flow_active = False
    assert await consumer.handed_on() == []
    assert consumer._thread.rewound == {A: 4}
    assert not consumer._in_flight


async def test_a_flow_that_stops_in_the_middle_loses_nothing() -> None:
    consumer = Consumer(records_max=5)
    consumer.fetch(A, 0, 10)
    consumer.fetch(B, 0, 10)
    async for _ in consumer.getmany(1.0):  # type: ignore[misc]
        consumer.flow_active = False
    assert consumer._thread.rewound == {A: 5, B: 0}


async def test_records_of_a_paused_partition_are_read_again() -> None:
    consumer = Consumer()
    consumer.fetch(A, 0, 10)
    consumer.fetch(B, 0, 10)
    consumer.active = {B}
    assert await consumer.handed_on() == [(B, 0, 9)]
    assert consumer._thread.rewound == {A: 0}


async def test_records_of_an_earlier_assignment_are_not_handed_on() -> None:
    consumer = Consumer()
    consumer.fetch(A, 0, 10)
    consumer._thread.current_assignment = object()
    assert await consumer.handed_on() == []
    assert not consumer._in_flight


async def test_a_fetch_that_outlived_a_rebalance_is_judged_by_what_it_read() -> None:
    """It began before the rebalance and drained records of the new assignment."""
    consumer = Consumer()
    fetch = consumer._wait_next_records

    async def outlives(timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109
        consumer._thread.current_assignment = object()
        consumer.app.consumer_generation_id = 8
        consumer.fetch(A, 0, 10)
        return await fetch(timeout)

    consumer._wait_next_records = outlives  # type: ignore[method-assign]
    assert await consumer.handed_on() == [(A, 0, 9)]
    assert consumer._in_flight[A][0].generation_id == 8


class Positions:
    """aiokafka's consumer as far as reading again needs it."""

    def __init__(self, position: int | None) -> None:
        self.sought: dict[TopicPartition, int] = {}
        state = SimpleNamespace(has_valid_position=position is not None, position=position)
        self.assignment = SimpleNamespace(state_value=lambda _: state)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset


async def rewound(positions: Positions, start: int, assignment: Any) -> dict[TopicPartition, int]:
    thread = SimpleNamespace(
        _ensure_consumer=lambda: positions, current_assignment=positions.assignment
    )
    await BatchConsumerThread._rewind(thread, {A: (start, assignment)})  # type: ignore[arg-type]
    return positions.sought


async def test_reading_again_goes_back_and_never_forward() -> None:
    for position, expected in ((10, {A: 4}), (4, {}), (2, {}), (None, {})):
        positions = Positions(position)
        assert await rewound(positions, 4, positions.assignment) == expected


async def test_reading_again_leaves_a_newer_assignment_alone() -> None:
    assert await rewound(Positions(10), 4, object()) == {}


async def test_fausts_own_acknowledgement_moves_no_offset() -> None:
    """It comes when a handler raised, and for batches that Faust skipped."""
    consumer = Consumer()
    consumer.fetch(A, 0, 10)
    await consumer.handed_on()
    (message,) = consumer._in_flight[A]
    message.incref()
    assert message.ack(consumer) is False
    assert not message.processed
