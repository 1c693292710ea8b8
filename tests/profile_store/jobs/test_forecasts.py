"""What was expected of people is held against what came."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.models import BgNbd
from services.contracts.time import DAY, Micros
from services.profile_store.jobs.forecasts import KEPT_DAYS, judge_forecasts, write_forecasts
from services.profile_store.jobs.running import Jobs
from services.profile_store.postgres import PostgresProfiles
from services.triggers.engine.predicting import expected_purchases
from tests.profile_store.analysis.simulated import histories
from tests.profile_store.examples import NOON, profile
from tests.profile_store.jobs.support import PREDICT, MemoryTags, store, tags

pytestmark = pytest.mark.embedded

PEOPLE = [(0, 0.0, 30.0), (3, 20.0, 60.0), (9, 80.0, 81.0)]
EXPECTED = {**PREDICT, "output": "purchases"}
IN_FORCE = tags(expected={"predict": EXPECTED}, alive={"predict": PREDICT})


def numbers(x: int, t_x: float, age: float) -> dict[str, Any]:
    return {"repeats": x, "days": age - t_x, "age": age}


async def people_came(engine: AsyncEngine, at: Micros, *repeats: int) -> None:
    later = [
        profile(f"p{n}", tags={"repeats": x}, as_of=at, source_offset=99)
        for n, x in enumerate(repeats)
    ]
    await PostgresProfiles(engine).put(later)


async def test_what_came_is_compared_with_what_was_expected_then(engine: AsyncEngine) -> None:
    await store(engine, [numbers(*one) for one in PEOPLE] + [{"repeats": -1}, {"repeats": "x"}])
    await write_forecasts(engine, IN_FORCE.values(), NOON)
    later = NOON + 10 * DAY
    await people_came(engine, later, 0, 5, 10)
    judged = await judge_forecasts(engine, IN_FORCE, later)
    model = BgNbd(**EXPECTED["parameters"])  # type: ignore[arg-type]
    expected = sum(expected_purchases(model, *one, 10) for one in PEOPLE)
    assert judged == {
        "expected": {
            "days": 10,
            "people": 3,
            "expected": pytest.approx(expected, abs=1e-4),
            "came": 3,
            "error": pytest.approx(expected / 3 - 1, abs=1e-4),
        }
    }


async def test_a_forecast_is_judged_after_a_week_and_forgotten_after_a_quarter(
    engine: AsyncEngine,
) -> None:
    await store(engine, [numbers(*one) for one in PEOPLE])
    await write_forecasts(engine, IN_FORCE.values(), NOON)
    assert await judge_forecasts(engine, IN_FORCE, NOON + 6 * DAY) == {}
    await write_forecasts(engine, IN_FORCE.values(), NOON + 6 * DAY)
    await write_forecasts(engine, IN_FORCE.values(), NOON + 7 * DAY)
    oldest = (await judge_forecasts(engine, IN_FORCE, NOON + 20 * DAY))["expected"]
    assert oldest["days"] == 20
    await write_forecasts(engine, [], NOON + (KEPT_DAYS + 3) * DAY)
    oldest = (await judge_forecasts(engine, IN_FORCE, NOON + 20 * DAY))["expected"]
    assert oldest["days"] == 13
    async with engine.connect() as connection:
        left = await connection.execute(text("SELECT count(*) FROM profile_store.forecast_people"))
        assert left.scalar_one() == 3


async def test_nobodys_id_is_kept_with_a_forecast(engine: AsyncEngine) -> None:
    await store(engine, [numbers(*PEOPLE[0])])
    await write_forecasts(engine, IN_FORCE.values(), NOON)
    async with engine.connect() as connection:
        query = "SELECT CAST(row_to_json(f) AS text) FROM profile_store.forecast_people AS f"
        (told,) = (await connection.execute(text(query))).scalars()
    assert "p0" not in told


async def test_whoever_began_anew_came_for_nothing_and_no_error_is_made_up(
    engine: AsyncEngine,
) -> None:
    await store(engine, [numbers(*one) for one in PEOPLE])
    await write_forecasts(engine, IN_FORCE.values(), NOON)
    later = NOON + 30 * DAY
    await people_came(engine, later, 0, 0, 0)
    judged = (await judge_forecasts(engine, IN_FORCE, later))["expected"]
    assert judged["came"] == 0
    assert "error" not in judged


async def test_the_job_writes_what_it_published_and_tells_of_it_a_week_later(
    engine: AsyncEngine,
) -> None:
    await store(engine, [numbers(*one) for one in histories(1_200)])
    known, time = MemoryTags(dict(IN_FORCE)), [NOON]
    jobs = Jobs(engine, known, time=lambda: time[0])
    assert (await jobs.run("models", dry_run=True)).report["forecasts"] == {}
    time[0] = NOON + 8 * DAY
    assert (await jobs.run("models")).report["forecasts"] == {}
    time[0] = NOON + 16 * DAY
    told = (await jobs.run("models")).report["forecasts"]["expected"]
    assert (told["days"], told["people"]) == (8, 1_200)
    assert told["expected"] > 10
