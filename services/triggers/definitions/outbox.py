"""The port to the outbox: what is published and has not reached Kafka yet."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from services.contracts.definitions import DefinitionRecord
from services.contracts.time import Micros


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Records to write for one revision, or (`announcement`) everything in force at it again.

    `ids` name what in the outbox it answers.
    """

    ids: tuple[int, ...]
    revision: int
    published_at: Micros
    records: tuple[DefinitionRecord, ...]
    announcement: bool = False


class Desk(Protocol):
    """Held by the one process that carries the outbox now. Every call may find that it no
    longer does and raise `Transient`.
    """

    async def newest(self) -> int:
        """The newest revision published, carried or not; 0 before the first."""

    async def next(self) -> Work | None:
        """An announcement, if one was asked for, of what is in force at the newest revision
        carried; else the oldest revision not carried yet; else None.

        The announcement comes first: on a log that lost everything, a revision's own records
        alone would look like all there is.
        """

    async def done(self, work: Work) -> None:
        """It stands in Kafka, acknowledged. Doing it twice changes nothing."""


class Outbox(Protocol):
    """What the relay needs of the database."""

    async def ask_for_announcement(self) -> None:
        """Have whoever carries the outbox write everything in force once more; before anything
        was carried it means nothing.
        """

    def leading(self) -> AbstractAsyncContextManager[Desk]:
        """Wait until nobody else carries the outbox, then carry it until left."""
