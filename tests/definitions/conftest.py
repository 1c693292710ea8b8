"""PostgreSQL with the schema of definitions in it."""

from collections.abc import AsyncIterator
from importlib import resources

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.database import make_engine, migrate
from services.runtime.settings import DatabaseSettings


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a fresh, migrated database."""
    folder = resources.files("services.triggers.definitions").joinpath("migrations")
    await migrate(database_url, script_location=str(folder), schema="triggers")
    made = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))
    yield made
    await made.dispose()
