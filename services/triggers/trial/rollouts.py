"""Rollouts at work: kept in PostgreSQL, driven by one process at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Literal, Protocol

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Trigger
from services.contracts.errors import Transient
from services.contracts.metrics import ROLLOUT_STEPS
from services.contracts.time import Micros
from services.runtime.database import transient_errors
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.triggers.definitions.actors import Actor, Origin
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.values import Conflict, Definition, NotFound, Stale, Stored
from services.triggers.trial.rollout import Next, Rollout, Seen, Step, next_of, stepped

LEADER_LOCK: Final = "cuestream rollouts"
"""Name of the advisory lock that its one driver holds."""

_log = get_logger(__name__)

Over = Literal["done", "halted", "ended"]

Count = Callable[[Rollout], Awaitable[Seen]]
"""What was counted since the present stage began; may raise `Transient`."""


class Rollouts(Protocol):
    """Where rollouts are kept, the newest of each trigger.

    Raises (all methods): Transient, the database is away or busy.
    """

    async def get(self, trigger: str) -> Rollout | None:
        """The newest rollout of a trigger."""

    async def running(self) -> list[Rollout]:
        """Those that go on, by trigger."""

    async def begin(self, rollout: Rollout) -> None:
        """Keep a new one in place of the last; raises `Conflict` where that one still runs."""

    async def save(self, rollout: Rollout) -> None:
        """Overwrite the rollout of this id; nothing where another has taken its place."""

    def leading(self) -> AbstractAsyncContextManager[bool]:
        """Whether this process is the one that drives them, as long as the block lasts."""


class MemoryRollouts:
    """Keeps rollouts in a dict: the fake behind fast tests."""

    def __init__(self) -> None:
        self.kept: dict[str, Rollout] = {}

    async def get(self, trigger: str) -> Rollout | None:
        """See the port."""
        return self.kept.get(trigger)

    async def running(self) -> list[Rollout]:
        """See the port."""
        return [self.kept[one] for one in sorted(self.kept) if self.kept[one].status == "running"]

    async def begin(self, rollout: Rollout) -> None:
        """See the port."""
        standing = self.kept.get(rollout.trigger)
        if standing is not None and standing.status == "running":
            raise Conflict(f"a rollout of {rollout.trigger} is running")
        self.kept[rollout.trigger] = rollout

    async def save(self, rollout: Rollout) -> None:
        """See the port."""
        standing = self.kept.get(rollout.trigger)
        if standing is not None and standing.id == rollout.id:
            self.kept[rollout.trigger] = rollout

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[bool]:
        """See the port: there is nobody else."""
        yield True


_GET: Final = text("SELECT rollout FROM triggers.rollouts WHERE trigger = :trigger")
_RUNNING: Final = text("SELECT rollout FROM triggers.rollouts WHERE running ORDER BY trigger")
_BEGIN: Final = text("""
INSERT INTO triggers.rollouts AS r (trigger, running, rollout) VALUES (:trigger, true, :rollout)
ON CONFLICT (trigger) DO UPDATE SET running = true, rollout = excluded.rollout WHERE NOT r.running
""")
_SAVE: Final = text("""
UPDATE triggers.rollouts SET running = :running, rollout = :rollout
WHERE trigger = :trigger AND CAST(rollout AS json) ->> 'id' = :id
""")


class PostgresRollouts:
    """The port over one table."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, trigger: str) -> Rollout | None:
        """See the port."""
        with transient_errors():
            async with self._engine.connect() as connection:
                found = await connection.scalar(_GET, {"trigger": trigger})
        return None if found is None else msgspec.json.decode(found, type=Rollout)

    async def running(self) -> list[Rollout]:
        """See the port."""
        with transient_errors():
            async with self._engine.connect() as connection:
                found = (await connection.scalars(_RUNNING)).all()
        return [msgspec.json.decode(one, type=Rollout) for one in found]

    async def begin(self, rollout: Rollout) -> None:
        """See the port."""
        with transient_errors():
            async with self._engine.begin() as connection:
                if not (await connection.execute(_BEGIN, _values(rollout))).rowcount:
                    raise Conflict(f"a rollout of {rollout.trigger} is running")

    async def save(self, rollout: Rollout) -> None:
        """See the port."""
        with transient_errors():
            async with self._engine.begin() as connection:
                values = _values(rollout)
                await connection.execute(
                    _SAVE, {**values, "id": rollout.id, "running": rollout.status == "running"}
                )

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[bool]:
        """See the port: whoever has the lock has it to the end of this transaction."""
        with transient_errors():
            async with self._engine.begin() as connection:
                yield bool(
                    await connection.scalar(
                        text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"),
                        {"name": LEADER_LOCK},
                    )
                )


def _values(rollout: Rollout) -> dict[str, str]:
    return {"trigger": rollout.trigger, "rollout": msgspec.json.encode(rollout).decode()}


def with_percent(percent: int) -> Callable[[Definition], Definition]:
    """The edit that a stage makes of a trigger."""

    def edit(standing: Definition) -> Definition:
        assert isinstance(standing, Trigger)
        return msgspec.structs.replace(standing, rollout=percent)

    return edit


def with_pause(standing: Definition) -> Definition:
    """The edit that halting makes of a trigger."""
    assert isinstance(standing, Trigger)
    return msgspec.structs.replace(standing, status="paused")


class Controller:
    """Drives the rollouts that run: looks at each now and then, and does what follows.

    Every step is a publication in the audit log, by `cuestream` in the name of the rollout. A
    step is kept after it was published: where the process dies between the two, the next look
    finds the version it did not expect and ends the rollout; the trigger stays as it is.
    """

    def __init__(
        self,
        rollouts: Rollouts,
        definitions: Definitions,
        count: Count,
        metrics: Metrics,
        *,
        every_seconds: float,
        now: Callable[[], Micros],
    ) -> None:
        self._rollouts = rollouts
        self._definitions = definitions
        self._count = count
        self._steps = metrics.counter(ROLLOUT_STEPS)
        self._every_seconds = every_seconds
        self._now = now

    async def run(self) -> None:
        """Look until cancelled; what cannot be counted now is looked at next time."""
        while True:
            try:
                async with self._rollouts.leading() as leads:
                    if leads:
                        await self.look()
            except Transient as error:
                _log.warning("rollouts not looked at", error=str(error))
            await asyncio.sleep(self._every_seconds)

    async def look(self) -> None:
        """Look at each that runs, once."""
        for rollout in await self._rollouts.running():
            try:
                await self._look_at(rollout)
            except Transient as error:
                _log.warning("a rollout not looked at", trigger=rollout.trigger, error=str(error))

    async def _look_at(self, rollout: Rollout) -> None:
        standing = await self._standing(rollout)
        if standing is None:
            return
        seen = await self._count(rollout)
        counted = msgspec.structs.replace(
            rollout, sends=seen.sends, failures=seen.failures, finished=seen.finished
        )
        following = next_of(counted, seen, self._now())
        if following.what == "hold":
            if counted != rollout:
                await self._rollouts.save(counted)
        elif following.what == "finish":
            await self._keep(counted, "done", following.reason)
        else:
            await self._publish(counted, standing, following)

    async def _standing(self, rollout: Rollout) -> Stored | None:
        """The trigger, if it still is as this rollout has put it; else the rollout ends."""
        try:
            standing = await self._definitions.get("trigger", rollout.trigger)
        except NotFound:
            standing = None
        if (
            standing is not None
            and standing.status == "live"
            and standing.version == rollout.version
        ):
            return standing
        await self._keep(rollout, "ended", "the trigger was changed, paused or archived meanwhile")
        return None

    async def _publish(self, rollout: Rollout, standing: Stored, following: Next) -> None:
        halting = following.what == "halt"
        stage = rollout.stage if halting else rollout.stage + 1
        edit = with_pause if halting else with_percent(rollout.stages[stage].percent)
        try:
            stored = await self._definitions.amend(
                "trigger",
                rollout.trigger,
                edit,
                by=by_rollout(rollout.id),
                action="paused" if halting else "rollout",
                expected=standing.edit,
                note=following.reason,
            )
        except (Conflict, Stale):
            return  # somebody was quicker: the next look finds out
        now = self._now()
        if halting:
            await self._keep(rollout, "halted", following.reason)
            return
        moved = msgspec.structs.replace(
            rollout, stage=stage, since=now, version=stored.version, sends=0, failures=0, finished=0
        )
        step = Step(at=now, what="advanced", percent=moved.percent, reason=following.reason)
        await self._rollouts.save(stepped(moved, step))
        self._steps.labels(outcome="advanced").inc()

    async def _keep(self, rollout: Rollout, status: Over, reason: str) -> None:
        step = Step(at=self._now(), what=status, percent=rollout.percent, reason=reason)
        ended = stepped(msgspec.structs.replace(rollout, status=status), step)
        await self._rollouts.save(ended)
        self._steps.labels(outcome=status).inc()
        _log.warning("rollout over", trigger=rollout.trigger, status=status, reason=reason)


def by_rollout(id_: str) -> Origin:
    """Who a rollout's steps are done by, for the audit log."""
    actor = Actor(id="rollout", name="cuestream rollout", role="administrator", kind="system")
    return Origin(actor=actor, request_id=f"rollout-{id_}")
