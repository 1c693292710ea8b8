"""A worker's process: the production worker, lanes, fold, delivery, rules and lease.

What Faust does around them (membership, reading, committing, recovery of the states) is
done here in the same order: stop the flow, let running batches end, commit, join, recover
the changelog, tell the worker, go back to the committed offsets, let it flow.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec
from aiokafka.errors import KafkaError
from faust.types import TP

from services.contracts.codec import encode_json
from services.contracts.control import Tick
from services.contracts.definitions import Bundle, DefinitionRecord
from services.contracts.topics import KIND_HEADER, KIND_TICK
from services.runtime.batch.app import BatchApp
from services.runtime.batch.consumer import BatchMessage
from services.runtime.batch.states import States
from services.runtime.batch.writer import BatchWriter
from services.runtime.sealed_records import RecordSealing
from services.runtime.settings import KafkaSettings
from services.triggers.worker.definitions import DefinitionHistory
from services.triggers.worker.delivery import Delivery
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.figures import Figures
from services.triggers.worker.lease import Lease, LeaseLost
from services.triggers.worker.rulebook import Rulebook
from services.triggers.worker.worker import Worker
from tests.simulation.loop import Process
from tests.simulation.world import (
    CHANGELOG,
    DEFINITIONS,
    EVENTS,
    HEARTBEAT_SECONDS,
    SESSION_SECONDS,
    Assignment,
    Group,
    Line,
    Row,
    World,
)

SETTINGS: Final = KafkaSettings(topic_prefix="")
DEFINITIONS_WAIT_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 0.2
TICK_SECONDS: Final = 1.0
EXPECTED_ENDS: Final = (KafkaError, LeaseLost)
"""What a worker may die of; anything else is a bug."""


class _NoFigures:
    """In the place of the metrics."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class _Definitions:
    """The definitions topic as one process has read it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._history = DefinitionHistory()
        self._news = asyncio.Condition()
        self._read = 0

    async def run(self) -> None:
        rows = self._line.world.topics[DEFINITIONS][0]
        while True:
            await self._line.trip()
            if self._read == len(rows):
                await asyncio.sleep(IDLE_SECONDS)
                continue
            for row in rows[self._read :]:
                self._history.add(msgspec.json.decode(row.value or b"", type=DefinitionRecord))
                self._read += 1
            async with self._news:
                self._news.notify_all()

    async def wait_for(self, revision: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._history.head >= revision)

    def bundle_at(self, revision: int) -> Bundle:
        return self._history.bundle_at(revision)


class _Consumer:
    """Positions and what is in flight: an offset moves when all before it is processed."""

    def __init__(self) -> None:
        self.in_flight: dict[int, deque[BatchMessage]] = {}
        self.positions: dict[int, int] = {}
        self.done_up_to: dict[int, int] = {}
        self.unacked: dict[int, BatchMessage] = {}
        self._acked = asyncio.Event()

    def go_to(self, positions: dict[int, int]) -> None:
        self.positions = positions
        self.done_up_to = {}
        self.in_flight = {partition: deque() for partition in positions}

    def hand_on(self, message: BatchMessage) -> None:
        self.in_flight[message.partition].append(message)
        self.positions[message.partition] = message.offset + 1
        self.unacked[id(message)] = message

    async def idle(self) -> None:
        """Wait until all that was handed on is processed or abandoned."""
        while self.unacked:
            self._acked.clear()
            await self._acked.wait()

    def processed(self, message: BatchMessage) -> None:
        message.processed = True
        self.abandoned(message)
        for partition, waiting in self.in_flight.items():
            while waiting and waiting[0].processed:
                self.done_up_to[partition] = waiting.popleft().offset + 1

    def abandoned(self, message: BatchMessage) -> None:
        self.unacked.pop(id(message), None)
        self._acked.set()


class WorkerProcess:
    """One process from its start to its death, or until `stop` is set and it has left."""

    def __init__(self, world: World, group: Group, engine: Engine, process: Process) -> None:
        self.line = Line(world, process)
        self.stop = False
        self.flowing = False
        self.consumer = _Consumer()
        self.sealing = RecordSealing(SETTINGS)
        self._world = world
        self._group = group
        self._process = process
        self._rejoin = False
        self._committing = asyncio.Lock()
        self._heartbeat_at = 0.0
        self._assignment = Assignment(generation=0, active=frozenset(), standby=frozenset())
        world.random.choice([1, 5, 100])  # drawn, so that known seeds stay the runs they were
        self._states = States()
        self._definitions = _Definitions(self.line)
        figures = cast(Figures, _NoFigures())
        self._worker = Worker(
            engine,
            self._states,
            Rulebook(self._definitions, engine, wait_seconds=DEFINITIONS_WAIT_SECONDS),
            figures,
            topic=EVENTS,
            partitions=world.partitions,
            replay=False,
        )
        self._lease = Lease(
            SESSION_SECONDS, lambda: self._heartbeat_at, asyncio.get_running_loop().time
        )
        writer = cast(BatchWriter, self.line)
        delivery = Delivery(
            writer, SETTINGS, changelog=CHANGELOG, lease=self._lease, figures=figures
        )
        self._worker.attach(cast(BatchApp, self), delivery)

    # What the worker asks of its app.

    async def crash(self, error: BaseException) -> None:
        """A part failed: the process ends at once."""
        if self._process.dead:
            return  # a coroutine that is being dropped
        if not isinstance(error, EXPECTED_ENDS):
            self._world.problems.append(f"{self._process.name} died of {error!r}")
        self._process.die(type(error).__name__)

    def lag(self, topic: str, partition: int) -> int | None:
        """Nobody looks at it."""
        return None

    # The process.

    async def main(self) -> None:
        """Work; ends the process by dying or by leaving."""
        parts = (
            self._definitions.run,
            self._lease.watch,
            self._beat,
            self._tick,
            self._commit_now_and_then,
            self._follow,
        )
        for part in parts:
            self._process.spawn(self._guarded(part))
        await self._guarded(self._membership)

    async def _guarded(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except Exception as error:  # noqa: BLE001  (the process's boundary)
            await self.crash(error)

    async def _membership(self) -> None:
        while not self.stop:
            # What was another generation's would go back, committed in the next one.
            self.consumer.go_to({})
            await self.line.trip()
            assignment = await self._group.join(self._process.name)
            self._heartbeat_at = asyncio.get_running_loop().time()
            self._rejoin = False
            self._assignment = assignment
            if not await self._recover(assignment):
                continue
            await self._flow()
            await self.consumer.idle()
            await self._commit()
        self._group.leave(self._process.name)
        await self._worker.close()
        self._process.die("stopped")

    async def _recover(self, assignment: Assignment) -> bool:
        for partition in sorted(assignment.active | assignment.standby):
            rows = self._world.topics[CHANGELOG][partition]
            end = len(rows)
            while (at := self._held(partition)) < end:
                await self.line.trip()
                if self._rejoin:
                    return False
                self._apply(partition, rows[at : min(end, at + 200)])
        self._states.settle(active=assignment.active, standby=assignment.standby)
        self._worker.on_recovered(assignment.active)
        await self.line.trip()
        self.consumer.go_to({p: self._group.committed[p] for p in sorted(assignment.active)})
        return True

    def _held(self, partition: int) -> int:
        position = self._states.position(partition)
        return 0 if position is None else position + 1

    def _apply(self, partition: int, rows: list[Row]) -> None:
        self._states[partition].apply(cast(Any, rows))

    async def _flow(self) -> None:
        self.flowing = True
        random, consumer = self._world.random, self.consumer
        while not self._rejoin and not self.stop:
            await self.line.trip()
            found = False
            for partition in random.sample(sorted(consumer.positions), len(consumer.positions)):
                at = consumer.positions[partition]
                most = random.choice([1, 3, 20, 500])
                rows = self._world.topics[EVENTS][partition][at : at + most]
                if not rows or self._rejoin or self.stop:
                    continue
                found = True
                message = BatchMessage(
                    TP(EVENTS, partition), list(rows), at, self._assignment.generation
                )
                consumer.hand_on(message)
                await self._worker.handle(message)
            if not found:
                await asyncio.sleep(IDLE_SECONDS)
        self.flowing = False

    async def _beat(self) -> None:
        while True:
            asked_at = asyncio.get_running_loop().time()
            await self.line.trip()
            answer = self._group.heartbeat(self._process.name)
            if answer == "unknown":
                self._heartbeat_at = float("-inf")
                self._rejoin = True
            else:
                self._heartbeat_at = asked_at
                self._rejoin = self._rejoin or answer == "rebalance"
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._world.still:
                continue
            value = encode_json(Tick(at=self._world.now))
            headers = ((KIND_HEADER, KIND_TICK),)
            await asyncio.gather(
                *(
                    self.line.write(EVENTS, partition, [(None, value)], headers)
                    for partition in self._worker.owned
                )
            )

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._world.faults.commit_seconds)
            await self._commit()

    async def _commit(self) -> None:
        async with self._committing:
            offsets, generation = dict(self.consumer.done_up_to), self._assignment.generation
            await self.line.trip()
            if offsets and not self._world.chance(self._world.faults.commit_lost):
                self._group.commit(self._process.name, generation, offsets)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._world.random.random())
            generation = self._assignment.generation
            for partition in sorted(self._assignment.standby):
                at = self._held(partition)
                rows = self._world.topics[CHANGELOG][partition][at : at + 50]
                await self.line.trip()
                if generation != self._assignment.generation or not self.flowing:
                    break
                if rows and self._held(partition) == at:
                    self._apply(partition, rows)
