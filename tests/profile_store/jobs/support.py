"""People with tags in PostgreSQL, and tags in force in memory."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Tag
from services.profile_store.postgres import PostgresProfiles
from tests.profile_store.examples import NOON, profile

SCORE = {"of": "orders", "cuts": [1, 2, 3, 4], "by": "population"}
PREDICT = {
    "model": "bg_nbd",
    "output": "alive",
    "frequency": "repeats",
    "recency": "days",
    "tenure": "age",
    "parameters": {"r": 0.243, "alpha": 30.9, "a": 0.793, "b": 2.426},
}


def tags(**derived: Mapping[str, Any]) -> dict[str, Tag]:
    """Tags that people have numbers of, and these derived ones, all in force."""
    plain: list[dict[str, Any]] = [
        {"id": "orders", "aggregate": "count", "events": ["order"]},
        {"id": "mean", "aggregate": "average", "events": ["order"], "value": "amount"},
        {"id": "days", "aggregate": "recency", "events": ["order"]},
        {"id": "age", "aggregate": "tenure", "events": ["order"]},
        {"id": "repeats", "derive": {"total": {"terms": [{"of": "orders"}], "plus": -1}}},
    ]
    plain += [{"id": name, "derive": derive} for name, derive in derived.items()]
    made = [msgspec.convert({**one, "version": 1}, Tag) for one in plain]
    return {tag.id: tag for tag in made}


class MemoryTags:
    """The port to the marketers' API: publishing counts versions and revisions."""

    def __init__(self, in_force: dict[str, Tag]) -> None:
        self.in_force = in_force
        self.revision = 1
        self.failing: list[Exception] = []

    async def tags(self) -> dict[str, Tag]:
        """See the port."""
        if self.failing:
            raise self.failing.pop(0)
        return dict(self.in_force)

    async def publish(self, tags: Sequence[Tag]) -> int | None:
        """See the port."""
        self.revision += 1
        for tag in tags:
            self.in_force[tag.id] = msgspec.structs.replace(tag, version=tag.version + 1)
        return self.revision


async def store(engine: AsyncEngine, people: Iterable[Mapping[str, Any]]) -> None:
    """One profile for each, with these tags, as of NOON."""
    profiles = [profile(f"p{n}", tags=dict(numbers)) for n, numbers in enumerate(people)]
    await PostgresProfiles(engine).put(profiles)


def now() -> int:
    """The jobs' time: a little after the profiles."""
    return NOON + 1
