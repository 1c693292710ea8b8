"""A dispatcher that kills itself in the middle of a send, as a process of its own.

`python -m tests.dispatcher.crashing MOMENT:WHAT NUMBER EFFECTS {idempotent|once}` sends itself
SIGKILL `before` or `after` the NUMBERth of WHAT: an `effect`, which is a line with the send's id in
the file EFFECTS, or a transaction of the ledger, one of `STATEMENTS`. Settings come from the
environment, as always.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.topics import COMMANDS, URGENT_COMMANDS
from services.dispatcher.channels.build import Served
from services.dispatcher.channels.port import Accepted, Message, Outcome
from services.dispatcher.main import GROUP, URGENT_GROUP, Dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.runtime.database import make_engine
from services.runtime.kafka import make_consumer, make_producer
from services.runtime.metrics import Metrics

STATEMENTS: Final = {
    "record": "INSERT INTO dispatcher.sends",
    "claim": "SET state = 'sending'",
    "settle": "SET state = g.state",
    "reported": "SET reported_at = dispatcher.now_micros(), command = NULL",
}


def die_at(engine: AsyncEngine, what: str, number: int, *, after: bool) -> None:
    """Die before the statement is sent, or once its transaction is committed. Idle claims
    before the first commands do not count."""
    seen, recorded = 0, False

    def before(*arguments: Any) -> None:
        nonlocal seen, recorded
        recorded = recorded or STATEMENTS["record"] in arguments[2]
        if recorded and STATEMENTS[what] in arguments[2]:
            seen += 1
            if seen == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)

    def done(*_: Any) -> None:
        # The connection comes back after the commit.
        if seen >= number and after:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "checkin", done)


class EffectsChannel:
    """Writes the id of each send to a file; `fatal` is the number of the deadly one."""

    def __init__(
        self, effects: Path, *, idempotent: bool, fatal: int = 0, after: bool = False
    ) -> None:
        self.idempotent = idempotent
        self._effects = effects
        self._fatal = fatal
        self._after = after
        self._number = 0

    async def send(self, message: Message) -> Outcome:
        """The effect, or the end."""
        self._number += 1
        deadly = self._number == self._fatal
        # Others get their turn, so that the deadly one has company in every state.
        await asyncio.sleep(0)
        if deadly and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        with self._effects.open("a") as effects:
            effects.write(message.send_id + "\n")
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return Accepted()

    async def close(self) -> None:
        """Nothing to close."""


async def run(channel: EffectsChannel, what: str, number: int, *, after: bool) -> None:
    """Dispatch until death."""
    settings = DispatcherSettings()
    engine = make_engine(settings)
    if what in STATEMENTS:
        die_at(engine, what, number, after=after)
    consumers = (
        make_consumer(settings, COMMANDS, group=GROUP),
        make_consumer(settings, URGENT_COMMANDS, group=URGENT_GROUP),
    )
    producer = make_producer(settings)
    await asyncio.gather(*(one.start() for one in (*consumers, producer)))
    dispatcher = Dispatcher(
        settings,
        channels={"log": Served(channel=channel, concurrency=10)},
        metrics=Metrics(),
        engine=engine,
        ledger_engine=engine,
        consumers=consumers,
        producer=producer,
    )
    await dispatcher.run(asyncio.Event())


if __name__ == "__main__":
    point, number, file, kind = sys.argv[1:]
    moment, _, what = point.partition(":")
    after = moment == "after"
    effects = EffectsChannel(
        Path(file),
        idempotent=kind == "idempotent",
        fatal=int(number) if what == "effect" else 0,
        after=after,
    )
    asyncio.run(run(effects, what, int(number), after=after))
