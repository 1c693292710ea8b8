"""Forgetting people: every table of the store, late comers too, and a receipt that stays."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.command import Erased
from services.profile_store.decision_postgres import PostgresDecisions
from services.profile_store.erasing import erasures_of
from services.profile_store.postgres import PostgresProfiles
from services.profile_store.quality_log import QualityLog
from tests.profile_store.examples import NOON, profile
from tests.profile_store.test_decision_log import decision, logged
from tests.profile_store.test_quality import finding, findings

pytestmark = pytest.mark.embedded
ERASED = Erased(person="ana", request="r1", at=NOON + 5)


async def rows_of(engine: AsyncEngine, person: str) -> dict[str, int]:
    """How many rows of the store hold a person's id, by table: of every table that has one."""
    async with engine.connect() as connection:
        tables = await connection.execute(
            text(
                "SELECT table_name FROM information_schema.columns"
                " WHERE table_schema = 'profile_store' AND column_name = 'person'"
                " AND table_name <> 'erasures' ORDER BY 1"
            )
        )
        found = {}
        for (name,) in tables.all():
            query = text(f"SELECT count(*) FROM profile_store.{name} WHERE person = :person")
            found[name] = (await connection.execute(query, {"person": person})).scalar_one()
    return found


async def fill(engine: AsyncEngine, person: str) -> None:
    """Something of a person in every table."""
    profiles = PostgresProfiles(engine, lambda: ("tier",))
    await profiles.put([profile(person, as_of=NOON, tags={"tier": "low"})])
    await profiles.put([profile(person, as_of=NOON + 1, tags={"tier": "high"})])
    offset = 100 if person == "ana" else 200
    await PostgresDecisions(engine).put(logged([decision(person=person)], offset=offset))
    await QualityLog(engine).put(findings(finding(offset, person=person)))
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO profile_store.forecasts VALUES ('t', :at, '{}') ON CONFLICT DO NOTHING"
            ),
            {"at": NOON},
        )
        await connection.execute(
            text(
                "INSERT INTO profile_store.forecast_people"
                " SELECT 't', :at, hashtextextended(person, 0), 1, 1, 1"
                " FROM profile_store.profiles WHERE person = :person"
            ),
            {"at": NOON, "person": person},
        )


async def test_nothing_of_them_is_left_in_any_table_and_all_of_others(engine: AsyncEngine) -> None:
    await fill(engine, "ana")
    await fill(engine, "bob")
    assert all((await rows_of(engine, "ana")).values())
    erasures = erasures_of(engine)
    await erasures.erase(ERASED)
    assert not any((await rows_of(engine, "ana")).values())
    assert all((await rows_of(engine, "bob")).values())
    (receipt,) = await erasures.receipts("r1")
    assert receipt.deleted == {
        "profiles": 1, "history": 1, "decisions": 1, "quality_samples": 1, "forecast_people": 1,
    }  # fmt: skip
    async with engine.connect() as connection:
        count = text("SELECT count(*) FROM profile_store.forecast_people")
        assert (await connection.execute(count)).scalar_one() == 1


async def test_doing_it_again_keeps_the_first_receipt(engine: AsyncEngine) -> None:
    await fill(engine, "ana")
    erasures = erasures_of(engine)
    await erasures.erase(ERASED)
    await erasures.erase(ERASED)
    (receipt,) = await erasures.receipts("r1")
    assert receipt.deleted["profiles"] == 1


async def test_what_other_topics_bring_late_is_forgotten_too_and_what_is_newer_stays(
    engine: AsyncEngine,
) -> None:
    erasures, log = erasures_of(engine), PostgresDecisions(engine)
    await erasures.erase(ERASED)
    await log.put(logged([decision(person="ana", event_id="old")], offset=1))
    await log.put(logged([decision(person="ana", event_id="new", now=NOON + 9)], offset=2))
    assert await erasures.sweep() == 1
    rest = await log.of_people(["ana"], trigger=None, limit=9, before=None)
    assert [one.event_id for _, one in rest] == ["new"]


async def test_after_a_day_not_even_their_id_is_known(engine: AsyncEngine) -> None:
    erasures = erasures_of(engine)
    await erasures.erase(ERASED)
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE profile_store.erasures SET done_at = now() - interval '25 hours'")
        )
    assert await erasures.sweep() == 1
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT person FROM profile_store.erasures"))
        (person,) = rows.scalars().all()
    assert person != "ana"
    assert len(person) == 64
    (receipt,) = await erasures.receipts("r1")
    assert receipt.swept_at is not None
    assert await erasures.sweep() == 0
