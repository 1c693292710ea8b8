"""Who waits for inbox messages at this process, and who tells them that there is one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.errors import Transient
from services.dispatcher.inbox import NOTICES
from services.runtime.database import transient_errors
from services.runtime.logs import get_logger

STREAMS_MAX: Final = 10_000
RECONNECT_SECONDS: Final = 1.0
ALIVE_SECONDS: Final = 30.0
"""How often the connection is asked whether it still is one."""

_log = get_logger(__name__)
_ALIVE: Final = text("SELECT 1")


class InboxStreams:
    """PostgreSQL tells every dispatcher of every new message; each wakes its own listeners.

    Takes one connection of the pool for as long as it runs. What a notice leads to is read
    from the table, so that a lost or repeated one does no harm.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self.count = 0
        self.closing = False

    @contextmanager
    def listening(self, person: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be something new for a person.

        Raises:
            Transient: as many listen already as one process can bear.
        """
        if self.count >= STREAMS_MAX:
            raise Transient("too many streams", 5.0)
        event = asyncio.Event()
        self.count += 1
        self._waiting.setdefault(person, set()).add(event)
        try:
            yield event
        finally:
            self.count -= 1
            others = self._waiting[person]
            others.discard(event)
            if not others:
                del self._waiting[person]

    async def run(self, engine: AsyncEngine, stop: asyncio.Event) -> None:
        """Listen until `stop`, through losses of the connection; then end all streams."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    with transient_errors():
                        async with engine.connect() as connection:
                            await self._listen(connection, stopping)
                except Transient as error:
                    _log.warning("inbox notices are away", reason=str(error))
                    await asyncio.wait({stopping}, timeout=RECONNECT_SECONDS)
        finally:
            stopping.cancel()
            self.closing = True
            self._wake_all()

    async def _listen(self, connection: AsyncConnection, stopping: "asyncio.Task[bool]") -> None:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.add_listener(NOTICES, self._heard)
        try:
            # Messages may have come while nobody listened.
            self._wake_all()
            while not stopping.done():
                await asyncio.wait({stopping}, timeout=ALIVE_SECONDS)
                await connection.execute(_ALIVE)
        finally:
            if not driver.is_closed():
                await driver.remove_listener(NOTICES, self._heard)

    def _heard(self, _connection: object, _pid: int, _channel: str, person: object) -> None:
        for event in self._waiting.get(str(person), ()):
            event.set()

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
