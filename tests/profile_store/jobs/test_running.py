"""A run is alone, remembered, and publishes nothing that it should not."""

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Tag
from services.contracts.errors import CuestreamError, Transient
from services.profile_store.jobs.running import Jobs
from services.profile_store.jobs.runs import Runs
from tests.profile_store.examples import NOON
from tests.profile_store.jobs.support import SCORE, MemoryTags, now, store, tags

pytestmark = pytest.mark.embedded


@pytest.fixture
def known() -> MemoryTags:
    """One score by population, and one that is fixed."""
    return MemoryTags(tags(score={"score": SCORE}, other={"score": {**SCORE, "by": "fixed"}}))


def jobs_of(engine: AsyncEngine, known: MemoryTags) -> Jobs:
    return Jobs(engine, known, time=now)


async def people(engine: AsyncEngine) -> None:
    await store(engine, [{"orders": n} for n in range(1, 42)])


def cuts(tag: Tag) -> tuple[float, ...]:
    assert tag.derive is not None
    assert tag.derive.score is not None
    return tag.derive.score.cuts


async def test_what_is_found_is_published_as_the_next_version(
    engine: AsyncEngine, known: MemoryTags
) -> None:
    await people(engine)
    ended = await jobs_of(engine, known).run("rfm")
    assert ended.outcome == "published"
    assert ended.report["revision"] == 2
    assert cuts(known.in_force["score"]) == (9, 17, 25, 33)
    assert known.in_force["score"].version == 2
    assert cuts(known.in_force["other"]) == (1, 2, 3, 4)
    assert known.in_force["other"].version == 1


async def test_where_nothing_is_new_nothing_is_published(
    engine: AsyncEngine, known: MemoryTags
) -> None:
    await people(engine)
    jobs = jobs_of(engine, known)
    await jobs.run("rfm")
    assert (await jobs.run("rfm")).outcome == "unchanged"
    assert known.revision == 2


async def test_a_dry_run_finds_and_publishes_nothing(
    engine: AsyncEngine, known: MemoryTags
) -> None:
    await people(engine)
    ended = await jobs_of(engine, known).run("rfm", dry_run=True)
    assert ended.outcome == "dry_run"
    assert ended.report["tags"]["score"]["cuts"] == [9, 17, 25, 33]
    assert known.revision == 1


async def test_what_is_refused_is_said_and_nothing_published(
    engine: AsyncEngine, known: MemoryTags
) -> None:
    ended = await jobs_of(engine, known).run("rfm")
    assert ended.outcome == "refused"
    assert ended.report["tags"]["score"]["refused"] == ["0 people, at least 20"]
    assert known.revision == 1


async def test_what_somebody_changed_meanwhile_stays_theirs(engine: AsyncEngine) -> None:
    class Edited(MemoryTags):
        asked = 0

        async def tags(self) -> dict[str, Tag]:
            self.asked += 1
            if self.asked == 2:
                theirs = msgspec.structs.replace(self.in_force["score"], name="Theirs", version=2)
                self.in_force["score"] = theirs
            return await super().tags()

    await people(engine)
    known = Edited(tags(score={"score": SCORE}, mine={"score": SCORE}))
    ended = await jobs_of(engine, known).run("rfm")
    assert ended.report["changed_meanwhile"] == ["score"]
    assert known.in_force["score"].name == "Theirs"
    assert cuts(known.in_force["score"]) == (1, 2, 3, 4)
    assert cuts(known.in_force["mine"]) == (9, 17, 25, 33)


@pytest.mark.parametrize("error", [Transient("the API is away"), CuestreamError("not allowed")])
async def test_a_failure_is_remembered_with_its_reason(
    engine: AsyncEngine, known: MemoryTags, error: Exception
) -> None:
    known.failing.append(error)
    ended = await jobs_of(engine, known).run("rfm")
    assert ended.outcome == "failed"
    (run,) = await Runs(engine).newest(job="rfm", before=None, limit=5)
    assert (run.outcome, run.report) == ("failed", {"failed": str(error)})
    assert (run.started_at, run.finished_at) == (now(), now())


async def test_a_slot_is_worked_on_once_however_it_ended(
    engine: AsyncEngine, known: MemoryTags
) -> None:
    jobs = jobs_of(engine, known)
    known.failing.append(Transient("away"))
    assert (await jobs.run("rfm", slot=NOON)).outcome == "failed"
    assert (await jobs.run("rfm", slot=NOON)).outcome is None
    assert (await jobs.run("models", slot=NOON)).outcome == "unchanged"
    assert await Runs(engine).slot_taken("rfm", NOON)
    assert not await Runs(engine).slot_taken("rfm", NOON + 1)


async def test_of_two_instances_one_works_and_the_other_leaves_it(
    engine: AsyncEngine,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(MemoryTags):
        async def tags(self) -> dict[str, Tag]:
            begun.set()
            await go_on.wait()
            return await super().tags()

    known = Slow(tags(score={"score": SCORE}))
    first = asyncio.create_task(jobs_of(engine, known).run("rfm", slot=NOON))
    await begun.wait()
    async with asyncio.timeout(10):
        assert (await jobs_of(engine, known).run("rfm", slot=NOON)).outcome is None
        assert (await jobs_of(engine, known).run("rfm")).outcome is None
    go_on.set()
    assert (await first).outcome == "refused"
    assert (await jobs_of(engine, known).run("rfm")).outcome == "refused"


async def test_a_run_whose_process_died_is_closed_by_the_next(
    engine: AsyncEngine, known: MemoryTags
) -> None:
    runs = Runs(engine)
    await runs.begin("rfm", None, NOON)
    await jobs_of(engine, known).run("rfm")
    newest, lost = await runs.newest(job="rfm", before=None, limit=5)
    assert newest.outcome == "refused"
    assert lost.outcome == "failed"
    assert "process ended" in lost.report["failed"]


async def test_only_the_newest_runs_are_kept_and_pages_go_back(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.profile_store.jobs.runs.KEPT_MAX", 3)
    runs = Runs(engine)
    told: dict[str, Any] = {"n": 1}
    ids = []
    for _ in range(5):
        ids.append(await runs.begin("rfm", None, NOON))
        await runs.finish(ids[-1], NOON, "unchanged", told)
    other = await runs.begin("models", None, NOON)
    kept = await runs.newest(job="rfm", before=None, limit=10)
    assert [run.id for run in kept] == ids[:1:-1]
    assert [run.id for run in await runs.newest(job=None, before=None, limit=2)] == [other, ids[4]]
    assert [run.id for run in await runs.newest(job="rfm", before=ids[4], limit=1)] == [ids[3]]
