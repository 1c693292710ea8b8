"""Everybody's numbers out of PostgreSQL, a bounded number of rows at a time."""

from collections.abc import AsyncIterator, Sequence
from math import isfinite
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Tag
from services.contracts.time import DAY, Micros
from services.profile_store.jobs.sample import Sample
from services.runtime.database import transient_errors

ROWS_MAX: Final = 2_000
"""Rows that are read at a time."""
COUNTING_DAYS: Final = ("recency", "tenure")


async def newest_as_of(engine: AsyncEngine) -> Micros | None:
    """The latest instant that any profile is of; None where there are none.

    Raises:
        Transient: the database is away or busy.
    """
    with transient_errors():
        async with engine.connect() as connection:
            found = await connection.execute(text("SELECT max(as_of) FROM profile_store.profiles"))
            latest: Micros | None = found.scalar()
            return latest


async def read_people(
    engine: AsyncEngine, tags: Sequence[Tag], *, now: Micros, most: int
) -> Sample:
    """The numbers that people have of these tags at `now`, NaN where they have none.

    Days of `recency` and `tenure` have gone on since a profile was stored, and are counted
    on: to the whole day that may have begun, so that at most the last one is missed. People
    who were merged into others are those others.

    Raises:
        Transient: the database is away or busy.
    """
    sample = Sample(len(tags), most)
    grows = [tag.aggregate in COUNTING_DAYS for tag in tags]
    async for person, as_of, numbers in _rows(engine, [tag.id for tag in tags]):
        days = max(0, now - as_of) // DAY
        aged = [
            number + days if number is not None and growing else number
            for number, growing in zip(numbers, grows, strict=True)
        ]
        sample.add(person, aged)
    return sample


async def _rows(
    engine: AsyncEngine, tags: Sequence[str]
) -> AsyncIterator[tuple[str, Micros, list[float | None]]]:
    columns = "".join(
        f", CASE WHEN jsonb_typeof(tags -> CAST(:tag{number} AS text)) = 'number'"
        f" THEN CAST(tags -> CAST(:tag{number} AS text) AS text) END"
        for number in range(len(tags))
    )
    query = text(
        f"SELECT person, as_of{columns} FROM profile_store.profiles"  # noqa: S608  (numbers)
        " WHERE merged_into IS NULL"
    )
    named = {f"tag{number}": tag for number, tag in enumerate(tags)}
    with transient_errors():
        async with engine.connect() as connection:
            options = {"yield_per": ROWS_MAX}
            found = await connection.stream(query, named, execution_options=options)
            async for row in found:
                yield row[0], row[1], [_number(cell) for cell in row[2:]]


def _number(stored: str | None) -> float | None:
    number = None if stored is None else float(stored)
    return number if number is not None and isfinite(number) else None
