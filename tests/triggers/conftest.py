"""A database with the schema of the marketers' API."""

from collections.abc import AsyncIterator
from importlib import resources

import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.runtime.database import make_engine, migrate
from services.runtime.settings import DatabaseSettings
from services.triggers.definitions.tables import SCHEMA


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A fresh database, migrated."""
    location = resources.files("services.triggers.definitions").joinpath("migrations")
    await migrate(database_url, script_location=str(location), schema=SCHEMA)
    made = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))
    yield made
    await made.dispose()
