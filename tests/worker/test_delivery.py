"""What is written when: states only once everything that they stand for is acknowledged."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import pytest

from services.contracts.topics import KIND_ERASED, KIND_HEADER
from services.runtime.batch.writer import BatchWriter, Headed, Headers
from services.runtime.metrics import Metrics
from services.runtime.sealing import Keyring
from services.runtime.settings import KafkaSettings
from services.triggers.worker.delivery import Delivery
from services.triggers.worker.figures import Figures
from services.triggers.worker.flushing import FlushBuilder
from services.triggers.worker.lease import Lease, LeaseLost
from services.triggers.worker.letters import Letters
from services.triggers.worker.reading import PartitionMeta, Record
from services.triggers.worker.values import Flush
from tests.dispatcher.support import a_command
from tests.worker.driver import Log, Partition, people
from tests.worker.standin import stand_in

ANN = people(1)[0]
EVE = people(1, partition=1)[0]
FAY = people(1, partition=3)[0]
CHANGELOG = "changelog"


class Writer:
    """Notes what is written where; `gates` hold writes to a partition of a topic up."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.gates: dict[tuple[str, int], asyncio.Future[None]] = {}

    async def write(
        self, topic: str, partition: int, records: Collection[Any], headers: Headers = ()
    ) -> int | None:
        self.begun.append((topic, partition))
        if (topic, partition) in self.gates:
            await self.gates[topic, partition]
        return None

    async def write_headed(
        self, topic: str, partition: int, records: Collection[Headed]
    ) -> int | None:
        return await self.write(topic, partition, records)


class Bench:
    """A delivery with a flush that has hops for two other partitions."""

    def __init__(self) -> None:
        self.writer, self.silent = Writer(), 0.0
        figures = Figures(Metrics(), topic="events", wall=False)
        self.delivery = Delivery(
            cast(BatchWriter, self.writer),
            KafkaSettings(topic_prefix=""),
            changelog=CHANGELOG,
            lease=Lease(1.0, lambda: -self.silent, lambda: 0.0),
            figures=figures,
        )
        log, partition = Log(), Partition()
        log.event(ANN, "ask", of=EVE)
        log.event(ANN, "ask", of=FAY)
        partition.take(log.rows)
        (self.flush,) = partition.flushes

    def start(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.delivery.deliver(2, self.flush, lambda _: None, 0.0))


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_states_wait_for_the_hops_of_every_partition() -> None:
    bench = Bench()
    gate = bench.writer.gates["events", 3] = asyncio.get_running_loop().create_future()
    delivering = bench.start()
    await settle()
    assert bench.writer.begun == [("events", 1), ("events", 3)]
    gate.set_result(None)
    await delivering
    assert bench.writer.begun[2:] == [(CHANGELOG, 2)]


async def test_no_state_is_written_after_hops_that_were_not_acknowledged() -> None:
    bench = Bench()
    gate = bench.writer.gates["events", 1] = asyncio.get_running_loop().create_future()
    gate.set_exception(TimeoutError())
    with pytest.raises(TimeoutError):
        await bench.start()
    assert (CHANGELOG, 2) not in bench.writer.begun


async def test_hops_are_written_under_the_lease_alone() -> None:
    bench = Bench()
    bench.silent = 2.0
    with pytest.raises(LeaseLost):
        await bench.start()
    assert bench.writer.begun == []


async def test_what_is_told_of_commands_stands_behind_all_of_them() -> None:
    bench = Bench()
    erased: Headed = (ANN.encode(), b"e", ((KIND_HEADER, KIND_ERASED),))
    bench.flush = replace(
        bench.flush,
        hops={},
        commands=[(ANN.encode(), b"c")],
        urgent=[(ANN.encode(), b"u")],
        notices=[erased],
        erased=[erased],
    )
    gate = bench.writer.gates["commands", 2] = asyncio.get_running_loop().create_future()
    delivering = bench.start()
    await settle()
    assert bench.writer.begun == [("commands", 2), ("urgent-commands", 2)]
    gate.set_result(None)
    await delivering
    assert bench.writer.begun[2:] == [("urgent-commands", 2), ("commands", 2), (CHANGELOG, 2)]


def test_a_command_goes_to_the_topic_of_its_lane() -> None:
    out = stand_in().outputs(2)
    out.commands += [a_command(1), a_command(2, lane="high"), a_command(3)]
    flush = FlushBuilder(stand_in(), 4).build(
        out,
        Letters("events", 2, Keyring("")),
        states=[],
        meta=PartitionMeta(),
        replayed=0,
        record=cast(Record, None),
        last=True,
        complete=True,
    )
    assert [len(flush.commands), len(flush.urgent)] == [2, 1]
    assert b'"lane":"high"' in flush.urgent[0][1]
    assert flush.has_outputs


def test_a_flush_of_hops_alone_has_outputs() -> None:
    flush = Bench().flush
    assert isinstance(flush, Flush)
    assert flush.has_outputs
    assert not flush.commands
