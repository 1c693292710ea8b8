"""Parts that the dispatcher's tests share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from services.contracts.codec import decode_delivery, encode_json
from services.contracts.command import Cancel, Content, SendCommand, is_urgent
from services.contracts.deadletter import DeadLetter
from services.contracts.delivery import Delivery
from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    EVENTS,
    KIND_CANCEL,
    KIND_ERASED,
    KIND_HEADER,
    KIND_MOVED,
    KIND_REPLAY,
    URGENT_COMMANDS,
    Topic,
)
from services.dispatcher.channels.build import Served
from services.dispatcher.channels.nobody import NobodyChannel
from services.dispatcher.channels.port import Accepted, Message, Outcome
from services.dispatcher.commands import NOBODY, decode_known
from services.dispatcher.ledger import make_ledger_engine
from services.dispatcher.ledger_reads import LedgerReader
from services.dispatcher.main import GROUP, READS, URGENT_GROUP, Dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.stops import Stops
from services.runtime.database import make_engine, migrate
from services.runtime.kafka import make_consumer, make_producer, topic_name
from services.runtime.metrics import Metrics
from services.runtime.topic_reading import committed, read_topic

WAIT_SECONDS = 30.0
DECIDED_AT = 1_700_000_000_000_000


def a_send_id(number: int) -> str:
    """A send id that is always the same for the same number."""
    return str(uuid5(NAMESPACE_URL, str(number)))


def a_command(number: int = 0, **changes: Any) -> SendCommand:
    """A command for the log channel, told apart by its number."""
    values: dict[str, Any] = {
        "send_id": a_send_id(number),
        "workspace": "default",
        "person": f"person-{number}",
        "trigger": "welcome",
        "trigger_version": 1,
        "run_id": a_send_id(number + 1_000_000),
        "step": 0,
        "event_id": f"event-{number}",
        "channel": "log",
        "category": "marketing",
        "priority": 50,
        "content": Content(subject="Hi {{ name }}", body="Number {{ number }}"),
        "variables": {"name": "Ann", "number": number},
        "decided_at": DECIDED_AT + number,
        "origin_received_at": DECIDED_AT,
    }
    return SendCommand(**(values | changes))


def a_message(number: int = 0, **changes: Any) -> Message:
    """A rendered message, told apart by its number."""
    values: dict[str, Any] = {
        "send_id": a_send_id(number),
        "workspace": "default",
        "person": f"person-{number}",
        "trigger": "welcome",
        "trigger_version": 1,
        "run_id": a_send_id(number + 1_000_000),
        "step": 0,
        "category": "marketing",
        "channel": "log",
        "to": "ann@example.com",
        "subject": "Hi Ann",
        "body": "Number 0",
        "variables": {},
        "decided_at": DECIDED_AT,
    }
    return Message(**(values | changes))


Script = Callable[[Message, int], Outcome | Awaitable[Outcome]]


class ScriptedChannel:
    """A channel that does as it is told and keeps what was sent through it, in order."""

    def __init__(self, script: Script | None = None, *, idempotent: bool = False) -> None:
        self.idempotent = idempotent
        self.sent: list[Message] = []
        self.under_way = 0
        self.under_way_most = 0
        self._script = script

    def count(self, send_id: str) -> int:
        """How many attempts were made at one send."""
        return sum(message.send_id == send_id for message in self.sent)

    async def send(self, message: Message) -> Outcome:
        """Ask the script; it hears the message and the number of the attempt from 1."""
        self.sent.append(message)
        self.under_way += 1
        self.under_way_most = max(self.under_way_most, self.under_way)
        try:
            if self._script is None:
                return Accepted()
            outcome = self._script(message, self.count(message.send_id))
            return await outcome if isinstance(outcome, Awaitable) else outcome
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """Nothing to close."""


async def migrate_ledger(database_url: str) -> None:
    """Make an empty ledger."""
    location = resources.files("services.dispatcher").joinpath("migrations")
    await migrate(database_url, script_location=str(location), schema="dispatcher")


class Stage:
    """A broker with the topics, a migrated database, and hands for both."""

    def __init__(self, settings: DispatcherSettings, producer: AIOKafkaProducer) -> None:
        self.settings = settings
        self.engine = make_engine(settings)
        self.reader = LedgerReader(self.engine)
        self._producer = producer

    async def produce(
        self,
        commands: Iterable[SendCommand | Cancel | bytes | None],
        *,
        kind: bytes | None = None,
    ) -> None:
        """Put commands, cancels, or bytes that should be one, where the worker does."""
        acknowledged = []
        for command in commands:
            value: bytes | None
            if isinstance(command, SendCommand | Cancel):
                value, key = encode_json(command), command.person.encode()
            else:
                value, key = command, b"?"
            header = KIND_CANCEL if isinstance(command, Cancel) else kind
            acknowledged += [
                await self._producer.send(
                    topic_name(self.settings, topic),
                    value,
                    key=key,
                    headers=[] if header is None else [(KIND_HEADER, header)],
                )
                for topic in _topics_of(command, header)
            ]
        await asyncio.gather(*acknowledged)

    @asynccontextmanager
    async def dispatching(
        self,
        channels: Mapping[str, Any],
        *,
        concurrency: int = 50,
        metrics: Metrics | None = None,
        stops: Stops | None = None,
    ) -> AsyncIterator[Dispatcher]:
        """A dispatcher at work, until the block is left and it has ended cleanly."""
        served = {
            queue: Served(channel=channel, concurrency=concurrency)
            for queue, channel in {NOBODY: NobodyChannel(), **channels}.items()
        }
        consumers: tuple[AIOKafkaConsumer, AIOKafkaConsumer] = (
            make_consumer(self.settings, COMMANDS, group=GROUP),
            make_consumer(self.settings, URGENT_COMMANDS, group=URGENT_GROUP),
        )
        producer = make_producer(self.settings)
        await asyncio.gather(*(one.start() for one in (*consumers, producer)))
        engine, ledger_engine = make_engine(self.settings), make_ledger_engine(self.settings)
        dispatcher = Dispatcher(
            self.settings,
            channels=served,
            metrics=metrics or Metrics(),
            engine=engine,
            ledger_engine=ledger_engine,
            consumers=consumers,
            producer=producer,
            stops=stops,
        )
        stop = asyncio.Event()
        try:
            await dispatcher.prepare()
            running = asyncio.create_task(dispatcher.run(stop))
            try:
                yield dispatcher
            finally:
                stop.set()
                await running
        finally:
            await asyncio.gather(*(one.stop() for one in (*consumers, producer)))
            await asyncio.gather(engine.dispose(), ledger_engine.dispose())

    async def settled(self, number: int) -> dict[str, int]:
        """The ledger's counts, once that many sends are finished and reported."""
        counts: dict[str, int] = {}

        async def enough() -> bool:
            counts.update(await self.reader.counts())
            done = counts["accepted"] + counts["failed"] + counts["ambiguous"]
            return done >= number and counts["unreported"] == 0

        await until(enough, f"{number} settled sends")
        return counts

    async def deliveries(self) -> list[Delivery]:
        """All delivery events on the topic of events."""
        return [
            decode_delivery(record.value)
            async for record in read_topic(self.settings, EVENTS, timeout_seconds=WAIT_SECONDS)
        ]

    async def dead_letters(self) -> list[DeadLetter]:
        """All dead letters."""
        return [
            msgspec.json.decode(record.value, type=DeadLetter)
            async for record in read_topic(
                self.settings, DEAD_LETTERS, timeout_seconds=WAIT_SECONDS
            )
        ]

    async def committed(self) -> int:
        """How many records of commands their groups have committed."""
        return sum(
            [sum((await committed(self.settings, group, topic)).values()) for group, topic in READS]
        )


def _topics_of(command: object, kind: bytes | None) -> tuple[Topic, ...]:
    if kind == KIND_ERASED:
        return COMMANDS, URGENT_COMMANDS
    urgent = kind in (KIND_CANCEL, KIND_MOVED)
    if kind == KIND_REPLAY and isinstance(command, bytes):
        command = decode_known(command)
    if isinstance(command, SendCommand):
        urgent = is_urgent(command)
    return (URGENT_COMMANDS if urgent else COMMANDS,)


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return as soon as the condition holds; fails the test when it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECONDS
    while not await condition():
        assert loop.time() < deadline, f"waited {WAIT_SECONDS} s for {what}"
        await asyncio.sleep(0.02)
