"""One demo run against a stack that is up: apply, replay, wait, count.

How latency is measured: the wall time at which a request leaves the client against the
timestamp that Kafka's record of the send command bears. Simulated time has no part in it.
Most of the file goes in as fast as it is taken, which measures catching up; its end goes in
at a gentle pace, which measures live traffic.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import httpx
from aiokafka import AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli import collect, drain
from services.cli.definitions import apply, example_files, read_definitions
from services.cli.replay import Sender, chunks, send_paced, send_ticks
from services.cli.retail import Line, read_lines
from services.cli.stack import Stack
from services.cli.summary import Latency, Summary, latency
from services.contracts.metrics import EVENTS as EVENTS_FOLDED
from services.contracts.metrics import INGEST_EVENTS
from services.contracts.time import SECOND, Micros
from services.contracts.topics import EVENTS, PROFILES
from services.runtime.kafka import make_producer, topic_name
from services.runtime.topic_reading import ends_of

LANES: Final = 4
PACED_LINES_MAX: Final = 2_500
PACED_RATE: Final = 500.0
TRIGGERS_GROUP: Final = "triggers"
PROFILES_GROUP: Final = "profile-store"


class Demo:
    """One run against a stack that is up; the result is counted from what it left there."""

    def __init__(self, stack: Stack, engine: AsyncEngine, path: Path, lines: int) -> None:
        self._stack = stack
        self._engine = engine
        self._path = path
        self._lines = lines
        self._paced_from = lines - min(PACED_LINES_MAX, lines // 10)
        self._paced_ids: set[str] = set()
        self._settings = stack.kafka_settings
        self._client = httpx.AsyncClient(trust_env=False, timeout=10.0)
        self._sender = Sender(url=stack.ingest_url, write_key=stack.write_key, lanes=LANES)
        self._producer: AIOKafkaProducer = make_producer(self._settings)
        self._worker = drain.Watch(self._settings, TRIGGERS_GROUP, EVENTS)
        self._store = drain.Watch(self._settings, PROFILES_GROUP, PROFILES)
        self._ticked_to: Micros = 0
        self._started_at = 0.0
        self._loaded_events = 0
        self._loaded_seconds = 0.0

    async def run(self, say: Callable[[str], None], progress: Callable[[int], None]) -> Summary:
        """Apply the definitions, replay the file, wait for its last effect, count.

        Raises:
            CuestreamError: a part refuses or stalls; the message says which.
        """
        async with AsyncExitStack() as exit_:
            exit_.push_async_callback(self._client.aclose)
            exit_.push_async_callback(self._sender.close)
            exit_.push_async_callback(self._producer.stop)
            await self._producer.start()
            for watch in (self._worker, self._store):
                exit_.push_async_callback(watch.stop)
                await watch.start()
            say("putting the definitions in force")
            await self._put_in_force()
            say("replaying")
            self._started_at = time.monotonic()
            await self._replay(progress)
            say("waiting until every event is decided")
            await self._caught_up()
            say("waiting for deliveries and profiles")
            commands = await self._settle()
            say("counting")
            return await self._summary(commands)

    async def _put_in_force(self) -> None:
        definitions = read_definitions(example_files("retail"))
        applied = await apply(self._stack.api_url, self._stack.api_token, definitions)
        revision = applied.revision
        if revision is not None:
            await drain.until(
                lambda: drain.in_force(
                    self._client,
                    self._stack.triggers_urls,
                    revision,
                    self._settings.partitions,
                )
            )

    async def _replay(self, progress: Callable[[int], None]) -> None:
        sent = 0
        for chunk in chunks(read_lines(self._path)):
            paced = max(0, self._paced_from - sent)
            await self._sender.send(chunk.lines[:paced], progress)
            if rest := chunk.lines[paced:]:
                await self._pace(rest, progress)
            sent += len(chunk.lines)
            if chunk.tick_at:
                await self._tick(chunk.tick_at)

    async def _pace(self, lines: list[Line], progress: Callable[[int], None]) -> None:
        if not self._paced_ids:
            # What still waits from catching up would be measured as latency of live traffic.
            await self._caught_up()
        self._paced_ids.update(line.message_id for line in lines)
        await send_paced(self._sender, lines, PACED_RATE, progress)

    async def _tick(self, at: Iterable[Micros]) -> dict[int, int]:
        instants = [max(instant, self._ticked_to) for instant in at]
        self._ticked_to = max(self._ticked_to, *instants)
        topic = topic_name(self._settings, EVENTS)
        return await send_ticks(self._producer, topic, self._settings.partitions, instants)

    async def _until_decided(self, at: Iterable[Micros]) -> None:
        """Wait until the worker has committed everything written so far.

        A tick at the time already reached tells where the log ends.
        """
        offsets = await self._tick([*at, self._ticked_to])
        ends = {partition: offset + 1 for partition, offset in offsets.items()}
        await drain.until(lambda: self._worker.behind(ends))

    async def _caught_up(self) -> None:
        await self._until_decided(())
        if not self._loaded_events:
            self._loaded_seconds = time.monotonic() - self._started_at
            self._loaded_events = sum((await self._folded()).values())

    async def _folded(self) -> dict[str, int]:
        urls = self._stack.triggers_urls
        return collect.by_label(await collect.counter(self._client, urls, EVENTS_FOLDED))

    async def _settle(self) -> collect.Commanded:
        """Wait for the deliveries to come back into the log, and for the last profiles."""
        commands = await collect.commanded(self._settings)
        await drain.until(lambda: drain.reported(self._engine, len(commands.send_ids)))
        # Snapshots are written once a second a person: two seconds later none is held back.
        await self._until_decided([self._ticked_to + 2 * SECOND])
        ends = await ends_of(self._settings, PROFILES)
        await drain.until(lambda: self._store.behind(ends))
        return commands

    async def _summary(self, commands: collect.Commanded) -> Summary:
        logged = await collect.logged(self._settings)
        decided = await collect.decided(self._settings)
        letters = await collect.dead_letters(self._settings)
        ingest = collect.by_label(
            await collect.counter(self._client, [self._stack.ingest_url], INGEST_EVENTS)
        )
        ledger, _ = await collect.ledger(self._engine)
        stored = await collect.stored(self._engine)
        loaded, live = self._latencies(commands)
        return Summary(
            file=self._path.name,
            sent=self._lines,
            accepted=ingest.pop("accepted", 0),
            refused=ingest,
            logged=logged.events,
            folded=await self._folded(),
            dead_letters=dict(letters),
            people=stored.people,
            people_seen=len(logged.people),
            tag_values=stored.tag_values,
            messages_accepted=stored.messages_accepted,
            decisions={name: dict(outcomes) for name, outcomes in decided.outcomes.items()},
            caps=dict(decided.policies),
            sends={name: dict(channels) for name, channels in commands.sends.items()},
            commands_written_again=commands.written_again,
            ledger=ledger,
            deliveries=dict(Counter(logged.deliveries.values())),
            loaded_events=self._loaded_events,
            loaded_seconds=self._loaded_seconds,
            latency_loaded=loaded,
            latency_live=live,
        )

    def _latencies(self, commands: collect.Commanded) -> tuple[Latency, Latency]:
        loaded: list[float] = []
        live: list[float] = []
        for event_id, written_at in commands.at_once:
            left_at = self._sender.sent_at.get(event_id)
            if left_at is not None:
                samples = live if event_id in self._paced_ids else loaded
                samples.append((written_at - left_at) * 1000)
        return latency(loaded), latency(live)
