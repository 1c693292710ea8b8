"""Writing out what the fold led to: outputs, then states, each acknowledged before the next."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    PROFILES,
    QUALITY,
    URGENT_COMMANDS,
)
from services.runtime.batch.writer import BatchWriter
from services.runtime.kafka import topic_name
from services.runtime.settings import KafkaSettings
from services.triggers.worker.figures import Figures
from services.triggers.worker.lease import Lease
from services.triggers.worker.reading import META_KEY
from services.triggers.worker.values import Flush

DEAD_LETTER_PARTITION: Final = 0
_META: Final = META_KEY.encode()


class Delivery:
    """Writes the flushes of all partitions. One flush of a partition at a time."""

    def __init__(
        self,
        writer: BatchWriter,
        settings: KafkaSettings,
        *,
        changelog: str,
        lease: Lease,
        figures: Figures,
    ) -> None:
        self._writer = writer
        self._commands = topic_name(settings, COMMANDS)
        self._urgent = topic_name(settings, URGENT_COMMANDS)
        self._decisions = topic_name(settings, DECISIONS)
        self._profiles = topic_name(settings, PROFILES)
        self._events = topic_name(settings, EVENTS)
        self._quality = topic_name(settings, QUALITY)
        self._letters = topic_name(settings, DEAD_LETTERS)
        self._changelog = changelog
        self._lease = lease
        self._figures = figures

    async def deliver(
        self, partition: int, flush: Flush, written: Callable[[int], None], since: float
    ) -> None:
        """Write one flush; returns when everything is acknowledged.

        `written` hears the changelog's last offset. `since` is the monotonic time at which
        the batch was taken up.

        Raises:
            KafkaError: not acknowledged; the caller stops without committing.
            LeaseLost: the partition may be another worker's by now.
        """
        if flush.has_outputs:
            with self._lease.held():
                await asyncio.gather(*self._writes(partition, flush))
        for records in (flush.states, [] if flush.meta is None else [(_META, flush.meta)]):
            if records:
                with self._lease.held():
                    last = await self._writer.write(self._changelog, partition, records)
                if last is not None:
                    written(last)
        self._figures.count(flush, time.monotonic() - since)

    def _writes(self, partition: int, flush: Flush) -> Iterator[Coroutine[Any, Any, object]]:
        write = self._writer.write
        if flush.commands or flush.urgent or flush.notices:
            yield self._write_commands(partition, flush)
        if flush.decisions:
            yield write(self._decisions, partition, flush.decisions)
        if flush.profiles or flush.tombstones:
            yield self._write_profiles(partition, flush)
        if flush.quality:
            yield write(self._quality, partition, flush.quality)
        if flush.letters:
            yield write(self._letters, DEAD_LETTER_PARTITION, flush.letters)
        for target, hops in flush.hops.items():
            yield self._writer.write_headed(self._events, target, hops)

    async def _write_profiles(self, partition: int, flush: Flush) -> None:
        if flush.profiles:
            await self._writer.write(self._profiles, partition, flush.profiles)
        if flush.tombstones:
            await self._writer.write_headed(self._profiles, partition, flush.tombstones)

    async def _write_commands(self, partition: int, flush: Flush) -> None:
        # Together, but what is told of commands stands behind all of them.
        await asyncio.gather(
            *(
                self._writer.write(topic, partition, records)
                for topic, records in (
                    (self._commands, flush.commands),
                    (self._urgent, flush.urgent),
                )
                if records
            )
        )
        for topic, notices in ((self._urgent, flush.notices), (self._commands, flush.erased)):
            if notices:
                await self._writer.write_headed(topic, partition, notices)
        self._figures.commands_acknowledged(flush.origins)
