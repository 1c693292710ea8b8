"""A made-up population in a fresh database, for the benchmarks of the profile store."""

import random
from collections.abc import Iterator
from typing import Any, Final

import asyncpg
import msgspec

from services.contracts.profile import Profile
from services.contracts.time import DAY, SECOND

NOON: Final = 1_772_366_400 * SECOND
STAGES: Final = ("new", "active", "at_risk", "dormant", "churned", "won_back", "occasional")
BANDS: Final = ("18-24", "25-34", "35-44", "45+")
CATEGORIES: Final = ("shoes", "coats", "hats", "bags", "toys", "books")
CITIES: Final = ("Shanghai", "Beijing", "Paris", "Berlin", "Rome")
GRID: Final = tuple(f"segment_{number}" for number in range(11))
DISCRETE: Final = ("life_stage", "age_band", "rfm_segment", "r", "f", "m")
"""Tags whose history is kept."""
CORE: Final = (
    ("newcomers", 8), ("active_customers", 3), ("valued_customers", 10), ("leaving", 20),
    ("sleepers", 4), ("reachable", 2), ("price_sensitive", 5), ("few", 200),
)  # fmt: skip
"""Segments, and one of how many people is in each."""


def made_up(number: int, round_: int = 0) -> Profile:
    """Somebody with five traits, sixteen tags and some of eight segments. From one round to the
    next the numbers change, and of one in ten a state and a segment."""
    chance = random.Random(number)
    later = random.Random(number * 1_000 + round_)
    moved = round_ and later.random() < 0.1
    stage = (number + (round_ if moved else 0)) % len(STAGES)
    segments = {name for name, one_of in CORE if chance.randrange(one_of) == 0}
    if moved:
        segments ^= {"valued_customers"}
    return Profile(
        person=f"user-{number}",
        as_of=NOON + round_ * SECOND,
        source_partition=0,
        source_offset=number,
        revision=3,
        user_id=f"user-{number}",
        anonymous_id=f"device-{number}",
        traits={
            "email": f"user-{number}@example.com",
            "city": CITIES[number % len(CITIES)],
            "birthday": f"19{50 + number % 50}-03-01",
            "plan": "gold" if number % 7 == 0 else "free",
            "time_zone": "Asia/Shanghai",
        },
        tags={
            "orders_30d": later.randrange(12),
            "orders_180d": later.randrange(40),
            "spend_30d": round(later.random() * 2_000, 2),
            "lifetime_value": round(later.random() * 9_000, 2),
            "views_1h": later.randrange(60),
            "last_category": later.choice(CATEGORIES),
            "days_quiet": later.randrange(200),
            "days_known": number % 900,
            "r": 1 + number % 5,
            "f": 1 + number // 5 % 5,
            "m": 1 + number // 25 % 5,
            "rfm_segment": GRID[number % len(GRID)],
            "life_stage": STAGES[stage],
            "age_band": BANDS[number % len(BANDS)],
            "price_sensitivity": chance.choice(("low", "middle", "high")),
            "favourites": chance.sample(CATEGORIES, 3),
        },
        segments=tuple(sorted(segments)),
        first_seen_at=NOON - 30 * DAY,
        last_seen_at=NOON + round_ * SECOND,
    )


COLUMNS: Final = (
    "person", "user_id", "anonymous_id", "as_of", "source_partition", "source_offset", "revision",
    "first_seen_at", "last_seen_at", "messages_accepted", "messages_failed", "approximate",
    "traits", "tags", "segments",
)  # fmt: skip


def _rows(people: int) -> Iterator[tuple[Any, ...]]:
    for number in range(people):
        one = made_up(number)
        values = msgspec.structs.asdict(one)
        for name in ("approximate", "traits", "tags"):
            values[name] = msgspec.json.encode(values[name]).decode()
        values["segments"] = list(one.segments)
        yield tuple(values[name] for name in COLUMNS)


async def fill(url: str, people: int) -> None:
    """Copy so many people into the migrated table; indexes are made afterwards, as it is faster
    and what they look like after long."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        found = await connection.fetch(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'profile_store'"
            " AND tablename = 'profiles' AND indexname <> 'profiles_pkey'"
        )
        names = [row["indexdef"].split()[2] for row in found]
        for name in names:
            await connection.execute(f"DROP INDEX profile_store.{name}")
        await connection.copy_records_to_table(
            "profiles", schema_name="profile_store", columns=COLUMNS, records=_rows(people)
        )
        for row in found:
            await connection.execute(row["indexdef"])
        await connection.execute("VACUUM ANALYZE profile_store.profiles")
    finally:
        await connection.close()
