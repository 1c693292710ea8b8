"""The adapters of the port, and a database with the schema in it."""

from collections.abc import AsyncIterator
from importlib import resources
from typing import cast

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.profile_store.memory import MemoryProfiles
from services.profile_store.postgres import SCHEMA, PostgresProfiles
from services.profile_store.profiles import Profiles
from services.runtime.database import make_engine, migrate
from services.runtime.settings import DatabaseSettings


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A fresh database, migrated."""
    location = resources.files("services.profile_store").joinpath("migrations")
    await migrate(database_url, script_location=str(location), schema=SCHEMA)
    made = make_engine(DatabaseSettings(database_url=SecretStr(database_url)))
    yield made
    await made.dispose()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
def profiles(request: pytest.FixtureRequest) -> Profiles:
    """Each adapter in turn."""
    if request.param == "memory":
        return MemoryProfiles()
    return PostgresProfiles(cast(AsyncEngine, request.getfixturevalue("engine")))
