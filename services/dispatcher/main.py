"""The dispatcher process: its object graph, its start and its orderly end."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Transient
from services.contracts.metrics import RETRIES
from services.contracts.time import SECOND
from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DEFINITIONS,
    EVENTS,
    URGENT_COMMANDS,
    Topic,
)
from services.dispatcher.addresses import PostgresAddresses, Quarantine
from services.dispatcher.breaker import BreakerPolicy
from services.dispatcher.channels.build import Served, build_channels, build_links
from services.dispatcher.commands import NOBODY
from services.dispatcher.erasing import erasures_of
from services.dispatcher.front import Front
from services.dispatcher.housekeeping import Housekeeping
from services.dispatcher.inbox import InboxStore
from services.dispatcher.intake import Intake
from services.dispatcher.lane import Lane
from services.dispatcher.ledger import Ledger, make_ledger_engine
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.ledger_reads import LedgerReader
from services.dispatcher.moves import Moves
from services.dispatcher.pace import Pace
from services.dispatcher.policy import Policy
from services.dispatcher.provider import Provider
from services.dispatcher.rates import PostgresRates
from services.dispatcher.receipts import KafkaEvents
from services.dispatcher.reporter import Reporter
from services.dispatcher.rules import Rules
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.settler import Settler
from services.dispatcher.stops import Stops, StopsReader
from services.dispatcher.withdrawals import Withdrawals
from services.runtime.clock import Clock, make_clock
from services.runtime.database import make_engine
from services.runtime.erasing import keep_swept
from services.runtime.health import Health
from services.runtime.kafka import KAFKA_ERRORS, make_consumer, make_producer, require_topics
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done
from services.runtime.serving import run_process, serve
from services.runtime.settings import load

SERVICE: Final = "dispatcher"
GROUP: Final = "dispatcher"
URGENT_GROUP: Final = "dispatcher-urgent"
READS: Final = ((GROUP, COMMANDS), (URGENT_GROUP, URGENT_COMMANDS))
"""Which group reads what: a group for each topic, so that a pause of one holds up no other."""
STOP_SECONDS_MAX: Final = 25.0
"""How long sends under way may take to be settled and reported at a clean end. What is cut
off then is as if the process had died: the ledger knows."""

_log = get_logger(__name__)

T = TypeVar("T")


class Dispatcher:
    """The object graph. `channels` says which queues are served; tests bring their own.

    `consumers` are those of `READS`, in that order. What `stops` holds is not attempted; whoever
    makes it keeps it up to date.
    """

    def __init__(
        self,
        settings: DispatcherSettings,
        *,
        channels: Mapping[str, Served],
        metrics: Metrics,
        engine: AsyncEngine,
        ledger_engine: AsyncEngine,
        consumers: tuple[AIOKafkaConsumer, AIOKafkaConsumer],
        producer: AIOKafkaProducer,
        stops: Stops | None = None,
    ) -> None:
        stops = stops or Stops()
        clock = make_clock(settings.clock)
        self._channels = channels
        self.reader = LedgerReader(engine)
        keys, lease = settings.keyring(), settings.dispatcher_lease_seconds
        self._ledger = Ledger(ledger_engine, lease_micros=int(lease * SECOND), keys=keys)
        changes, moves = LedgerChanges(engine, keys), Moves(engine)
        self.erasures = erasures_of(engine)
        addresses = PostgresAddresses(engine, make_quarantine(settings))
        self._reporter = Reporter(producer, self._ledger, settings, metrics)
        self._settler = Settler(self._ledger, addresses, self._reporter, clock, metrics)
        rules = make_rules(settings, clock)
        self._pace = Pace()
        providers = make_providers(settings, channels, metrics, self._pace)
        rates = PostgresRates(engine)
        self._lanes = {
            queue: Lane(
                queue,
                in_order(queue, providers, settings.dispatcher_fallbacks),
                ledger=self._ledger,
                rates=rates,
                addresses=addresses,
                settler=self._settler,
                rules=rules,
                metrics=metrics,
                stops=stops,
            )
            for queue in channels
        }
        self.housekeeping = Housekeeping(
            ledger=self._ledger,
            changes=changes,
            addresses=addresses,
            reader=self.reader,
            providers=providers,
            rules=rules,
            settler=self._settler,
            reporter=self._reporter,
            metrics=metrics,
            keep_days=settings.dispatcher_ledger_days,
            inbox=InboxStore(engine),
            moves=moves,
            inbox_days=settings.dispatcher_inbox_days,
        )
        self.intakes = [
            Intake(
                consumer,
                producer,
                urgent=urgent,
                ledger=self._ledger,
                changes=changes,
                moves=moves,
                erasures=self.erasures,
                lanes=self._lanes,
                rules=rules,
                settings=settings,
                metrics=metrics,
                intake_max=settings.dispatcher_intake_max,
                backlog_max=settings.dispatcher_backlog_max,
                backlog=self.housekeeping,
                pace=self._pace,
            )
            for urgent, consumer in zip((False, True), consumers, strict=True)
        ]
        self._on_retry = _retries(metrics)

    async def prepare(self) -> None:
        """Before `run`: let what waits for a queue of former settings fail by name."""
        adopted = await until_done(
            "adopt", lambda: self._ledger.adopt(list(self._lanes), NOBODY), self._on_retry
        )
        if adopted:
            _log.warning("sends wait for a channel that no setting names", count=adopted)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish what has begun: nothing new is claimed, outcomes
        reach the ledger, reports reach Kafka. A part that fails ends all of them.
        """
        async with asyncio.TaskGroup() as group:
            reporter = group.create_task(self._reporter.run())
            settler = group.create_task(self._settler.run())
            lanes = [group.create_task(lane.run()) for lane in self._lanes.values()]
            feeders = [
                group.create_task(self.housekeeping.run(stop)),
                group.create_task(self._pace.run(stop)),
                group.create_task(keep_swept(self.erasures, stop)),
                *(group.create_task(intake.run(stop)) for intake in self.intakes),
            ]
            await stop.wait()
            try:
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    await asyncio.gather(*feeders)
                    for lane in self._lanes.values():
                        lane.end()
                    await asyncio.gather(*lanes)
                    self._settler.end()
                    await settler
                    self._reporter.end()
                    await reporter
            except TimeoutError:
                _log.warning("stopped in the middle of sends", seconds=STOP_SECONDS_MAX)
                for task in (*feeders, *lanes, settler, reporter):
                    task.cancel()
        for served in self._channels.values():
            await served.channel.close()


def make_quarantine(settings: DispatcherSettings) -> Quarantine:
    """When an address is kept out, and how long."""
    return Quarantine(
        failures=settings.dispatcher_quarantine_failures,
        days=settings.dispatcher_quarantine_days,
    )


def make_rules(settings: DispatcherSettings, clock: Clock) -> Rules:
    """What the settings say about attempts, time and links."""
    return Rules(
        policy=Policy(
            attempts_max=settings.dispatcher_attempts_max,
            first_seconds=settings.dispatcher_retry_first_seconds,
            max_seconds=settings.dispatcher_retry_max_seconds,
            retry_after_seconds_max=settings.dispatcher_retry_after_max_seconds,
        ),
        when_unknown=settings.dispatcher_when_unknown,
        clock=clock,
        clock_mode=settings.clock,
        links=build_links(settings),
    )


def make_providers(
    settings: DispatcherSettings, channels: Mapping[str, Served], metrics: Metrics, pace: Pace
) -> dict[str, Provider]:
    """A provider for each queue, by its name.

    Raises:
        SystemExit: a rate or a fallback names a queue that is not served.
    """
    named = {
        *settings.dispatcher_rates,
        *settings.dispatcher_fallbacks,
        *settings.dispatcher_fallbacks.values(),
    }
    if unknown := sorted(named - channels.keys()):
        raise SystemExit(f"cuestream: no channel serves {', '.join(unknown)}")
    policy = BreakerPolicy(
        failures=settings.dispatcher_breaker_failures,
        open_seconds=settings.dispatcher_breaker_seconds,
    )
    return {
        queue: Provider(
            queue,
            served.channel,
            concurrency=served.concurrency,
            rate=settings.dispatcher_rates.get(queue),
            breaker=policy,
            metrics=metrics,
            pace=pace,
        )
        for queue, served in channels.items()
    }


def in_order(
    queue: str, providers: Mapping[str, Provider], fallbacks: Mapping[str, str]
) -> list[Provider]:
    """Who sends for a queue: its own provider, then those that stand in, each once."""
    names = [queue]
    while (following := fallbacks.get(names[-1])) is not None and following not in names:
        names.append(following)
    return [providers[name] for name in names]


async def main(settings: DispatcherSettings, stop: asyncio.Event) -> None:
    """Serve health from the first moment, and dispatch as soon as everything is there."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        engine = make_engine(settings, application=f"cuestream {SERVICE}")
        stack.push_async_callback(engine.dispose)
        ledger_engine = make_ledger_engine(settings)
        stack.push_async_callback(ledger_engine.dispose)
        channels = build_channels(settings, engine)
        reader = LedgerReader(engine)
        health = Health(ready={"start": lambda: "not connected yet"})
        front = Front(settings, engine, metrics=metrics, health=health)
        async with asyncio.TaskGroup() as group:
            group.create_task(
                serve(front.app, host=settings.host, port=settings.dispatcher_port, stop=stop)
            )
            _log.info("listening", host=settings.host, port=settings.dispatcher_port)
            clients = await _unless(stop, _connect(settings, reader, metrics, stack))
            if clients is None:
                return
            changes = LedgerChanges(engine)
            front.receipts.attach(
                KafkaEvents(clients[0], settings), changes, Withdrawals(engine, changes)
            )
            group.create_task(front.streams.run(engine, stop))
            if front.bounce_folder is not None:
                group.create_task(front.bounce_folder.run(stop))
            stops = Stops()
            switch = StopsReader(settings, stops, metrics, _retries(metrics))
            stack.push_async_callback(switch.close)
            await _unless(stop, until_done("read_stops", switch.load, _retries(metrics)))
            group.create_task(_unless(stop, switch.run()))
            dispatcher = Dispatcher(
                settings,
                channels=channels,
                metrics=metrics,
                engine=engine,
                ledger_engine=ledger_engine,
                producer=clients[0],
                consumers=clients[1],
                stops=stops,
            )
            await _unless(stop, dispatcher.prepare())
            del health.ready["start"]
            health.ready["database"] = lambda: dispatcher.housekeeping.problem
            for intake, name in zip(dispatcher.intakes, ("commands", "urgent"), strict=True):
                health.ready[name] = intake.problem
            await dispatcher.run(stop)


async def _connect(
    settings: DispatcherSettings, reader: LedgerReader, metrics: Metrics, stack: AsyncExitStack
) -> tuple[AIOKafkaProducer, tuple[AIOKafkaConsumer, AIOKafkaConsumer]]:
    """Wait for the ledger, the topics and the broker; the clients are stopped by `stack`."""
    on_retry = _retries(metrics)
    topics = (COMMANDS, URGENT_COMMANDS, EVENTS, DEAD_LETTERS, DEFINITIONS)
    await until_done("find_ledger", reader.require, on_retry)
    await until_done("find_topics", lambda: require_topics(settings, topics), on_retry)
    producer = await until_done(
        "start_producer", lambda: _started(make_producer(settings)), on_retry
    )
    stack.push_async_callback(producer.stop)
    # Together: each waits for its group to agree on who reads what.
    async with asyncio.TaskGroup() as group:
        starting = [
            group.create_task(_consumer(settings, name, topic, on_retry, stack))
            for name, topic in READS
        ]
    return producer, (starting[0].result(), starting[1].result())


async def _consumer(
    settings: DispatcherSettings,
    group: str,
    topic: Topic,
    on_retry: Callable[[str], None],
    stack: AsyncExitStack,
) -> AIOKafkaConsumer:
    consumer = await until_done(
        "start_consumer", partial(_start_consumer, settings, group, topic), on_retry
    )
    stack.push_async_callback(consumer.stop)
    return consumer


async def _start_consumer(
    settings: DispatcherSettings, group: str, topic: Topic
) -> AIOKafkaConsumer:
    return await _started(make_consumer(settings, topic, group=group))


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None if `stop` comes first: then it is cancelled."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


class _Startable(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


C = TypeVar("C", bound=_Startable)


async def _started(client: C) -> C:
    try:
        await client.start()
    except asyncio.CancelledError:
        await client.stop()
        raise
    except KAFKA_ERRORS as error:
        await client.stop()
        raise Transient(f"broker: {type(error).__name__}") from error
    return client


def _retries(metrics: Metrics) -> Callable[[str], None]:
    counter = metrics.counter(RETRIES)
    return lambda operation: counter.labels(operation=operation).inc()


def run() -> int:
    """Entry point of `python -m services.dispatcher`."""
    settings = load(DispatcherSettings)
    return run_process(SERVICE, settings, lambda stop: main(settings, stop))
