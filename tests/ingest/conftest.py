"""Fixtures of ingest's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.ingest.support import Server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """An application with the default settings."""
    made = Server()
    yield made
    await made.client.aclose()
