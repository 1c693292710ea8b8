"""Fixtures for everybody: a broker and a database, embedded or given by the environment.

With `CUESTREAM_KAFKA=host:port` or `CUESTREAM_DATABASE_URL=postgresql+asyncpg://...` the real
one is used. Under pytest-xdist each worker process has servers of its own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from services.runtime.embedded import EmbeddedBroker, EmbeddedPostgres
from services.runtime.settings import KafkaSettings
from tests.support.servers import create_database, drop_database

SERVER_FIXTURES = frozenset({"kafka_address", "database_server_url"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for a server is no unit test, marked so or not."""
    for item in items:
        uses = SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if uses and item.get_closest_marker("integration") is None:
            item.add_marker(pytest.mark.embedded)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their length: those of gzip hold the second of their making, and each
    test process makes its own, so that two of them would know different tests."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests say for the record (the property `told`), passed or not."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "told":
                    terminalreporter.write_line(str(value))


@pytest.fixture(scope="session")
def server_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embedded servers of this worker process write."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def kafka_address(server_logs: Path) -> Iterator[str]:
    """host:port of a broker: `CUESTREAM_KAFKA`, else an embedded one for the session."""
    given = os.environ.get("CUESTREAM_KAFKA")
    if given:
        yield given
        return
    with EmbeddedBroker(log_dir=server_logs) as broker:
        yield broker.address


@pytest.fixture
def kafka_settings(kafka_address: str) -> KafkaSettings:
    """Settings with a topic prefix of this test's own; no topic exists yet."""
    real = bool(os.environ.get("CUESTREAM_KAFKA"))
    return KafkaSettings(
        kafka=kafka_address,
        kafka_idempotence=real,
        # The embedded broker makes a joining member wait half of this; Kafka's least is 6 s.
        kafka_session_timeout_ms=6_000 if real else 2_000,
        topic_prefix=f"t{uuid4().hex[:12]}-",
        partitions=4,
    )


@pytest.fixture(scope="session")
def database_server_url(server_logs: Path) -> Iterator[str]:
    """A PostgreSQL whose role may make databases: `CUESTREAM_DATABASE_URL`, else embedded."""
    given = os.environ.get("CUESTREAM_DATABASE_URL")
    if given:
        yield given
        return
    with EmbeddedPostgres(server_logs / "postgres", log_dir=server_logs, durable=False) as server:
        yield server.url()


@pytest.fixture
def database_url(database_server_url: str) -> Iterator[str]:
    """A fresh, empty database (postgresql+asyncpg URL with password), dropped afterwards."""
    url = create_database(database_server_url)
    yield url
    drop_database(database_server_url, url)
