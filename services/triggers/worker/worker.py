"""The worker: lanes for the partitions it owns, fed by Faust, told of every change of hands."""

import asyncio
import time
from typing import Final

from services.runtime.batch.app import BatchApp
from services.runtime.batch.consumer import BatchMessage
from services.runtime.batch.states import States
from services.runtime.logs import get_logger
from services.triggers.worker.delivery import Delivery
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.figures import Figures
from services.triggers.worker.fold import PartitionFold
from services.triggers.worker.lane import Lane
from services.triggers.worker.rulebook import Rulebook

FIGURES_SECONDS: Final = 1.0

_log = get_logger(__name__)


class Worker:
    """Holds a lane for each active partition. `attach` it to its app before starting that."""

    def __init__(
        self,
        engine: Engine,
        states: States,
        rulebook: Rulebook,
        figures: Figures,
        *,
        topic: str,
        partitions: int,
        replay: bool,
    ) -> None:
        self._engine = engine
        self._states = states
        self._rulebook = rulebook
        self._figures = figures
        self._topic = topic
        self._partitions = partitions
        self._replay = replay
        self._lanes: dict[int, Lane] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._app: BatchApp
        self._delivery: Delivery
        self._recovered = False

    def attach(self, app: BatchApp, delivery: Delivery) -> None:
        """Say whom it works for."""
        self._app = app
        self._delivery = delivery

    @property
    def owned(self) -> list[int]:
        """The partitions that are its own now; none while they change hands."""
        return sorted(self._lanes) if self._app.flowing and self._recovered else []

    @property
    def ready(self) -> str | None:
        """None once its partitions are assigned and recovered, else what is missing."""
        if not self._recovered:
            return "partitions are not assigned and recovered yet"
        if not self._app.flowing:
            return "partitions are changing hands"
        return None

    async def handle(self, message: BatchMessage) -> None:
        """Take one batch from Faust; returns when there is room for the next."""
        await self._lanes[message.partition].put(message)

    def on_recovered(self, active: frozenset[int]) -> None:
        """The states of these partitions are complete, and nothing flows yet."""
        for partition in set(self._lanes) - active:
            closing = asyncio.create_task(self._lanes.pop(partition).close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._figures.forget(partition)
        for partition in sorted(active):
            lane = self._lanes.get(partition)
            if lane is None or lane.fold.states is not self._states[partition]:
                self._lanes[partition] = self._lane(partition)
            else:
                lane.fold.recovered()
        self._recovered = True
        self._report()
        people = sum(lane.fold.people for lane in self._lanes.values())
        _log.info("partitions recovered", partitions=sorted(active), people=people)

    def _lane(self, partition: int) -> Lane:
        states = self._states[partition]
        fold = PartitionFold(
            states,
            self._engine,
            topic=self._topic,
            partition=partition,
            partitions=self._partitions,
            replay=self._replay,
            keys=self._app.sealing.keys,
        )
        return Lane(
            fold,
            self._delivery,
            self._rulebook,
            self,
            partition=partition,
            written=states.written,
            failed=self._app.crash,
        )

    # What its lanes say of their batches.

    @property
    def flowing(self) -> bool:
        """Whether batches may be processed now."""
        return self._app.flowing

    def processed(self, message: BatchMessage) -> None:
        """All of it is durable."""
        self._app.consumer.processed(message)

    def abandoned(self, message: BatchMessage) -> None:
        """Whoever owns the partition next reads it again."""
        self._app.consumer.abandoned(message)

    async def report(self) -> None:
        """Keep the gauges up to date until cancelled."""
        while True:
            await asyncio.sleep(FIGURES_SECONDS)
            if self._app.flowing:
                self._report()

    def _report(self) -> None:
        pending = overdue = 0
        now = time.time_ns() // 1000
        for partition, lane in self._lanes.items():
            late = 0 if self._replay else lane.fold.timers.overdue(now)
            overdue += late
            pending += len(lane.fold.timers) - late
            self._figures.partition(
                partition,
                lag=self._lag(partition),
                people=lane.fold.people,
                revision=lane.fold.meta.revision,
            )
        self._figures.timers({"pending": pending, "overdue": overdue})

    def _lag(self, partition: int) -> int | None:
        return self._app.lag(self._topic, partition)

    async def close(self) -> None:
        """End the lanes; after the app has stopped."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        self._lanes.clear()
