"""Rollouts: more and more people, each stage for its time, and a halt where something is wrong."""

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Trigger
from services.contracts.errors import Transient
from services.contracts.time import DAY, HOUR
from services.runtime.metrics import Metrics
from services.triggers.definitions.actors import SYSTEM
from services.triggers.definitions.auditing import Wanted
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.values import Conflict
from services.triggers.trial.rollout import (
    COUNTED_MIN,
    Rollout,
    Seen,
    Stage,
    next_of,
    problems_of,
)
from services.triggers.trial.rollouts import (
    Controller,
    MemoryRollouts,
    PostgresRollouts,
    Rollouts,
    with_percent,
)
from tests.definitions.support import make_definitions
from tests.engine.build import NOON, trigger

STAGES = (
    Stage(percent=1, hold="1h"),
    Stage(percent=5, hold="1d"),
    Stage(percent=100, hold="1h"),
)
NOTHING = Seen(sends=0, finished=0, failures=0)


def rollout(**changes: Any) -> Rollout:
    given: dict[str, Any] = {
        "id": "r", "trigger": "t", "status": "running", "stages": STAGES, "stage": 0,
        "since": NOON, "version": 2, "factor": 2.0, "failure_share": 10, "window": "15m",
        "expected_a_day": 48_000.0, "backtest": "b", "created_by": "ana", "created_at": NOON,
    }  # fmt: skip
    return Rollout(**(given | changes))


def what(at: int, seen: Seen = NOTHING, **changes: Any) -> str:
    return next_of(rollout(**changes), seen, at).what


def test_a_stage_holds_for_its_time_and_then_the_next_one_comes() -> None:
    assert what(NOON + HOUR - 1) == "hold"
    assert what(NOON + HOUR) == "advance"
    assert what(NOON + HOUR, stage=1) == "hold"
    assert what(NOON + DAY, stage=1) == "advance"
    assert what(NOON + HOUR, stage=2) == "finish"


def test_too_many_sends_for_the_time_and_the_share_of_people_halt_it() -> None:
    # 48,000 a day for everybody: 20 an hour for one percent, twice that is allowed.
    assert what(NOON + HOUR // 2, Seen(sends=20, finished=0, failures=0)) == "hold"
    assert what(NOON + HOUR, Seen(sends=40, finished=0, failures=0)) == "advance"
    assert what(NOON + HOUR, Seen(sends=41, finished=0, failures=0)) == "halt"
    assert what(NOON + HOUR, Seen(sends=41, finished=0, failures=0), stage=1) == "hold"
    unknown = Seen(sends=10**6, finished=0, failures=0)
    assert what(NOON + HOUR, unknown, expected_a_day=None) == "advance"


def test_few_sends_prove_nothing() -> None:
    few = Seen(sends=COUNTED_MIN, finished=COUNTED_MIN - 1, failures=COUNTED_MIN - 1)
    assert what(NOON + 1, few, expected_a_day=1.0) == "hold"
    more = Seen(sends=COUNTED_MIN + 1, finished=0, failures=0)
    assert what(NOON + 1, more, expected_a_day=1.0) == "halt"


def test_a_share_of_failures_above_what_is_allowed_halts_it() -> None:
    assert what(NOON, Seen(sends=0, finished=100, failures=10)) == "hold"
    found = next_of(rollout(), Seen(sends=0, finished=100, failures=11), NOON)
    assert (found.what, found.reason) == ("halt", "11 of 100 sends failed, more than 10 %")


def test_stages_have_to_grow() -> None:
    assert problems_of(STAGES) == []
    ((place, _),) = problems_of((STAGES[0], STAGES[0]))
    assert place == "body.stages[1].percent"
    assert problems_of(()) != []


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
def rollouts(request: pytest.FixtureRequest) -> Rollouts:
    """Each adapter in turn."""
    if request.param == "memory":
        return MemoryRollouts()
    return PostgresRollouts(cast(AsyncEngine, request.getfixturevalue("engine")))


async def test_one_rollout_of_a_trigger_runs_at_a_time(rollouts: Rollouts) -> None:
    first, second = rollout(), rollout(id="s")
    await rollouts.begin(first)
    with pytest.raises(Conflict):
        await rollouts.begin(second)
    await rollouts.begin(rollout(trigger="u"))
    assert [one.trigger for one in await rollouts.running()] == ["t", "u"]
    await rollouts.save(msgspec.structs.replace(first, status="done"))
    assert [one.trigger for one in await rollouts.running()] == ["u"]
    await rollouts.begin(second)
    await rollouts.save(msgspec.structs.replace(first, status="halted"))
    assert await rollouts.get("t") == second, "what another one has taken the place of is over"
    assert await rollouts.get("v") is None


@pytest.mark.embedded
async def test_one_process_drives_them(engine: AsyncEngine) -> None:
    one, other = PostgresRollouts(engine), PostgresRollouts(engine)
    async with one.leading() as leads, other.leading() as follows:
        assert (leads, follows) == (True, False)
    async with other.leading() as leads:
        assert leads


class Scene:
    """A live trigger under rollout, a clock and what is counted."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.rollouts = MemoryRollouts()
        self.now = NOON
        self.seen: Seen | Transient = NOTHING
        self.controller = Controller(
            self.rollouts,
            definitions,
            self._count,
            Metrics(),
            every_seconds=0.01,
            now=lambda: self.now,
        )

    async def _count(self, _: Rollout) -> Seen:
        if isinstance(self.seen, Transient):
            raise self.seen
        return self.seen

    async def look(self, *, at: int) -> Rollout:
        self.now = at
        await self.controller.look()
        found = await self.rollouts.get("t")
        assert found is not None
        return found

    async def percent(self) -> tuple[str, int]:
        stored = await self.definitions.get("trigger", "t")
        assert isinstance(stored.published, Trigger)
        return stored.status, stored.published.rollout


@pytest.fixture
async def scene() -> Scene:
    definitions = make_definitions()
    await definitions.bootstrap()
    await definitions.create(trigger("t"), by=SYSTEM, publish=True)
    stored = await definitions.amend(
        "trigger", "t", with_percent(1), by=SYSTEM, action="rollout", note="1 %"
    )
    made = Scene(definitions)
    await made.rollouts.begin(rollout(version=stored.version))
    return made


async def test_it_comes_to_everybody_step_by_step_and_each_is_in_the_audit_log(
    scene: Scene,
) -> None:
    percents = []
    for at in (1, HOUR, 2 * HOUR, HOUR + DAY, 2 * HOUR + DAY):
        await scene.look(at=NOON + at)
        percents.append((await scene.percent())[1])
    assert percents == [1, 5, 5, 100, 100]
    found = await scene.rollouts.get("t")
    assert found is not None
    assert found.status == "done"
    assert [(one.what, one.percent) for one in found.steps] == [
        ("advanced", 5), ("advanced", 100), ("done", 100),
    ]  # fmt: skip
    wanted = Wanted(kind="trigger", action="rollout")
    entries = await scene.definitions.entries(wanted, below=None, limit=9)
    assert [one.request_id for one in entries[:2]] == ["rollout-r"] * 2


async def test_a_halt_pauses_the_trigger_and_says_why(scene: Scene) -> None:
    scene.seen = Seen(sends=500, finished=0, failures=0)
    found = await scene.look(at=NOON + HOUR)
    assert (found.status, await scene.percent()) == ("halted", ("paused", 1))
    assert "500 sends" in found.steps[-1].reason
    assert (await scene.look(at=NOON + DAY)).steps == found.steps


async def test_what_cannot_be_counted_neither_advances_nor_halts(scene: Scene) -> None:
    scene.seen = Transient("the profile store is away")
    assert (await scene.look(at=NOON + DAY)).stage == 0
    scene.seen = NOTHING
    assert (await scene.look(at=NOON + DAY)).stage == 1


Change = Callable[[Definitions], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.set_status("t", "paused", by=SYSTEM, expected=None),
        lambda made: made.archive("trigger", "t", by=SYSTEM, expected=None),
        lambda made: made.amend("trigger", "t", with_percent(50), by=SYSTEM, action="rollout"),
    ],
)
async def test_whoever_changes_the_trigger_takes_over(scene: Scene, change: Change) -> None:
    await change(scene.definitions)
    before = await scene.percent()
    assert (await scene.look(at=NOON + DAY)).status == "ended"
    assert await scene.percent() == before
