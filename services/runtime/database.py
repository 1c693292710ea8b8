"""PostgreSQL: engines, which errors pass by themselves, and migrations."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.contracts.errors import Transient
from services.runtime.backoff import delays
from services.runtime.logs import get_logger
from services.runtime.settings import DatabaseSettings

CONNECT_TIMEOUT_SECONDS: Final = 10.0
COMMAND_TIMEOUT_SECONDS: Final = 30.0
CONNECT_ATTEMPTS_MAX: Final = 30
CONNECT_WAIT_SECONDS_MAX: Final = 2.0

TRANSIENT_SQLSTATES: Final = ("08", "40001", "40P01", "53", "55P03", "57")
"""Beginnings of the codes after which the same statement may succeed: connection lost,
serialization, deadlock, no resources, lock not available, shutting or starting up
(PostgreSQL manual, appendix A)."""

DRIVER_ERRORS: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

_log = get_logger(__name__)


def make_engine(
    settings: DatabaseSettings,
    *,
    application: str = "cuestream",
    server_settings: Mapping[str, str] | None = None,
    ask_first: bool = True,
) -> AsyncEngine:
    """An engine with a bounded pool; connects at first use. Dispose of it at the end.

    `server_settings` are PostgreSQL's own, for each connection. JSON goes through msgspec.
    A connection is asked whether it is alive before each use, three ways there and back; without
    `ask_first` the use itself finds out, and has to be tried again.
    Errors never show a statement's parameters: they may be personal data.
    """
    return create_async_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_pre_ping=ask_first,
        hide_parameters=True,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
        connect_args={
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "command_timeout": COMMAND_TIMEOUT_SECONDS,
            "server_settings": {"application_name": application, **(server_settings or {})},
        },
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later: the server is away, busy or chose a victim."""
    if isinstance(error, OSError | TimeoutError | PoolTimeoutError):
        return True
    if isinstance(error, asyncpg.InternalClientError):
        # A connection that has read the server's good-bye but not yet its end is "in another
        # operation": there is no better name for it in the driver.
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        cause = error.orig if error.orig is not None else error.__cause__
        return cause is not None and is_transient(cause)
    code = getattr(error, "sqlstate", None)
    if isinstance(code, str):
        return code.startswith(TRANSIENT_SQLSTATES)
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    return error.__cause__ is not None and is_transient(error.__cause__)


@contextmanager
def transient_errors() -> Iterator[None]:
    """Turn driver errors that pass by themselves into `Transient`; others go through.

    Raises:
        Transient: see `is_transient`.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        if is_transient(error):
            raise Transient(f"database: {_name(error)}") from error
        raise


def _name(error: BaseException) -> str:
    # The text of a driver's error may quote a row; its type and code never do.
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__} {getattr(cause, 'sqlstate', None) or ''}".strip()


async def wait_for_database(engine: AsyncEngine, attempts_max: int = CONNECT_ATTEMPTS_MAX) -> None:
    """Return when the database answers; tries about a second apart, `attempts_max` times.

    Raises:
        Transient: it did not.
    """
    waits = delays(
        first_seconds=0.1,
        max_seconds=CONNECT_WAIT_SECONDS_MAX,
        attempts_max=attempts_max,
        random=random.random,
    )
    while True:
        try:
            with transient_errors():
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
            return
        except Transient as error:
            wait = next(waits, None)
            if wait is None:
                raise
            _log.warning("database is not there yet", error=str(error))
            await asyncio.sleep(wait)


async def migrate(database_url: str, *, script_location: str | Path, schema: str) -> None:
    """Bring one owner's schema to its newest version; harmless where it is that already.

    `script_location` is a folder with `versions/` of Alembic scripts (no env.py is needed).
    All of it is one transaction under a lock, so processes that start together do not
    collide. The schema and its version table are made when missing.

    Raises:
        Transient: the database cannot be reached.
    """
    engine = create_async_engine(database_url, pool_size=1, max_overflow=0, hide_parameters=True)
    try:
        await wait_for_database(engine)
        with transient_errors():
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade, str(script_location), schema)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, script_location: str, schema: str) -> None:
    config = Config()
    config.set_main_option("script_location", script_location.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs("head", revision)  # noqa: SLF001  (as alembic.command does)

    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"cuestream migrations {schema}"},
    )
    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    environment = EnvironmentContext(config, scripts, fn=steps)
    environment.configure(connection=connection, version_table_schema=schema)
    environment.run_migrations()
