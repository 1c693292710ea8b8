"""The world around the processes: topics, the network to them, a consumer group, time, fate."""

import asyncio
import contextvars
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from aiokafka.errors import KafkaTimeoutError

from services.contracts.time import SECOND, Micros
from services.runtime.batch.writer import Headed, Headers
from tests.simulation.loop import Process

EVENTS: Final = "events"
DEFINITIONS: Final = "definitions"
COMMANDS: Final = "commands"
URGENT_COMMANDS: Final = "urgent-commands"
DECISIONS: Final = "decisions"
PROFILES: Final = "profiles"
QUALITY: Final = "quality"
DEAD_LETTERS: Final = "dead-letters"
CHANGELOG: Final = "triggers-state-changelog"

SESSION_SECONDS: Final = 3.0
HEARTBEAT_SECONDS: Final = 0.5
REBALANCE_SECONDS: Final = 15.0
BARRIER_SECONDS: Final = 1.0
"""Between the last member's joining and the new assignment."""
PIECES_MAX: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A record as a consumer gets it; `timestamp` in milliseconds."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int = 0


@dataclass(kw_only=True)
class Faults:
    """How likely what goes wrong in this run. All of it ends with the calm before the audit."""

    latency_seconds: float
    slow: float
    """A request takes seconds."""
    refused: float
    """A write is given up by the client, part of it perhaps written."""
    ack_lost: float
    """A write is sent again; without idempotence it then stands twice."""
    idempotent: bool
    commit_lost: float
    crash_steps: int
    """A process dies within about so many steps."""
    commit_seconds: float
    """Between two commits of a worker."""
    cuts: int
    """How often a process is cut off from the network for a while."""
    poisoned: float
    """An event is one that the engine fails on."""


@dataclass(kw_only=True)
class World:
    """One run's topics, time and chance. Whatever is drawn is drawn from `random` in order."""

    random: Random
    partitions: int
    start: Micros
    speed: int
    """Seconds of the log in one of the loop: caps think in hours, faults in seconds."""
    faults: Faults
    topics: dict[str, list[list[Row]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    calm: bool = False
    """Nothing goes wrong any more."""
    still: bool = False
    """Nobody ticks."""
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def __post_init__(self) -> None:
        for topic in (EVENTS, COMMANDS, URGENT_COMMANDS, DECISIONS, PROFILES, QUALITY, CHANGELOG):
            self.topics[topic] = [[] for _ in range(self.partitions)]
        self.topics[DEFINITIONS] = [[]]
        self.topics[DEAD_LETTERS] = [[]]

    @property
    def now(self) -> Micros:
        """What clocks on the wall say."""
        return self.start + int(asyncio.get_running_loop().time() * self.speed * SECOND)

    def chance(self, likely: float) -> bool:
        """Whether something goes wrong now."""
        return not self.calm and self.random.random() < likely

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> int:
        """What the broker does with a record; gives its offset."""
        rows = self.topics[topic][partition]
        at = self.now // 1000
        rows.append(Row(offset=len(rows), key=key, value=value, headers=headers, timestamp=at))
        return len(rows) - 1

    def outside(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something that belongs to no process."""
        return self.context.run(asyncio.get_running_loop().create_task, work)

    def delay(self) -> float:
        """How long a message travels."""
        if self.chance(self.faults.slow):
            return self.random.random() * 2.0
        return float(self.random.random() ** 3 * self.faults.latency_seconds)


class Line:
    """The network between one process and everything else. `cut_until` holds all of it up."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process
        self.cut_until = 0.0

    async def trip(self) -> bool:
        """A message goes over; whether a cut held it up."""
        await asyncio.sleep(self.world.delay())
        left = self.cut_until - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, left))
        return left > 0

    async def write(
        self,
        topic: str,
        partition: int,
        records: Collection[tuple[bytes | None, bytes]],
        headers: Headers = (),
    ) -> int | None:
        """As `BatchWriter.write`: the offset of the last record, or `KafkaTimeoutError`."""
        if not records:
            return None
        headed = [(key, value, headers) for key, value in records]
        return await self.write_headed(topic, partition, headed)

    async def write_headed(
        self, topic: str, partition: int, records: Collection[Headed]
    ) -> int | None:
        """As `BatchWriter.write_headed`."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.world.outside(self._carry(topic, partition, list(records), answer))
        return await answer

    async def _carry(
        self,
        topic: str,
        partition: int,
        records: list[Headed],
        answer: "asyncio.Future[int]",
    ) -> None:
        world, last = self.world, -1
        pieces = min(len(records), world.random.randint(1, PIECES_MAX))
        size = -(-len(records) // pieces)
        for first in range(0, len(records), size):
            if not self.process.alive():
                return
            held_up = await self.trip()
            if not self.process.alive() and (held_up or world.random.random() < 0.5):
                return  # it never left the machine
            if world.chance(world.faults.refused):
                self._answer(answer, KafkaTimeoutError())
                return
            piece = records[first : first + size]
            last = self._append(topic, partition, piece)
            if world.chance(world.faults.ack_lost):
                await self.trip()
                if self.process.alive() and not world.faults.idempotent:
                    last = self._append(topic, partition, piece)
            await self.trip()
        self._answer(answer, last)

    def _append(self, topic: str, partition: int, records: list[Headed]) -> int:
        last = -1
        for key, value, headers in records:
            last = self.world.append(topic, partition, key, value, headers)
        return last

    @staticmethod
    def _answer(answer: "asyncio.Future[int]", result: "int | Exception") -> None:
        if answer.done():
            return
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)


@dataclass(kw_only=True)
class Assignment:
    """What one member holds in one generation."""

    generation: int
    active: frozenset[int]
    standby: frozenset[int]


class Group:
    """The consumer group of the workers: membership, assignment, committed offsets.

    As Kafka's: a silent member is given up after its session, a rebalance waits for all
    members to join again, and commits of a generation that is over are refused.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[str, float] = {}
        self._joining: dict[str, asyncio.Future[Assignment]] = {}
        self._owner: dict[int, str] = {}
        self._rebalancing_since: float | None = None
        self._completing = False
        self.generation = 0
        self.committed = dict.fromkeys(range(world.partitions), 0)

    async def join(self, member: str) -> Assignment:
        """Become or stay a member; waits for the next generation."""
        self._seen[member] = self._time()
        joined: asyncio.Future[Assignment] = asyncio.get_running_loop().create_future()
        self._joining[member] = joined
        self._begin()
        return await joined

    def heartbeat(self, member: str) -> str:
        """`ok`, `rebalance` (join again), or `unknown`."""
        if member not in self._seen:
            return "unknown"
        self._seen[member] = self._time()
        return "ok" if self._rebalancing_since is None else "rebalance"

    def leave(self, member: str) -> None:
        """Go, in order."""
        self._forget(member)

    def commit(self, member: str, generation: int, offsets: dict[int, int]) -> bool:
        """Whether they stand now."""
        if member not in self._seen or generation != self.generation:
            return False
        self.committed.update(offsets)
        return True

    async def watch(self) -> None:
        """Give silent members up, and those that do not join in time."""
        while True:
            await asyncio.sleep(0.1)
            now = self._time()
            for member, seen in list(self._seen.items()):
                if member in self._joining:
                    continue
                since = self._rebalancing_since
                too_slow = since is not None and now - since > REBALANCE_SECONDS
                if now - seen > SESSION_SECONDS or too_slow:
                    self._forget(member)
            self._complete_if_all_joined()

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    def _begin(self) -> None:
        if self._rebalancing_since is None:
            self._rebalancing_since = self._time()

    def _forget(self, member: str) -> None:
        self._seen.pop(member, None)
        self._joining.pop(member, None)
        self._begin()

    def _complete_if_all_joined(self) -> None:
        ready = self._rebalancing_since is not None and self._seen.keys() == self._joining.keys()
        if ready and self._seen and not self._completing:
            self._completing = True
            self._world.outside(self._complete())

    async def _complete(self) -> None:
        await asyncio.sleep(BARRIER_SECONDS)
        self._completing = False
        if self._seen.keys() != self._joining.keys():
            return  # another one came or went meanwhile
        random, members = self._world.random, list(self._joining)
        self.generation += 1
        self._rebalancing_since = None
        standby: dict[str, set[int]] = {member: set() for member in members}
        for partition in range(self._world.partitions):
            owner = self._owner.get(partition, "")
            if owner not in members or random.random() < 0.4:
                self._owner[partition] = random.choice(members)
            follower = random.choice(members)
            if follower != self._owner[partition]:
                standby[follower].add(partition)
        waiting, self._joining = self._joining, {}
        for member, joined in waiting.items():
            self._seen[member] = self._time()
            owned = (p for p, owner in self._owner.items() if owner == member)
            if not joined.done():
                joined.set_result(
                    Assignment(
                        generation=self.generation,
                        active=frozenset(owned),
                        standby=frozenset(standby[member]),
                    )
                )
