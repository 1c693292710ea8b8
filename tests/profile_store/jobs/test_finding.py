"""What the jobs find in PostgreSQL: the same as the mathematics alone."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import DAY
from services.profile_store.analysis.fitting import fit_bg_nbd, fit_gamma_gamma
from services.profile_store.analysis.rfm import fifths
from services.profile_store.jobs import cuts as cuts_module
from services.profile_store.jobs.cuts import find_cuts
from services.profile_store.jobs.models import find_parameters
from services.profile_store.jobs.population import newest_as_of, read_people
from services.profile_store.postgres import PostgresProfiles
from tests.profile_store.analysis.simulated import histories, spendings
from tests.profile_store.examples import NOON, profile
from tests.profile_store.jobs.support import PREDICT, SCORE, now, store, tags

pytestmark = pytest.mark.embedded


async def test_cuts_are_the_fifths_of_those_who_have_the_number(engine: AsyncEngine) -> None:
    people = [{"orders": n * n, "days": n} for n in range(25)]
    await store(engine, [*people, {"orders": "many"}, {"orders": None}, {}])
    found = await find_cuts(engine, tags(score={"score": SCORE}), now())
    (tag,) = found.tags
    assert tag.derive is not None
    assert tag.derive.score is not None
    assert tag.derive.score.cuts == fifths([n * n for n in range(25)])
    assert found.report["people"] == 28
    assert not found.report["sampled"]
    told = found.report["tags"]["score"]
    assert told["cuts_before"] == [1, 2, 3, 4]
    assert told["people"]["lte"] == {str(score): 5 for score in range(1, 6)}
    assert sum(told["people"]["lt_next"].values()) == 25


async def test_only_those_are_counted_who_have_the_other_tag_too(engine: AsyncEngine) -> None:
    await store(engine, [{"orders": n, "days": n or None} for n in range(30)])
    score = {**SCORE, "among": "days"}
    (tag,) = (await find_cuts(engine, tags(score={"score": score}), now())).tags
    assert tag.derive is not None
    assert tag.derive.score is not None
    assert tag.derive.score.cuts == fifths(range(1, 30))


async def test_days_that_went_by_since_the_profile_was_stored_are_counted_on(
    engine: AsyncEngine,
) -> None:
    stored = [profile(f"p{n}", tags={"days": 5, "orders": 5}, as_of=NOON - n * DAY) for n in (0, 3)]
    await PostgresProfiles(engine).put(stored)
    known = tags()
    sample = await read_people(engine, [known["days"], known["orders"]], now=NOON, most=10)
    assert sorted(sample.rows((0, 1))) == [(5, 5), (8, 5)]
    assert await newest_as_of(engine) == NOON


async def test_whoever_was_merged_into_somebody_is_not_counted(engine: AsyncEngine) -> None:
    stored = [profile("a", tags={"orders": 1}), profile("b", tags={"orders": 2}, merged_into="a")]
    await PostgresProfiles(engine).put(stored)
    sample = await read_people(engine, [tags()["orders"]], now=NOON, most=10)
    assert sample.rows((0,)) == [(1,)]


async def test_of_too_few_people_no_cuts_are_made(engine: AsyncEngine) -> None:
    await store(engine, [{"orders": n} for n in range(19)])
    found = await find_cuts(engine, tags(score={"score": SCORE}), now())
    assert (found.tags, found.refused) == ((), 1)
    assert found.report["tags"]["score"]["refused"] == ["19 people, at least 20"]


async def test_of_very_many_people_a_sample_is_taken_and_said(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts_module, "PEOPLE_MAX", 100)
    await store(engine, [{"orders": n} for n in range(400)])
    found = await find_cuts(engine, tags(score={"score": SCORE}), now())
    assert found.report["sampled"]
    assert found.report["people"] == 400
    assert found.report["tags"]["score"]["cuts"] == pytest.approx([80, 160, 240, 320], abs=60)


async def test_scores_by_fixed_cuts_are_left_alone(engine: AsyncEngine) -> None:
    fixed = {**SCORE, "by": "fixed"}
    assert (await find_cuts(engine, tags(score={"score": fixed}), now())).tags == ()


async def test_models_are_fitted_to_everybodys_histories(engine: AsyncEngine) -> None:
    people = histories(1_500)
    numbers = [{"repeats": x, "days": age - t_x, "age": age} for x, t_x, age in people]
    await store(engine, [*numbers, {"repeats": -1}, {"repeats": 0.5, "days": 1, "age": 9}])
    expected = {**PREDICT, "output": "purchases", "horizon": "90d"}
    in_force = tags(alive={"predict": PREDICT}, expected={"predict": expected})
    found = await find_parameters(engine, in_force, now())
    assert [tag.id for tag in found.tags] == ["alive", "expected"]
    predicts = [tag.derive.predict for tag in found.tags if tag.derive is not None]
    assert [one.output for one in predicts if one] == ["alive", "purchases"]
    assert [one.parameters for one in predicts if one] == [predicts[0].parameters] * 2  # type: ignore[union-attr]
    told = found.report["tags"]["alive"]
    assert told["figures"]["people"] == 1_500
    # The order decides who is held out, so that figures differ a little from these.
    alone = fit_bg_nbd(people)
    assert told["parameters"] == pytest.approx(alone.parameters, rel=0.5)
    assert predicts[0] is not None
    assert predicts[0].fitted_at == "2026-03-01T12:00:00Z"
    assert predicts[0].fit == told["figures"]


async def test_a_model_that_fits_badly_is_not_among_what_is_found(engine: AsyncEngine) -> None:
    values = [{"orders": x, "mean": m} for x, m in spendings(1_200)]
    # Everybody orders every ten days to this day: no model of leaving knows them.
    await store(
        engine,
        [
            {**value, "repeats": n % 60 + 5, "days": 0, "age": (n % 60 + 5) * 10}
            for n, value in enumerate(values)
        ],
    )
    worth = {
        "model": "gamma_gamma",
        "output": "value",
        "frequency": "orders",
        "monetary": "mean",
        "parameters": {"p": 6.25, "q": 3.74, "v": 15.44},
    }
    in_force = tags(alive={"predict": PREDICT}, worth={"predict": worth})
    found = await find_parameters(engine, in_force, now())
    assert [tag.id for tag in found.tags] == ["worth"]
    assert found.refused == 1
    assert any("ran away" in reason for reason in found.report["tags"]["alive"]["refused"])
    alone = fit_gamma_gamma(spendings(1_200))
    assert found.report["tags"]["worth"]["parameters"] == pytest.approx(alone.parameters, rel=0.5)
