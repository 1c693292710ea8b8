"""Packing: order, sizes, and who is told what when a write fails."""

import asyncio

import pytest

from services.contracts.codec import decode_pack
from services.contracts.errors import Transient
from services.contracts.event import PACK_EVENTS_MAX, Event
from services.contracts.topics import RECORD_BYTES_MAX
from services.ingest.packer import Packer, Receipt
from services.ingest.pressure import Pressure
from services.ingest.records import MemoryLog
from services.runtime.kafka import partition_of

PARTITIONS = 4


def event(person: str, number: int, text: str = "") -> Event:
    return Event(
        person=person,
        type="track",
        name="x",
        message_id=str(number),
        occurred_at=0,
        received_at=0,
        properties={"text": text} if text else {},
    )


class Bench:
    """A packer over an in-memory log."""

    def __init__(self, wait_seconds: float = 0.0, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog(PARTITIONS)
        self.pressure = Pressure(events_max=10**9, bytes_max=10**9)
        self.packer = Packer(self.log, self.pressure, wait_seconds=wait_seconds)

    def add(self, *events: Event) -> Receipt:
        receipt = Receipt()
        for one in events:
            self.packer.add(one, receipt, PARTITIONS)
        return receipt

    def packs(self, person: str) -> list[list[Event]]:
        return [decode_pack(p) for p in self.log.packs[partition_of(person.encode(), PARTITIONS)]]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_each_person_s_events_stand_in_murmur2_s_partition_in_order(bench: Bench) -> None:
    people = [f"p-{n}" for n in range(40)]
    await bench.add(*(event(person, n) for n in range(5) for person in people)).wait()
    for person in people:
        mine = [e for pack in bench.packs(person) for e in pack if e.person == person]
        assert [e.message_id for e in mine] == ["0", "1", "2", "3", "4"]


async def test_a_pack_holds_at_most_the_bound_of_events(bench: Bench) -> None:
    await bench.add(*(event("p", n) for n in range(2 * PACK_EVENTS_MAX + 1))).wait()
    packs = bench.packs("p")
    assert [len(pack) for pack in packs] == [PACK_EVENTS_MAX, PACK_EVENTS_MAX, 1]
    numbers = [int(e.message_id) for pack in packs for e in pack]
    assert numbers == list(range(2 * PACK_EVENTS_MAX + 1))


async def test_a_pack_never_exceeds_the_bytes_of_a_record(bench: Bench) -> None:
    await bench.add(*(event("p", n, "x" * 32_000) for n in range(100))).wait()
    raw = bench.log.packs[partition_of(b"p", PARTITIONS)]
    assert len(raw) == 4
    assert max(map(len, raw)) <= RECORD_BYTES_MAX


async def test_an_event_waits_for_others_no_longer_than_told() -> None:
    bench = Bench(wait_seconds=3600.0)
    waiting = asyncio.create_task(bench.add(event("p", 1)).wait())
    await asyncio.sleep(0)
    assert bench.packs("p") == []
    assert bench.pressure.events == 1
    await bench.packer.drained()
    await waiting
    assert len(bench.packs("p")) == 1
    assert (bench.pressure.events, bench.pressure.bytes) == (0, 0)


async def test_a_request_waits_for_all_its_packs(bench: Bench) -> None:
    bench.log.hold()
    waiting = asyncio.create_task(bench.add(*(event(f"p-{n}", n) for n in range(40))).wait())
    await bench.log.written(PARTITIONS)
    assert not waiting.done()
    bench.log.release()
    await waiting


async def test_a_request_without_events_waits_for_nothing(bench: Bench) -> None:
    await Receipt().wait()


async def test_only_requests_with_events_in_the_failed_pack_fail(bench: Bench) -> None:
    bench.log.hold()
    lost = asyncio.create_task(bench.add(event("p", 1)).wait())
    await bench.log.written(1)
    bench.log.release("gone")
    kept = bench.add(event("p", 2))
    with pytest.raises(Transient, match="gone"):
        await lost
    await kept.wait()
    assert bench.pressure.events == 0


class FailsOnce(MemoryLog):
    """Away for one pack, then back."""

    async def append(self, partition: int, pack: bytes) -> "asyncio.Future[None]":
        self.append = super().append  # type: ignore[method-assign]
        raise Transient("away")


async def test_what_stands_behind_a_pack_that_was_not_taken_does_not_overtake_it() -> None:
    bench = Bench(log=FailsOnce(PARTITIONS))
    first = bench.add(*(event("p", n) for n in range(PACK_EVENTS_MAX)))
    second = bench.add(*(event("p", n) for n in range(PACK_EVENTS_MAX)))
    for receipt in (first, second):
        with pytest.raises(Transient, match="away"):
            await receipt.wait()
    assert bench.packs("p") == []
    assert (bench.pressure.events, bench.pressure.bytes) == (0, 0)


async def test_drained_waits_for_acknowledgements_and_returns_at_once_when_idle(
    bench: Bench,
) -> None:
    await bench.packer.drained()
    bench.log.hold()
    bench.add(event("p", 1))
    draining = asyncio.create_task(bench.packer.drained())
    await bench.log.written(1)
    assert not draining.done()
    bench.log.release()
    await draining
