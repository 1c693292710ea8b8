"""Many editors and publishers at once, over several engines: nothing lost, no gaps."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Policy
from services.contracts.errors import Transient
from services.runtime.database import make_engine
from services.runtime.settings import DatabaseSettings
from services.triggers.definitions import tables
from services.triggers.definitions.postgres import PostgresStore
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.values import Definition, Stale, Stored
from tests.definitions.support import ROOT, make_definitions, person, policy, trigger

EDITORS = 8
EDITS_EACH = 5


@pytest.fixture
async def processes(engine: AsyncEngine, database_url: str) -> AsyncIterator[list[Definitions]]:
    """Two API processes, as far as the database can tell."""
    other = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))
    made = [make_definitions(PostgresStore(one)) for one in (engine, other)]
    await made[0].bootstrap()
    yield made
    await other.dispose()


async def test_no_edit_is_lost(processes: list[Definitions]) -> None:
    first = await processes[0].create(policy(limit=1), by=ROOT, publish=True)
    stale = 0

    def raised(standing: Stored) -> Definition:
        assert isinstance(standing.published, Policy)
        return policy(limit=standing.published.limit + 1)

    async def edit(definitions: Definitions) -> None:
        nonlocal stale
        done = 0
        while done < EDITS_EACH:
            seen = await definitions.get("policy", "weekly")
            try:
                await definitions.change(
                    "policy", "weekly", raised, by=ROOT, expected=seen.edit, publish=True
                )
            except Stale:
                stale += 1
            else:
                done += 1

    await asyncio.gather(*(edit(processes[number % 2]) for number in range(EDITORS)))
    standing = await processes[0].get("policy", "weekly")
    assert isinstance(standing.published, Policy)
    assert standing.published.limit == 1 + EDITORS * EDITS_EACH
    assert standing.version == first.version + EDITORS * EDITS_EACH
    assert stale, "the editors never met: the test shows nothing"


async def test_revisions_are_consecutive_in_order_of_commit(
    processes: list[Definitions], engine: AsyncEngine
) -> None:
    async def publish(number: int) -> int:
        stored = await processes[number % 2].create(trigger(f"t{number}"), by=ROOT, publish=True)
        return stored.revision

    revisions = await asyncio.gather(*(publish(number) for number in range(24)))
    assert sorted(revisions) == list(range(2, 26))
    async with engine.connect() as connection:
        outbox = (
            await connection.scalars(select(tables.outbox.c.revision).order_by(tables.outbox.c.id))
        ).all()
        published = (
            await connection.execute(
                select(tables.versions.c.id, tables.versions.c.revision)
                .where(tables.versions.c.kind == "trigger")
                .order_by(tables.versions.c.revision)
            )
        ).all()
    assert outbox == list(range(1, 26))
    assert [row.revision for row in published] == list(range(2, 26))


async def test_two_processes_that_start_together_publish_the_defaults_once(
    engine: AsyncEngine, database_url: str
) -> None:
    other = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))
    made = [make_definitions(PostgresStore(one)) for one in (engine, other)]
    assert sorted(await asyncio.gather(*(one.bootstrap() for one in made))) == [False, True]
    await other.dispose()


EDITORS_MANY = 200


@pytest.mark.timeout(300)
async def test_two_hundred_editors_at_once_lose_no_update(
    processes: list[Definitions], engine: AsyncEngine
) -> None:
    """Each adds a word of its own to the draft, by ETag, over two processes."""
    await processes[0].create(policy(description=""), by=ROOT, publish=True)
    stale = 0

    async def add(number: int) -> None:
        nonlocal stale
        definitions, by = processes[number % 2], person(f"editor-{number}", "administrator")
        while True:
            seen = await definitions.get("policy", "weekly")

            def edit(standing: Stored) -> Definition:
                base = standing.draft or standing.published
                assert isinstance(base, Policy)
                words = f"{base.description} {number}".strip()
                return msgspec.structs.replace(base, description=words, version=0)

            try:
                await definitions.change(
                    "policy", "weekly", edit, by=by, expected=seen.edit, publish=False
                )
            except Stale:
                stale += 1
            except Transient:
                # On a busy machine one may wait too long for a connection, and comes again.
                continue
            else:
                return

    await asyncio.gather(*(add(number) for number in range(EDITORS_MANY)))
    standing = await processes[0].get("policy", "weekly")
    assert isinstance(standing.draft, Policy)
    everyone = set(range(EDITORS_MANY))
    assert {int(word) for word in standing.draft.description.split()} == everyone
    assert set(standing.review.authors) == {f"editor-{number}" for number in everyone}
    assert standing.edit == 1 + EDITORS_MANY
    assert stale, "the editors never met: the test shows nothing"
    replayed = await processes[1].replayed()
    assert replayed.definitions["policy", "weekly"] == standing
    async with engine.connect() as connection:
        edits = await connection.scalar(
            select(func.count()).where(tables.audit.c.action == "edited")
        )
    assert edits == EDITORS_MANY
    print(f"{EDITORS_MANY} editors, {stale} refused and read again")
