"""What every channel owes the dispatcher, for those whose other end is a table."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatcher.channels.inbox import InboxChannel
from services.dispatcher.channels.port import Accepted, Channel, Message, Outcome
from services.dispatcher.channels.tasks import TaskChannel
from services.dispatcher.inbox import InboxStore
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.tasks import TaskStore
from services.runtime.database import make_engine
from tests.dispatcher.counterparts import Counterpart, Mood
from tests.dispatcher.providers import Fitting
from tests.dispatcher.support import a_message, a_send_id
from tests.dispatcher.test_channel_conformance import (
    test_closing_twice_or_unused_is_harmless as test_closing_twice_or_unused_is_harmless,
)
from tests.dispatcher.test_channel_conformance import (
    test_many_sends_at_once_arrive_once_each as test_many_sends_at_once_arrive_once_each,
)
from tests.dispatcher.test_channel_conformance import (
    test_neither_logs_nor_reasons_hold_personal_data as test_neither_logs_nor_reasons_tell,
)
from tests.dispatcher.test_channel_conformance import (
    test_what_is_accepted_has_arrived_under_its_send_id as test_what_is_accepted_has_arrived,
)

pytestmark = pytest.mark.embedded

__all__ = [
    "test_closing_twice_or_unused_is_harmless",
    "test_many_sends_at_once_arrive_once_each",
    "test_neither_logs_nor_reasons_tell",
    "test_what_is_accepted_has_arrived",
]


class TableEnd:
    """A table; it has no moods of its own."""

    moods: frozenset[Mood] = frozenset({"accept"})

    def __init__(self, channel: Channel, engine: AsyncEngine, column: str, table: str) -> None:
        self.channel: Channel = channel
        self._engine = engine
        self._query = f"SELECT CAST({column} AS text) FROM dispatcher.{table}"
        self.rows: list[str] = []

    def be(self, mood: Mood) -> None:
        """It is never anything else."""

    def received(self) -> list[str]:
        return self.rows

    async def look(self) -> None:
        """Read the rows that there are."""
        async with self._engine.connect() as connection:
            found = [row[0] for row in await connection.execute(text(self._query))]
        # Of looks that cross, the one that saw more was the later.
        self.rows = max(self.rows, found, key=len)


class Looking(Fitting):
    """Looks into the table after each send, for a suite that does not wait."""

    end: TableEnd

    async def send(self, message: Message) -> Outcome:
        """Send, then look."""
        outcome = await super().send(message)
        await self.end.look()
        return outcome


@pytest.fixture(params=["inbox", "tasks"])
async def end(
    request: pytest.FixtureRequest, settings: DispatcherSettings
) -> AsyncIterator[Counterpart]:
    """Each channel with its table."""
    engine = make_engine(settings)
    inner: Channel
    if request.param == "inbox":
        inner, column = InboxChannel(InboxStore(engine)), "message_id"
    else:
        inner, column = TaskChannel(TaskStore(engine)), "task_id"
    channel = Looking(inner, lambda m: msgspec.structs.replace(m, kind="handoff"))
    channel.end = TableEnd(channel, engine, column, request.param)
    yield channel.end
    await engine.dispose()


async def test_a_repeated_send_is_noticed_as_the_channel_promises(end: Counterpart) -> None:
    assert end.channel.idempotent
    for _ in range(2):
        assert isinstance(await end.channel.send(a_message(1)), Accepted)
    assert end.received() == [a_send_id(1)]
