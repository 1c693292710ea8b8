"""Fixtures of the dispatcher's tests."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DEFINITIONS,
    EVENTS,
    URGENT_COMMANDS,
)
from services.dispatcher.settings import DispatcherSettings
from services.runtime.kafka import create_topics, make_producer
from services.runtime.settings import KafkaSettings
from tests.dispatcher.support import Stage, migrate_ledger


@pytest.fixture
async def ledger_url(database_url: str) -> str:
    """A database with an empty ledger."""
    await migrate_ledger(database_url)
    return database_url


@pytest.fixture
def settings(kafka_settings: KafkaSettings, ledger_url: str) -> DispatcherSettings:
    """Settings that retry at once, for tests that wait for retries."""
    return DispatcherSettings(
        **kafka_settings.model_dump(),
        database_url=SecretStr(ledger_url),
        dispatcher_retry_first_seconds=0.01,
        dispatcher_retry_max_seconds=0.05,
    )


@pytest.fixture
async def stage(settings: DispatcherSettings) -> AsyncIterator[Stage]:
    """Topics, ledger and a producer of commands."""
    await create_topics(settings, (COMMANDS, URGENT_COMMANDS, EVENTS, DEAD_LETTERS, DEFINITIONS))
    producer = make_producer(settings)
    await producer.start()
    stage = Stage(settings, producer)
    yield stage
    await producer.stop()
    await stage.engine.dispose()
