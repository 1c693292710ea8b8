"""`Population` in PostgreSQL, over the tables of profiles and of their history."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.conditions import Condition
from services.contracts.profile import Profile
from services.contracts.time import Micros
from services.profile_store.jsonb import from_jsonb, to_text
from services.profile_store.population import HistoryKind, Overlap, Point, Sizes
from services.profile_store.postgres import SHOWN, profile_of
from services.profile_store.selecting import where_of
from services.runtime.database import transient_errors

QUESTION_SECONDS_MAX: Final = 20
"""A question over all people is cut short then: it would hold up the writer."""

_COMBINATIONS: Final = """
    SELECT segments, count(*) AS people FROM profile_store.profiles
    WHERE merged_into IS NULL GROUP BY segments
"""
_SIZES: Final = text(f"""
WITH groups AS ({_COMBINATIONS})
SELECT NULL AS name, CAST(coalesce(sum(people), 0) AS bigint) AS people FROM groups
UNION ALL
SELECT name, CAST(sum(people) AS bigint) FROM groups, unnest(segments) AS name GROUP BY name
""")  # noqa: S608  (a constant)
_OVERLAP: Final = text(f"""
WITH groups AS ({_COMBINATIONS})
SELECT one, other, CAST(sum(people) AS bigint) AS people
FROM groups, unnest(segments) AS one, unnest(segments) AS other
WHERE one COLLATE "C" < other COLLATE "C"
GROUP BY one, other ORDER BY one COLLATE "C", other COLLATE "C"
""")  # noqa: S608
_HISTORY: Final = text("""
SELECT at, CAST(value AS text) AS value FROM profile_store.history
WHERE person = :person AND kind = :kind AND name = :name
    AND (CAST(:before AS bigint) IS NULL OR at < :before)
ORDER BY at DESC LIMIT :limit
""")
_FORGET: Final = text("""
DELETE FROM profile_store.history WHERE ctid IN (
    SELECT ctid FROM profile_store.history
    WHERE at < :before AND kind <> 'consent' LIMIT :limit
)
""")


class PostgresPopulation:
    """See the port."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def sizes(self) -> Sizes:
        """See the port."""
        found = {row.name: row.people for row in await self._ask(_SIZES.text, {})}
        return Sizes(people=found.pop(None), segments=found)

    async def overlap(self) -> Sequence[Overlap]:
        """See the port."""
        found = await self._ask(_OVERLAP.text, {})
        return [Overlap(one=row.one, other=row.other, people=row.people) for row in found]

    async def count(self, where: Condition) -> int:
        """See the port."""
        condition, parameters = where_of(where)
        query = f"SELECT count(*) AS n FROM profile_store.profiles WHERE {condition}"  # noqa: S608
        (row,) = await self._ask(query, parameters)
        return int(row.n)

    async def select(self, where: Condition, *, limit: int, after: str | None) -> list[Profile]:
        """See the port."""
        condition, parameters = where_of(where)
        if after is not None:
            condition = f"person > :after AND {condition}"
            parameters["after"] = to_text(after)
        query = (
            f"SELECT {SHOWN} FROM profile_store.profiles WHERE {condition}"  # noqa: S608
            " ORDER BY person LIMIT :limit"
        )
        rows = await self._ask(query, {**parameters, "limit": limit})
        return [profile_of(row._mapping) for row in rows]  # noqa: SLF001

    async def history(
        self, person: str, kind: HistoryKind, name: str, *, limit: int, before: Micros | None
    ) -> list[Point]:
        """See the port."""
        parameters = {
            "person": to_text(person),
            "kind": kind,
            "name": to_text(name),
            "before": before,
            "limit": limit,
        }
        rows = await self._ask(_HISTORY.text, parameters)
        return [
            Point(at=row.at, value=None if row.value is None else from_jsonb(row.value))
            for row in rows
        ]

    async def forget(self, before: Micros, limit: int) -> int:
        """See the port."""
        with transient_errors():
            async with self._engine.begin() as connection:
                done = await connection.execute(_FORGET, {"before": before, "limit": limit})
                return int(done.rowcount)

    async def _ask(self, query: str, parameters: dict[str, Any]) -> Sequence[Row[Any]]:
        with transient_errors():
            async with self._engine.connect() as connection:
                await connection.execute(
                    text(f"SET LOCAL statement_timeout = {QUESTION_SECONDS_MAX * 1000}")
                )
                return (await connection.execute(text(query), parameters)).all()
