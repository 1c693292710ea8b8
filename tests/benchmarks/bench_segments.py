"""Segments over a million people: sizes, overlap, counts of conditions, and writing meanwhile.

`python -m tests.benchmarks.bench_segments [people]`. Real PostgreSQL, durable, on both cores, as
the store asks it. Each question is asked five times, cold caches once; the writer changes people
who are there, one in ten of them so that history is written.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli.migrations import migrate_all
from services.contracts.conditions import Condition
from services.profile_store.population_postgres import PostgresPopulation
from services.profile_store.postgres import PostgresProfiles
from services.runtime.database import make_engine
from services.runtime.embedded import EmbeddedPostgres
from services.runtime.settings import DatabaseSettings
from tests.benchmarks.population import DISCRETE, fill, made_up

PEOPLE: Final = 1_000_000
TIMES: Final = 5
BATCH: Final = 2_000
CHANGED: Final = 60_000
UNDER_WAY: Final = 2

CONDITIONS: Final[dict[str, Any]] = {
    "a third of them: one segment": {"segment": "active_customers"},
    "a few of them: one segment": {"segment": "few"},
    "a label": {"tag": "rfm_segment", "op": "eq", "value": "segment_3"},
    "a number in a range": {"tag": "orders_30d", "op": "gte", "value": 5},
    "label, number and trait": {
        "all": [
            {"tag": "life_stage", "op": "eq", "value": "active"},
            {"tag": "spend_30d", "op": "gte", "value": 500},
            {"trait": "city", "op": "eq", "value": "Paris"},
        ]
    },
    "any of two, not in a segment": {
        "all": [
            {
                "any": [
                    {"tag": "price_sensitivity", "op": "eq", "value": "high"},
                    {"tag": "favourites", "op": "contains", "value": "shoes"},
                ]
            },
            {"not": {"segment": "sleepers"}},
        ]
    },
}


async def timed(name: str, ask: Callable[[], Awaitable[Any]], say: Callable[[Any], Any]) -> None:
    """Ask, and print how long it took."""
    seconds, answer = [], None
    for _ in range(TIMES):
        begun = time.perf_counter()
        answer = await ask()
        seconds.append(time.perf_counter() - begun)
    median, longest = statistics.median(seconds) * 1000, max(seconds) * 1000
    print(f"| {name} | {say(answer)} | {median:,.0f} ms | {longest:,.0f} ms |")


async def ask_all(population: PostgresPopulation) -> None:
    """Every question, as a row of a table."""
    print("| question | answer | median | longest |\n|---|---|---|---|")
    await timed("sizes of all segments", population.sizes, lambda one: f"{len(one.segments)} sizes")
    await timed("overlap of all pairs", population.overlap, lambda one: f"{len(one)} pairs")
    for name, where in CONDITIONS.items():
        condition = msgspec.convert(where, Condition)
        count = partial(population.count, condition)
        page = partial(population.select, condition, limit=51, after=None)
        await timed(f"count, {name}", count, lambda number: f"{number:,}")
        await timed(f"first page, {name}", page, lambda found: f"{len(found)} profiles")


async def write(engine: AsyncEngine, people: int) -> None:
    """Change people who are there, in batches as the store takes them from the topic."""
    profiles = PostgresProfiles(engine, lambda: DISCRETE)
    step = people // CHANGED if people > CHANGED else 1
    changed = [made_up(number, 1) for number in range(0, people, step)][:CHANGED]
    batches = [changed[first : first + BATCH] for first in range(0, len(changed), BATCH)]
    begun = time.perf_counter()
    under_way: set[asyncio.Task[Any]] = set()
    for batch in batches:
        under_way.add(asyncio.create_task(profiles.put(batch)))
        if len(under_way) == UNDER_WAY:
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    if under_way:
        await asyncio.wait(under_way)
    seconds = time.perf_counter() - begun
    async with engine.connect() as connection:
        rows = (
            await connection.execute(text("SELECT count(*) FROM profile_store.history"))
        ).scalar_one()
    print(
        f"\nchanged profiles written: {len(changed) / seconds:,.0f}/s"
        f" ({len(changed):,} in batches of {BATCH:,}, {rows:,} rows of history)"
    )


async def measure(url: str, people: int) -> None:
    """Fill, ask, write, and ask once more what the writing has left behind."""
    await migrate_all(url)
    begun = time.perf_counter()
    await fill(url, people)
    print(f"{people:,} people, filled in {time.perf_counter() - begun:.0f} s\n")
    engine = make_engine(
        DatabaseSettings.model_validate({"database_url": url}),
        server_settings={"plan_cache_mode": "force_custom_plan", "jit": "off"},
    )
    try:
        population = PostgresPopulation(engine)
        await ask_all(population)
        await write(engine, people)
        await timed("sizes, after it", population.sizes, lambda one: f"{len(one.segments)} sizes")
    finally:
        await engine.dispose()


def main() -> None:
    """Run once."""
    people = int(sys.argv[1]) if len(sys.argv) > 1 else PEOPLE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database", log_dir=folder) as server:
            asyncio.run(measure(server.url(), people))


if __name__ == "__main__":
    main()
