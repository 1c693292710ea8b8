"""The audit log says who did what, cannot be rewritten, and replays to the same state."""

import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Kind
from services.contracts.time import to_micros
from services.runtime.database import make_engine, migrate
from services.runtime.settings import DatabaseSettings
from services.triggers.definitions import tables
from services.triggers.definitions.auditing import BrokenLog, Entry, Replayed, Wanted, replay
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.memory_access import MemoryTokens
from services.triggers.definitions.postgres import PostgresStore
from services.triggers.definitions.postgres_access import PostgresTokens
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.token_store import Tokens
from services.triggers.definitions.values import Conflict, Status, Stored
from tests.definitions.support import (
    ROOT,
    START,
    make_definitions,
    needing,
    person,
    policy,
    tag,
    trigger,
)

ANN, BEN = person("ann"), person("ben")


async def live_through_everything(definitions: Definitions, tokens: Tokens) -> None:
    """Every way in which something can change, and some that are refused."""
    await definitions.bootstrap()
    await definitions.create(trigger(name="first"), by=ANN, publish=False)
    await definitions.submit("trigger", "cart_left", by=ANN, expected=None)
    await definitions.reject("trigger", "cart_left", by=BEN, expected=None, reason="no")
    await definitions.submit("trigger", "cart_left", by=ANN, expected=None)
    await definitions.withdraw("trigger", "cart_left", by=ANN, expected=None)
    await definitions.submit("trigger", "cart_left", by=ANN, expected=None)
    await definitions.approve("trigger", "cart_left", by=BEN, expected=None, note="fine")
    await definitions.set_status("cart_left", "paused", by=BEN, expected=None)
    await definitions.set_status("cart_left", "live", by=BEN, expected=None)
    await definitions.amend(
        "workspace",
        "default",
        lambda standing: msgspec.structs.replace(standing, stopped=True),
        by=BEN,
        action="stopped",
    )
    await definitions.apply(
        [tag(), needing("orders", name="second"), policy()], by=ROOT, dry_run=False
    )
    await definitions.apply([policy(limit=6)], by=ROOT, dry_run=True)
    await definitions.roll_back("trigger", "cart_left", 1, by=ROOT, expected=None)
    await definitions.create(trigger("gone"), by=ROOT, publish=True)
    await definitions.archive("trigger", "gone", by=ANN, expected=None)
    await definitions.create(trigger("never"), by=ANN, publish=False)
    await definitions.discard("trigger", "never", by=ANN, expected=None)
    with pytest.raises(Conflict):
        await definitions.create(trigger(), by=ROOT, publish=True)
    token, _ = await tokens.make(
        by=ROOT, name="Ann's", owner="ann", person=True, role="reviewer", days=90
    )
    await tokens.make(by=ROOT, name="CI", owner="ci", person=False, role="operator", days=1)
    await tokens.revoke(token.id, by=ROOT)
    await tokens.revoke(token.id, by=ROOT)


async def test_every_change_is_an_entry_with_who_what_before_and_after() -> None:
    tables_ = Tables()
    definitions = make_definitions(MemoryStore(tables_))
    await live_through_everything(definitions, Tokens(MemoryTokens(tables_), lambda: START))
    entries = await definitions.entries(Wanted(), below=None, limit=99)
    assert [one.number for one in entries] == list(range(len(entries), 0, -1))
    assert [(one.action, one.actor_id, one.id) for one in entries[::-1]] == [
        ("bootstrapped", "system", "default"),
        ("bootstrapped", "system", "marketing_daily"),
        ("created", "ann", "cart_left"),
        ("submitted", "ann", "cart_left"),
        ("rejected", "ben", "cart_left"),
        ("submitted", "ann", "cart_left"),
        ("withdrawn", "ann", "cart_left"),
        ("submitted", "ann", "cart_left"),
        ("approved", "ben", "cart_left"),
        ("paused", "ben", "cart_left"),
        ("resumed", "ben", "cart_left"),
        ("stopped", "ben", "default"),
        ("applied", "settings", "orders"),
        ("applied", "settings", "cart_left"),
        ("applied", "settings", "weekly"),
        ("rolled_back", "settings", "cart_left"),
        ("published", "settings", "gone"),
        ("archived", "ann", "gone"),
        ("created", "ann", "never"),
        ("discarded", "ann", "never"),
        ("token_created", "settings", entries[2].id),
        ("token_created", "settings", entries[1].id),
        ("token_revoked", "settings", entries[0].id),
    ]
    approved = next(one for one in entries if one.action == "approved")
    assert (approved.version, approved.note, approved.request_id) == (1, "fine", "request-of-ben")
    assert approved.before is not None
    assert approved.after is not None
    assert (approved.before["status"], approved.after["status"]) == ("in_review", "live")
    assert approved.after["published"]["name"] == "first"


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(kind="trigger", id="cart_left"), 11),
        (Wanted(actor_id="ben"), 5),
        (Wanted(action="submitted"), 3),
        (Wanted(request_id="request-of-ann"), 8),
        (Wanted(since=START, until=START), 0),
        (Wanted(since=START, until=START + 1, kind="tag"), 1),
        (Wanted(since=START + 1), 0),
    ],
)
async def test_the_log_is_asked_by_target_actor_action_request_and_time(
    wanted: Wanted, count: int
) -> None:
    tables_ = Tables()
    definitions = make_definitions(MemoryStore(tables_))
    await live_through_everything(definitions, Tokens(MemoryTokens(tables_), lambda: START))
    assert len(await definitions.entries(wanted, below=None, limit=99)) == count


async def test_the_log_in_memory_replays_to_what_stands_there() -> None:
    tables_ = Tables()
    definitions = make_definitions(MemoryStore(tables_))
    tokens = Tokens(MemoryTokens(tables_), lambda: START)
    await live_through_everything(definitions, tokens)
    replayed = await definitions.replayed()
    assert replayed.definitions == tables_.definitions
    assert replayed.tokens == {
        one.token.id: one.token for one in await tokens.page(after="", limit=9)
    }
    assert len(replayed.revisions) == len(tables_.revisions)


@pytest.mark.parametrize("lost", [2, 5, 10])
async def test_a_log_with_a_missing_entry_says_so(lost: int) -> None:
    tables_ = Tables()
    definitions = make_definitions(MemoryStore(tables_))
    await live_through_everything(definitions, Tokens(MemoryTokens(tables_), lambda: START))
    del tables_.audit[lost]
    with pytest.raises(BrokenLog, match=r"entry \d+: trigger cart_left"):
        replay(tables_.audit)


async def test_a_rewritten_entry_is_found_by_the_next_one_of_its_target() -> None:
    tables_ = Tables()
    definitions = make_definitions(MemoryStore(tables_))
    await live_through_everything(definitions, Tokens(MemoryTokens(tables_), lambda: START))
    created = tables_.audit[2]
    assert created.after is not None
    forged = created.after | {"review": {"authors": ["somebody"]}}
    tables_.audit[2] = msgspec.structs.replace(created, after=forged)
    with pytest.raises(BrokenLog):
        replay(tables_.audit)


async def rows(engine: AsyncEngine, table: Any) -> list[Any]:
    """All rows of a table."""
    async with engine.connect() as connection:
        return list((await connection.execute(select(table))).all())


async def test_the_log_in_postgresql_replays_to_every_table(engine: AsyncEngine) -> None:
    definitions = make_definitions(PostgresStore(engine))
    tokens = Tokens(PostgresTokens(engine), lambda: START)
    await live_through_everything(definitions, tokens)
    replayed = await definitions.replayed()
    kinds: tuple[Kind, ...] = ("trigger", "tag", "policy", "workspace")
    statuses: tuple[Status, ...] = ("draft", "in_review", "live", "paused", "archived")
    standing: dict[tuple[str, str], Stored] = {}
    for kind in kinds:
        for status in statuses:
            for one in await definitions.page(kind, status=status, after="", limit=99):
                standing[one.kind, one.id] = one
    assert replayed.definitions == standing
    assert replayed.versions == {
        (row.kind, row.id, row.version): (row.revision, row.definition)
        for row in await rows(engine, tables.versions)
    }
    assert replayed.revisions == {
        row.revision: to_micros(row.published_at) for row in await rows(engine, tables.revisions)
    }
    assert replayed.tokens == {
        one.token.id: one.token for one in await tokens.page(after="", limit=99)
    }
    assert len(standing) == 7
    assert len(replayed.versions) == 12


@pytest.mark.parametrize("table", ["audit", "versions", "revisions"])
@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM triggers.{}",
        "TRUNCATE triggers.{} CASCADE",
        "UPDATE triggers.{} SET revision = 9",
        "SET session_replication_role = replica; DELETE FROM triggers.{}",
    ],
)
async def test_what_is_written_once_cannot_be_rewritten_by_anybody(
    engine: AsyncEngine, table: str, change: str
) -> None:
    definitions = make_definitions(PostgresStore(engine))
    await definitions.bootstrap()
    before = await rows(engine, tables.audit)
    async with engine.connect() as connection:
        # The tests' user owns the tables and is a superuser.
        for statement in change.format(table).split("; ")[:-1]:
            await connection.execute(text(statement))
        with pytest.raises(DBAPIError, match=r"refused|do not change"):
            await connection.execute(text(change.format(table).split("; ")[-1]))
    assert await rows(engine, tables.audit) == before


@pytest.mark.embedded
async def test_definitions_from_before_the_log_begin_it(database_url: str, tmp_path: Path) -> None:
    folder = Path(str(resources.files("services.triggers.definitions").joinpath("migrations")))
    first = tmp_path / "migrations"
    (first / "versions").mkdir(parents=True)
    shutil.copy(folder / "versions" / "0001_definitions.py", first / "versions")
    await migrate(database_url, script_location=str(first), schema="triggers")
    engine = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        await _live_on(engine, database_url, folder)
    finally:
        await engine.dispose()


async def _live_on(engine: AsyncEngine, database_url: str, folder: Path) -> None:
    async with engine.begin() as connection:
        for statement in (
            "INSERT INTO triggers.revisions VALUES (1, '2026-01-02T03:04:05.123456Z')",
            """INSERT INTO triggers.definitions VALUES ('policy', 'weekly', 'live', 1, 1, 1, NULL,
            '{"id": "weekly", "version": 1, "limit": 5, "window": "week"}',
            '2026-01-02T03:04:05.123456Z', '2026-01-02T03:04:05.123456Z')""",
            """INSERT INTO triggers.versions VALUES ('policy', 'weekly', 1, 1,
            '{"id": "weekly", "version": 1, "limit": 5, "window": "week"}')""",
        ):
            await connection.execute(text(statement.replace(":", r"\:")))
    await migrate(database_url, script_location=str(folder), schema="triggers")
    definitions = make_definitions(PostgresStore(engine))
    await definitions.change(
        "policy", "weekly", lambda _: policy(limit=6), by=ROOT, expected=1, publish=True
    )
    replayed: Replayed = await definitions.replayed()
    assert replayed.definitions["policy", "weekly"] == await definitions.get("policy", "weekly")
    assert set(replayed.versions) == {("policy", "weekly", 1), ("policy", "weekly", 2)}
    versions = await definitions.versions("policy", "weekly", below=None, limit=9)
    assert [(one.version, one.by) for one in versions] == [(2, "settings"), (1, None)]
    entries: list[Entry] = await definitions.entries(Wanted(), below=None, limit=9)
    assert [one.action for one in entries] == ["published", "adopted"]
