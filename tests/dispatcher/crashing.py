"""A dispatcher that kills itself in the middle of a send, as a process of its own.

`python -m tests.dispatcher.crashing {before|after} NUMBER EFFECTS {idempotent|once}`: at effect
NUMBER it sends itself SIGKILL, before or after the effect, a line with the send's id in the
file EFFECTS. Settings come from the environment, as always.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from services.contracts.topics import COMMANDS
from services.dispatcher.channels.build import Served
from services.dispatcher.channels.port import Accepted, Message, Outcome
from services.dispatcher.main import GROUP, URGENT_GROUP, Dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.runtime.database import make_engine
from services.runtime.kafka import make_consumer, make_producer
from services.runtime.metrics import Metrics


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


async def run(channel: EffectsChannel) -> None:
    """Dispatch until death."""
    settings = DispatcherSettings()
    consumers = (
        make_consumer(settings, COMMANDS, group=GROUP),
        make_consumer(settings, COMMANDS, group=URGENT_GROUP),
    )
    producer = make_producer(settings)
    await asyncio.gather(*(one.start() for one in (*consumers, producer)))
    dispatcher = Dispatcher(
        settings,
        channels={"log": Served(channel=channel, concurrency=10)},
        metrics=Metrics(),
        engine=make_engine(settings),
        consumers=consumers,
        producer=producer,
    )
    await dispatcher.run(asyncio.Event())


if __name__ == "__main__":
    point, number, file, kind = sys.argv[1:]
    asyncio.run(
        run(
            EffectsChannel(
                Path(file),
                idempotent=kind == "idempotent",
                fatal=int(number),
                after=point == "after",
            )
        )
    )
