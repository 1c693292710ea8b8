"""Waiting until a stack has worked off what was given to it, bounded by lack of progress."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import httpx
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli import collect
from services.contracts.errors import CuestreamError, Transient
from services.contracts.metrics import DEFINITIONS_REVISION
from services.contracts.topics import Topic
from services.runtime.kafka import make_consumer, topic_name
from services.runtime.settings import KafkaSettings

STALL_SECONDS_MAX: Final = 60.0
"""Without any progress for so long, what is waited for will not come."""
POLL_SECONDS: Final = 0.1

Check = Callable[[], Awaitable[str | None]]
"""None once it is so, else one sentence with the numbers that should change."""


class Stalled(CuestreamError):
    """Something did not come about, and nothing moved any more."""


async def until(check: Check, *, stall_seconds_max: float = STALL_SECONDS_MAX) -> None:
    """Wait until the check gives None.

    Raises:
        Stalled: it said the same for too long.
    """
    said: str | None = None
    since = time.monotonic()
    while (says := await check()) is not None:
        now = time.monotonic()
        if says != said:
            said, since = says, now
        elif now - since > stall_seconds_max:
            raise Stalled(f"no progress for {stall_seconds_max:.0f} s: {says}")
        await asyncio.sleep(POLL_SECONDS)


class Watch:
    """Reads a consumer group's committed offsets without being a member of it."""

    def __init__(self, settings: KafkaSettings, group: str, topic: Topic) -> None:
        self._what = f"{group} on {topic.name}"
        self._name = topic_name(settings, topic)
        self._consumer = make_consumer(settings, group=group)
        self._count = topic.partitions or settings.partitions

    async def start(self) -> None:
        """Connect; raises `Transient`."""
        try:
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            raise Transient(f"{self._what}: {error!r}") from error
        self._consumer.assign([TopicPartition(self._name, n) for n in range(self._count)])

    async def behind(self, ends: Mapping[int, int]) -> str | None:
        """None once everything before `ends` is committed; raises `Transient`."""
        left = 0
        for partition, end in ends.items():
            try:
                done = await self._consumer.committed(TopicPartition(self._name, partition))
            except (KafkaError, OSError) as error:
                raise Transient(f"{self._what}: {error!r}") from error
            left += max(0, end - (done or 0))
        return f"{self._what} has {left} records to go" if left else None

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()


async def in_force(
    client: httpx.AsyncClient, workers: Iterable[str], revision: int, partitions: int
) -> str | None:
    """None once the workers decide under `revision` in every partition."""
    known = await collect.counter(client, workers, DEFINITIONS_REVISION)
    reached = sum(value >= revision for value in known.values())
    if reached >= partitions:
        return None
    return f"revision {revision} is in force in {reached} of {partitions} partitions"


async def reported(engine: AsyncEngine, sends: int) -> str | None:
    """None once the dispatcher has reported what became of so many sends."""
    states, told = await collect.ledger(engine)
    if told >= sends:
        return None
    return f"{told} of {sends} sends are reported back ({states})"
