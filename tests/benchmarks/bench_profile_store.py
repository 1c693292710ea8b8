"""Profiles a second from the topic into PostgreSQL, durable, by one profile store process.

`python -m tests.benchmarks.bench_profile_store [people]`. The topic holds three snapshots of each
person: the first inserts, the others update. The store runs on one core, broker and
PostgreSQL share the other; a transaction waits for the disk.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from sqlalchemy import text

from services.cli.migrations import migrate_all
from services.contracts.codec import encode_json
from services.contracts.profile import Profile
from services.contracts.time import DAY, SECOND
from services.contracts.topics import DEAD_LETTERS, PROFILES
from services.runtime.database import make_engine
from services.runtime.embedded import EmbeddedBroker, EmbeddedPostgres
from services.runtime.embedded.broker import ENVIRONMENT
from services.runtime.kafka import create_topics, make_producer, partition_of, topic_name
from services.runtime.process import Child, free_port
from services.runtime.settings import DatabaseSettings, KafkaSettings
from tests.benchmarks.harness import BROKER_CORE, PARTITIONS, WORKER_CORE, pinned

PEOPLE: Final = 50_000
ROUNDS: Final = 3
NOON: Final = 1_772_366_400 * SECOND
TIMEOUT_SECONDS: Final = 300.0
CATEGORIES: Final = ("shoes", "coats", "hats", "bags", "toys", "books")


def snapshot(person: int, round_: int, offset: int) -> Profile:
    """A profile as the worker writes it: five traits, five tags, one of them a list."""
    chance = random.Random(person * ROUNDS + round_)
    return Profile(
        person=f"user-{person}",
        as_of=NOON + round_ * SECOND,
        source_partition=0,
        source_offset=offset,
        revision=3,
        user_id=f"user-{person}",
        anonymous_id=f"device-{person}",
        traits={
            "email": f"user-{person}@example.com",
            "city": "Shanghai",
            "age": chance.randrange(18, 80),
            "plan": chance.choice(("free", "gold")),
            "time_zone": "Asia/Shanghai",
        },
        tags={
            "orders_30d": chance.randrange(12),
            "spend_30d": round(chance.random() * 2_000, 2),
            "views_1h": chance.randrange(60),
            "last_category": chance.choice(CATEGORIES),
            "favourites": chance.sample(CATEGORIES, 3),
        },
        first_seen_at=NOON - 30 * DAY,
        last_seen_at=NOON + round_ * SECOND,
    )


async def fill(settings: KafkaSettings, people: int) -> None:
    """Write all snapshots, each round in an order of its own."""
    await create_topics(settings, [PROFILES, DEAD_LETTERS])
    name = topic_name(settings, PROFILES)
    async with make_producer(settings, linger_ms=5) as producer:
        for round_ in range(ROUNDS):
            order = list(range(people))
            random.Random(round_).shuffle(order)
            for offset, person in enumerate(order, start=round_ * people):
                profile = snapshot(person, round_, offset)
                key = profile.person.encode()
                await producer.send(
                    name,
                    encode_json(profile),
                    key=key,
                    partition=partition_of(key, settings.partitions),
                )
        await producer.flush()


async def watch(database: DatabaseSettings, people: int) -> tuple[float, float]:
    """Seconds from the first row on until all rows are there, and until all are newest."""
    engine = make_engine(database)
    query = text(
        "SELECT count(*) AS rows, count(*) FILTER (WHERE as_of = :newest) AS newest"
        " FROM profile_store.profiles"
    )
    parameters = {"newest": NOON + (ROUNDS - 1) * SECOND}
    started = inserted = 0.0
    deadline = time.monotonic() + TIMEOUT_SECONDS
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while True:
            rows, newest = (await connection.execute(query, parameters)).one()
            now = time.monotonic()
            if rows and not started:
                started = now
            if rows == people and not inserted:
                inserted = now
            if newest == people:
                break
            if now > deadline:
                raise RuntimeError(f"{newest} of {people} after {TIMEOUT_SECONDS} s")
            await asyncio.sleep(0.1)
    await engine.dispose()
    return inserted - started, now - started


async def measure(folder: Path, broker: str, url: str, people: int) -> None:
    """Fill, run the store, print the figures."""
    settings = KafkaSettings(kafka=broker, kafka_idempotence=False, partitions=PARTITIONS)
    await migrate_all(url)
    await fill(settings, people)
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "CUESTREAM_KAFKA": broker,
        "CUESTREAM_DATABASE_URL": url,
        "CUESTREAM_PROFILE_STORE_PORT": str(free_port()),
    }
    store = Child(
        "profile-store",
        [sys.executable, "-m", "services.profile_store"],
        log=folder / "profile_store.log",
        environment=environment,
    )
    with pinned(WORKER_CORE):
        store.start()
    try:
        inserting, all_ = await watch(
            DatabaseSettings.model_validate({"database_url": url}), people
        )
    except RuntimeError:
        print(store.log_tail())
        raise
    finally:
        store.stop()
    print(f"{people:,} people, {ROUNDS} snapshots each, {PARTITIONS} partitions")
    print(f"inserted and updated: {ROUNDS * people / all_:,.0f} profiles/s in {all_:.1f} s")
    print(f"until every person stood there: {inserting:.1f} s")


def main() -> None:
    """Run once."""
    people = int(sys.argv[1]) if len(sys.argv) > 1 else PEOPLE
    with tempfile.TemporaryDirectory() as name, pinned(BROKER_CORE):
        folder = Path(name)
        with (
            EmbeddedBroker(log_dir=folder) as broker,
            EmbeddedPostgres(folder / "database", log_dir=folder) as server,
        ):
            asyncio.run(measure(folder, broker.address, server.url(), people))


if __name__ == "__main__":
    main()
