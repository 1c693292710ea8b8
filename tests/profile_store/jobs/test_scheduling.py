"""The daily hour: once a slot, whoever else is there, and no failure stops it."""

import asyncio

import pytest

from services.contracts.errors import Transient
from services.contracts.metrics import JOBS_DONE
from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.profile_store.jobs import scheduling
from services.profile_store.jobs.process import EXIT_LEFT, EXIT_REFUSED
from services.profile_store.jobs.results import JobName
from services.profile_store.jobs.scheduling import Scheduler, slot_of, start_process
from services.runtime.metrics import Metrics

MIDNIGHT: Micros = 20_000 * DAY


class Slots:
    """Which slots are taken; `failing` are raised first."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, Micros]] = set()
        self.failing: list[Exception] = []

    async def slot_taken(self, job: JobName, slot: Micros) -> bool:
        """See the port."""
        if self.failing:
            raise self.failing.pop(0)
        return (job, slot) in self.taken


class Day:
    """A scheduler on a day whose jobs end with these codes; it stops after the last."""

    def __init__(self, *codes: int, at: str = "03:30", now: Micros = MIDNIGHT + 4 * HOUR) -> None:
        self.slots, self.metrics, self.stop = Slots(), Metrics(), asyncio.Event()
        self.started: list[tuple[str, Micros]] = []
        self._codes = list(codes)
        self.scheduler = Scheduler(
            self.slots, self.metrics, at=at, time=lambda: now, start=self.start
        )

    async def start(self, job: JobName, slot: Micros, stop: asyncio.Event) -> int:
        self.started.append((job, slot))
        if len(self._codes) == 1:
            self.stop.set()
        return self._codes.pop(0)

    def counted(self, job: str, outcome: str) -> float:
        labels = {"task": job, "outcome": outcome}
        return self.metrics.registry.get_sample_value(JOBS_DONE.name, labels) or 0.0


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        (MIDNIGHT + 4 * HOUR, MIDNIGHT + 3 * HOUR + 30 * MINUTE),
        (MIDNIGHT + 3 * HOUR + 30 * MINUTE, MIDNIGHT + 3 * HOUR + 30 * MINUTE),
        (MIDNIGHT + 3 * HOUR, MIDNIGHT - 20 * HOUR - 30 * MINUTE),
    ],
)
def test_the_slot_is_the_latest_that_has_begun(now: Micros, slot: Micros) -> None:
    assert slot_of(now, "03:30") == slot


async def test_every_job_is_started_once_for_the_slot() -> None:
    day = Day(0, 0)
    await day.scheduler.run(day.stop)
    slot = MIDNIGHT + 3 * HOUR + 30 * MINUTE
    assert day.started == [("rfm", slot), ("models", slot)]
    assert day.counted("rfm", "done") == 1


async def test_a_slot_that_is_taken_is_not_started() -> None:
    day = Day(0)
    day.slots.taken.add(("rfm", MIDNIGHT + 3 * HOUR + 30 * MINUTE))
    await day.scheduler.run(day.stop)
    assert [job for job, _ in day.started] == ["models"]


async def test_failures_are_counted_and_the_other_job_goes_on() -> None:
    day = Day(1, EXIT_REFUSED)
    await day.scheduler.run(day.stop)
    assert day.counted("rfm", "failed") == 1
    assert day.counted("models", "refused") == 1


async def test_what_another_instance_works_on_is_counted_as_left() -> None:
    day = Day(EXIT_LEFT, -9)
    await day.scheduler.run(day.stop)
    assert day.counted("rfm", "left") == 1
    assert day.counted("models", "failed") == 1


async def test_a_database_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "RETRY_SECONDS", 0.0)
    day = Day(0, 0)
    day.slots.failing = [Transient("away"), Transient("still away")]
    await day.scheduler.run(day.stop)
    assert len(day.started) == 2


async def test_without_an_hour_nothing_is_scheduled() -> None:
    day = Day(at="")
    running = asyncio.create_task(day.scheduler.run(day.stop))
    await asyncio.sleep(0)
    # Its end would be that of the whole process.
    assert not running.done()
    day.stop.set()
    await running
    assert day.started == []


@pytest.mark.embedded
async def test_a_job_that_cannot_reach_its_database_ends_with_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    monkeypatch.setenv("CUESTREAM_DATABASE_URL", away)
    assert await start_process("rfm", MIDNIGHT, asyncio.Event()) == 1


@pytest.mark.embedded
async def test_a_job_is_stopped_with_its_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()
    stop.set()
    made = asyncio.create_subprocess_exec

    async def sleeping(*_: str) -> asyncio.subprocess.Process:
        return await made("/bin/sleep", "60")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", sleeping)
    async with asyncio.timeout(5):
        assert await start_process("rfm", MIDNIGHT, stop) == -15
