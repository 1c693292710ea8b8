"""The runner of backtests: so many at a time, so long at most, and nothing left running."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.contracts.time import SECOND
from services.runtime.metrics import Metrics
from services.runtime.settings import KafkaSettings
from services.triggers.backtest.jobs import OVER, Job, JobQuestion
from services.triggers.backtest.jobs_memory import MemoryJobs
from services.triggers.backtest.runner import Launch, Lines, Runner, launcher
from tests.cli.backtesting import history, message
from tests.engine.build import NOON, bundle, trigger
from tests.triggers.test_jobs import NOW, job


class Stage:
    """Jobs in memory, processes that say what a script says."""

    def __init__(self, script: Callable[[Job], AsyncIterator[dict[str, Any]]]) -> None:
        self.jobs = MemoryJobs()
        self.under_way = self.most = self.ended = 0
        self._script = script

    @asynccontextmanager
    async def launch(self, one: Job) -> AsyncIterator[Lines]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            yield self._script(one)
        finally:
            self.under_way -= 1
            self.ended += 1

    def runner(self, launch: Launch | None = None, **changes: Any) -> Runner:
        given: dict[str, Any] = {"owner": "me", "concurrency": 2, "seconds_max": 30.0}
        return Runner(
            self.jobs, launch or self.launch, Metrics(), now=lambda: NOW, **(given | changes)
        )

    async def over(self, runner: Runner, *ids: str) -> list[Job]:
        """Run until these jobs are over."""

        async def all_over() -> bool:
            return {(await self.jobs.get(id_)).status for id_ in ids} <= OVER

        async with at_work(runner):
            await until(all_over)
        return [await self.jobs.get(id_) for id_ in ids]


@asynccontextmanager
async def at_work(runner: Runner) -> AsyncIterator[None]:
    """The runner runs as long as the block lasts."""
    running = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as it holds; fails the test when it does not in time."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110  (other tasks and processes)
            await asyncio.sleep(0.005)


async def reports(one: Job) -> AsyncIterator[dict[str, Any]]:
    await asyncio.sleep(0)
    yield {"progress": ["deciding", 0.5]}
    yield {"report": {"of": one.id}}


async def silent(one: Job) -> AsyncIterator[dict[str, Any]]:
    await asyncio.Event().wait()
    yield {"report": one.id}


async def dies(one: Job) -> AsyncIterator[dict[str, Any]]:
    yield {"progress": [one.id, None]}


async def test_jobs_are_run_to_their_results_no_more_than_allowed_at_a_time() -> None:
    stage = Stage(reports)
    for id_ in "abcde":
        await stage.jobs.add(job(id_))
    found = await stage.over(stage.runner(), *"abcde")
    assert [(one.status, one.report) for one in found] == [("done", {"of": id_}) for id_ in "abcde"]
    assert (stage.most, stage.ended) == (2, 5)


async def test_a_process_that_ends_without_a_word_has_failed() -> None:
    stage = Stage(dies)
    await stage.jobs.add(job())
    (found,) = await stage.over(stage.runner(), "a")
    assert (found.status, found.error) == ("failed", "its process ended without a report")


async def test_what_takes_too_long_is_ended() -> None:
    stage = Stage(silent)
    await stage.jobs.add(job())
    (found,) = await stage.over(stage.runner(seconds_max=0.05), "a")
    assert (found.status, stage.under_way) == ("failed", 0)
    assert "longer than" in (found.error or "")


async def test_what_runs_when_the_process_stops_was_interrupted() -> None:
    stage = Stage(silent)
    await stage.jobs.add(job())

    async def begun() -> bool:
        return stage.under_way > 0

    async with at_work(stage.runner()):
        await until(begun)
    found = await stage.jobs.get("a")
    assert (found.status, stage.under_way) == ("failed", 0)
    assert "interrupted" in (found.error or "")


async def test_what_a_dead_process_left_behind_is_found() -> None:
    stage = Stage(reports)
    await stage.jobs.add(job())
    await stage.jobs.claim("somebody dead", NOW - 60 * SECOND)
    await stage.runner().look()
    assert (await stage.jobs.get("a")).status == "failed"


@pytest.mark.embedded  # for its length: it starts a process
async def test_a_real_process_plays_a_file_and_reports(tmp_path: Path) -> None:
    events = history(tmp_path, [message(NOON + n, person=f"p{n}") for n in range(50)])
    live, draft = bundle(trigger("other")), bundle(trigger("other"), trigger("thanks"))
    question = JobQuestion(
        triggers=("thanks",),
        workspace="default",
        live=msgspec.to_builtins(live),
        together=msgspec.to_builtins(draft),
        rollouts={"thanks": 100},
        events=events.name,
    )
    stage = Stage(reports)
    await stage.jobs.add(msgspec.structs.replace(job(), question=question))
    wrong = msgspec.structs.replace(question, begins_at="never")
    await stage.jobs.add(msgspec.structs.replace(job("b"), question=wrong))
    runner = stage.runner(launcher(KafkaSettings(), tmp_path))
    found, failed = await stage.over(runner, "a", "b")
    assert found.status == "done", found.error
    assert found.report is not None
    of = {one["trigger"]: one for one in found.report["triggers"]}
    assert (of["thanks"]["sends"], of["thanks"]["draft"]) == (50, True)
    assert (failed.status, failed.error) == (
        "failed", "--from: neither a date (2026-03-01) nor an instant (ISO 8601)",
    )  # fmt: skip


@pytest.mark.embedded  # for its length: it starts a process
async def test_a_job_that_is_cancelled_ends_its_process(tmp_path: Path) -> None:
    pipe = tmp_path / "never.jsonl"
    os.mkfifo(pipe)
    stage = Stage(reports)
    question = msgspec.structs.replace(
        job().question, events=pipe.name, live=msgspec.to_builtins(bundle()),
        together=msgspec.to_builtins(bundle(trigger("t"))), begins_at=None,
    )  # fmt: skip
    await stage.jobs.add(msgspec.structs.replace(job(), question=question))
    runner = stage.runner(launcher(KafkaSettings(), tmp_path))

    async def begun() -> bool:
        return (await stage.jobs.get("a")).status == "running"

    async def ended() -> bool:
        return runner.under_way == 0

    async with at_work(runner):
        await until(begun)
        await stage.jobs.cancel("a", NOW)
        await until(ended)
    assert (await stage.jobs.get("a")).status == "cancelled"
