"""One seed, one run: faults until the traffic ends, then calm until all is at rest."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from typing import Any, Final

import structlog.testing

from services.contracts.definitions import Bundle
from services.triggers.worker.engine_port import Engine, triggers_engine
from tests.engine.build import at
from tests.simulation.dispatcher import DispatcherProcess, Ledger, Provider
from tests.simulation.loop import NEVER, Process, run
from tests.simulation.poison import failing
from tests.simulation.traffic import TRAFFIC_SECONDS, Publisher, Traffic, draw_bundles
from tests.simulation.workers import WorkerProcess
from tests.simulation.world import EVENTS, SESSION_SECONDS, Faults, Group, World

STARTS: Final = tuple(
    at(text)
    for text in (
        "2026-03-28T20:00:00",
        "2026-10-24T20:00:00",
        "2028-02-28T12:00:00",
        "2026-06-10T12:00:00",
    )
)
REST_SECONDS_MAX: Final = 120.0
"""Calm that should be enough for anything to finish."""
TICKING_SECONDS: Final = 8.0
"""Of that with ticks: for what died last to be taken up again."""
CHECK_SECONDS: Final = 0.5


@dataclass(kw_only=True)
class Ran:
    """What a run left behind, for the auditor. Its `engine` is one that does not fail."""

    seed: int
    world: World
    bundles: list[Bundle]
    engine: Engine
    ledger: Ledger
    provider: Provider
    seconds: float
    """Virtual ones."""

    def digest(self) -> str:
        """Of everything that stands on the topics: equal for equal runs."""
        known = sha256()
        for topic, partitions in self.world.topics.items():
            known.update(repr((topic, partitions)).encode())
        return known.hexdigest()


def once_compiled(engine: Engine) -> Engine:
    """The same engine, which compiles each revision once for all processes of a run."""
    known: dict[bytes, Any] = {}

    def compile_rules(bundle: Bundle) -> Any:
        key = repr(bundle).encode()
        if key not in known:
            known[key] = engine.compile_rules(bundle)
        return known[key]

    return replace(engine, compile_rules=compile_rules)


def _draw_world(random: Random) -> World:
    rough = random.choice([0.0, 0.02, 0.1])
    return World(
        random=random,
        partitions=random.choice([1, 2, 4]),
        start=random.choice(STARTS),
        speed=random.choice([60, 600, 3600]),
        faults=Faults(
            latency_seconds=random.choice([0.02, 0.3]),
            slow=random.choice([0.0, 0.02]),
            refused=random.choice([0.0, rough / 4]),
            ack_lost=random.choice([0.0, rough]),
            idempotent=random.random() < 0.5,
            commit_lost=random.choice([0.0, 0.3]),
            crash_steps=random.choice([200, 500, 1_500, NEVER]),
            cuts=random.choice([0, 1, 3]),
            commit_seconds=random.choice([0.5, 1.0, 5.0]),
            poisoned=random.choice([0.0, 0.0, 0.05]),
        ),
    )


class _Fate:
    """Starts processes again whenever they have died, and sees to it that they do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._started = 0

    async def keep(self, name: str, start: Callable[[Process], Any]) -> None:
        """One place in which a process is always running, but for the time of a restart."""
        random, faults = self._world.random, self._world.faults
        while True:
            self._started += 1
            process = Process(f"{name}.{self._started}", steps_left=NEVER)
            if not self._world.calm and faults.crash_steps < NEVER:
                process.steps_left = random.randint(1, 2 * faults.crash_steps)
            self._world.processes.append(process)
            body = start(process)
            process.spawn(body.main())
            for _ in range(faults.cuts):
                self._world.outside(self._cut(body))
            if isinstance(body, WorkerProcess) and random.random() < 0.3:
                self._world.outside(self._stop(body))
            await process.ended.wait()
            await asyncio.sleep(random.random() * 3)

    async def _cut(self, body: Any) -> None:
        random = self._world.random
        await asyncio.sleep(random.random() * TRAFFIC_SECONDS)
        if not self._world.calm:
            seconds = random.random() * 3 * SESSION_SECONDS
            body.line.cut_until = asyncio.get_running_loop().time() + seconds

    async def _stop(self, body: WorkerProcess) -> None:
        await asyncio.sleep(self._world.random.random() * 2 * TRAFFIC_SECONDS)
        body.stop = body.stop or not self._world.calm


async def _simulate(seed: int, engine: Engine) -> Ran:
    world = _draw_world(Random(seed))
    bundles = draw_bundles(world)
    group, ledger, provider, fate = Group(world), Ledger(world), Provider(world), _Fate(world)
    engine = once_compiled(engine)
    at_work = failing(engine)
    world.outside(group.watch())
    traffic, publisher = Traffic(world), Publisher(world, bundles)
    for number in range(world.random.randint(1, 3)):
        name = f"worker{number}"
        world.outside(fate.keep(name, lambda p: WorkerProcess(world, group, at_work, p)))
    world.outside(fate.keep("dispatcher", lambda p: DispatcherProcess(world, ledger, provider, p)))
    await asyncio.gather(publisher.run(), traffic.run())
    await asyncio.sleep(world.random.random() * 10)
    world.calm = True
    for process in world.processes:
        process.steps_left = NEVER
    if not await _rest(world, group, ledger):
        world.problems.append("it never comes to rest")
    seconds = asyncio.get_running_loop().time()
    return Ran(
        seed=seed, world=world, bundles=bundles, engine=engine, ledger=ledger,
        provider=provider, seconds=seconds,
    )  # fmt: skip


async def _rest(world: World, group: Group, ledger: Ledger) -> bool:
    """Wait until everything is read, decided, sent, told and committed; no ticks any more."""
    loop = asyncio.get_running_loop()
    until = loop.time() + REST_SECONDS_MAX
    before: list[int] = []
    while loop.time() < until:
        await asyncio.sleep(CHECK_SECONDS)
        # Deliveries advance the time too: a schedule may still come due by one of them.
        world.still = loop.time() > until - REST_SECONDS_MAX + TICKING_SECONDS
        ends = [len(rows) for rows in world.topics[EVENTS]]
        read = all(
            committed == [len(rows) for rows in world.topics[topic]]
            for topic, committed in ledger.committed.items()
        )
        done = ends == list(group.committed.values())
        if done and read and ledger.at_rest:
            if before == ends and world.still:
                return True
            before = ends
    return False


def simulate(seed: int, engine: Engine | None = None) -> Ran:
    """Play the run of a seed. The same seed gives the same run, to the byte."""
    with structlog.testing.capture_logs():
        ran: Ran = run(_simulate(seed, engine or triggers_engine("default")))
    return ran
