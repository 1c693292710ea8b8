"""Conformance of where backtests are kept: each is run by one, and none is forgotten running."""

from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import SECOND
from services.triggers.backtest.jobs import INTERRUPTED, WAITING_MAX, Ended, Job, JobQuestion, Jobs
from services.triggers.backtest.jobs_memory import MemoryJobs
from services.triggers.backtest.jobs_postgres import PostgresJobs
from services.triggers.definitions.values import Conflict, NotFound

NOW = 1_800_000_000 * SECOND


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
def jobs(request: pytest.FixtureRequest) -> Jobs:
    """Each adapter in turn."""
    if request.param == "memory":
        return MemoryJobs()
    return PostgresJobs(cast(AsyncEngine, request.getfixturevalue("engine")))


def job(id_: str = "a", *triggers: str) -> Job:
    question = JobQuestion(
        triggers=triggers or ("t",),
        workspace="default",
        live={"revision": 1},
        together={"revision": 1, "odd": "\0"},
        rollouts={"t": 50},
        begins_at="2026-03-01",
    )
    return Job(id=id_, status="queued", question=question, created_by="ana", created_at=NOW)


async def test_a_job_comes_back_whole(jobs: Jobs) -> None:
    added = await jobs.add(job())
    assert await jobs.get("a") == added
    assert added.question == job().question
    with pytest.raises(NotFound):
        await jobs.get("b")


async def test_the_oldest_is_run_first_and_by_one_alone(jobs: Jobs) -> None:
    for id_ in "abc":
        await jobs.add(job(id_))
    found = [await jobs.claim(owner, NOW) for owner in ("me", "you", "me", "you")]
    assert [one and (one.id, one.owner, one.status) for one in found] == [
        ("a", "me", "running"), ("b", "you", "running"), ("c", "me", "running"), None,
    ]  # fmt: skip


async def test_only_its_owner_can_say_how_far_it_is_and_how_it_ended(jobs: Jobs) -> None:
    await jobs.add(job())
    await jobs.claim("me", NOW)
    told: dict[str, Any] = {"what": "reading", "share": 0.25, "now": NOW + 1}
    assert not await jobs.said("a", "you", **told)
    assert await jobs.said("a", "me", **told)
    found = await jobs.get("a")
    assert (found.what, found.share, found.alive_at) == ("reading", 0.25, NOW + 1)
    ended = Ended(status="done", report={"triggers": ["\0"]})
    assert not await jobs.end("a", "you", ended, NOW + 2)
    assert await jobs.end("a", "me", ended, NOW + 2)
    found = await jobs.get("a")
    assert (found.status, found.report, found.finished_at) == ("done", ended.report, NOW + 2)


async def test_who_runs_what_was_cancelled_is_told_so(jobs: Jobs) -> None:
    await jobs.add(job())
    await jobs.claim("me", NOW)
    assert (await jobs.cancel("a", NOW + 1)).status == "cancelled"
    assert not await jobs.said("a", "me", what="x", share=None, now=NOW + 2)
    assert not await jobs.end("a", "me", Ended(status="done"), NOW + 2)
    assert (await jobs.cancel("a", NOW + 9)).finished_at == NOW + 1


async def test_what_nobody_runs_any_more_has_failed(jobs: Jobs) -> None:
    for id_ in "ab":
        await jobs.add(job(id_))
        await jobs.claim("me", NOW)
    await jobs.said("b", "me", what="x", share=None, now=NOW + 10)
    assert await jobs.interrupt(NOW + 5, NOW + 20) == 1
    found = await jobs.get("a")
    assert (found.status, found.error) == ("failed", INTERRUPTED)
    assert (await jobs.get("b")).status == "running"


async def test_the_newest_result_of_a_trigger_counts(jobs: Jobs) -> None:
    for id_, triggers in (("a", ("t",)), ("b", ("t", "u")), ("c", ("t",)), ("d", ("v",))):
        await jobs.add(job(id_, *triggers))
        await jobs.claim("me", NOW)
        status = Ended(status="failed" if id_ == "c" else "done", report={"of": id_})
        await jobs.end(id_, "me", status, NOW)
    found = await jobs.latest("t")
    assert found is not None
    assert (found.id, found.report) == ("b", {"of": "b"})
    assert await jobs.latest("w") is None


async def test_pages_are_without_reports_the_newest_first(jobs: Jobs) -> None:
    for id_ in "abc":
        await jobs.add(job(id_))
    page = await jobs.page(below=None, limit=2)
    assert [one.id for one in page] == ["c", "b"]
    assert [one.id for one in await jobs.page(below=page[-1].number, limit=2)] == ["a"]


async def test_one_too_many_is_refused(jobs: Jobs) -> None:
    for number in range(WAITING_MAX):
        await jobs.add(job(str(number)))
    with pytest.raises(Conflict):
        await jobs.add(job("x"))
    await jobs.claim("me", NOW)
    await jobs.add(job("x"))
