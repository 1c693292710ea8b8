"""The index on tags is used where it pays."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.profile_store.postgres import PostgresProfiles, find_query
from services.profile_store.profiles import TagFilter
from tests.profile_store.examples import profile

RARE = TagFilter(tag="common", op="eq", values=(77, "77"))
SELDOM = TagFilter(tag="seldom", op="gte", values=(1,))


async def plan(engine: AsyncEngine, where: TagFilter) -> str:
    query, parameters = find_query(where, limit=5, after="a")
    async with engine.connect() as connection:
        await connection.execute(text("SET plan_cache_mode = force_custom_plan"))
        rows = await connection.execute(text(f"EXPLAIN {query.text}"), parameters)
        return "\n".join(row[0] for row in rows)


@pytest.mark.embedded
@pytest.mark.parametrize("where", [RARE, SELDOM])
async def test_the_index_serves_a_rare_value(engine: AsyncEngine, where: TagFilter) -> None:
    profiles = PostgresProfiles(engine)
    await profiles.put(
        [profile(f"p{n}", tags={"common": n % 2, "spend": n}) for n in range(20_000)]
    )
    await profiles.put([profile("rare", tags={"common": 77, "seldom": 3})])
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM ANALYZE profile_store.profiles"))
    found = await profiles.find(where, limit=5, after=None)
    assert [one.person for one in found] == ["rare"]
    assert "profiles_tags" in await plan(engine, where)
