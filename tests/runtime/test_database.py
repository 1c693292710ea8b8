"""Migrations and error classes of `services.runtime.database`."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.contracts.errors import Transient
from services.runtime.database import make_engine, migrate, transient_errors, wait_for_database
from services.runtime.process import free_port
from services.runtime.settings import DatabaseSettings

FIRST = """
from alembic import op
import sqlalchemy as sa

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True), schema="shop")
"""

BROKEN = """
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("CREATE TABLE shop.half ()")
    op.execute("SELECT 1 / 0")
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_first.py").write_text(FIRST)
    return versions.parent


def settings_for(url: str) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(url))


async def tables(url: str) -> set[str]:
    engine = make_engine(settings_for(url))
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'shop'")
        )
        names = {row.tablename for row in found}
    await engine.dispose()
    return names


@pytest.mark.embedded
async def test_processes_that_migrate_at_once_do_not_collide(
    database_url: str, scripts: Path
) -> None:
    await asyncio.gather(
        *(migrate(database_url, script_location=scripts, schema="shop") for _ in range(4))
    )
    assert await tables(database_url) == {"things", "alembic_version"}


@pytest.mark.embedded
async def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str, scripts: Path
) -> None:
    (scripts / "versions" / "0002_broken.py").write_text(BROKEN)
    with pytest.raises(Exception, match="division by zero"):
        await migrate(database_url, script_location=scripts, schema="shop")
    assert await tables(database_url) == set()


async def test_a_server_that_is_away_is_transient_after_bounded_tries() -> None:
    url = f"postgresql+asyncpg://somebody:secret@127.0.0.1:{free_port()}/none"
    engine = make_engine(settings_for(url))
    with pytest.raises(Transient) as caught:
        await wait_for_database(engine, attempts_max=1)
    assert "secret" not in str(caught.value)
    await engine.dispose()


@pytest.mark.embedded
async def test_a_lost_connection_is_transient(database_url: str) -> None:
    engine = make_engine(settings_for(database_url))
    killer = make_engine(settings_for(database_url))
    with pytest.raises(Transient):  # noqa: PT012  (the block under test opens a connection)
        async with engine.connect() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            async with killer.connect() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            with transient_errors():
                await connection.execute(text("SELECT 1"))
    await engine.dispose()
    await killer.dispose()


def test_a_connection_that_has_read_a_good_bye_but_not_its_end_is_transient() -> None:
    # The driver says so where a question meets the server's last words half way.
    said = asyncpg.InternalClientError(
        "cannot switch to state 12; another operation (2) is in progress"
    )
    with pytest.raises(Transient, match="InternalClientError"), transient_errors():
        raise said


@pytest.mark.embedded
async def test_a_broken_rule_of_the_data_is_not_transient(database_url: str) -> None:
    engine = make_engine(settings_for(database_url))
    with pytest.raises(IntegrityError):  # noqa: PT012  (as above)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE one (id int PRIMARY KEY)"))
            with transient_errors():
                await connection.execute(text("INSERT INTO one VALUES (1), (1)"))
    await engine.dispose()
