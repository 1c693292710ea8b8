"""When each tag last became another value in anybody, as far as the writer has noticed.

Of each batch it looks at a few profiles only, and writes a tag down once an hour at most: it
costs next to nothing, and a tag that still changes is noticed soon.
"""

from typing import Final, Protocol

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import Micros
from services.profile_store.memory import MemoryProfiles
from services.runtime.database import transient_errors

_LATEST: Final = text("SELECT name, since, at FROM profile_store.tag_changes ORDER BY name")


class TagChange(msgspec.Struct, frozen=True, kw_only=True):
    """A tag changed in somebody at `at`; the first change that was noticed was at `since`."""

    tag: str
    since: Micros
    at: Micros


class TagChanges(Protocol):
    """What was noticed. The adapters pass one suite (tests/profile_store/test_tag_changes.py)."""

    async def latest(self) -> list[TagChange]:
        """Of every tag that changed, in order of id.

        Raises:
            Transient: the database is away.
        """


class PostgresTagChanges:
    """See the port. The statement that writes profiles fills the table."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def latest(self) -> list[TagChange]:
        """See the port."""
        with transient_errors():
            async with self._engine.connect() as connection:
                found = await connection.execute(_LATEST)
                return [TagChange(tag=row.name, since=row.since, at=row.at) for row in found]


class MemoryTagChanges:
    """See the port."""

    def __init__(self, profiles: MemoryProfiles) -> None:
        self._profiles = profiles

    async def latest(self) -> list[TagChange]:
        """See the port."""
        return [
            TagChange(tag=tag, since=since, at=at)
            for tag, (since, at) in sorted(self._profiles.tag_changes.items())
        ]
