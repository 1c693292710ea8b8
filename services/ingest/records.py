"""The port through which ingest writes, and the in-memory adapter behind its tests."""

import asyncio
from typing import Protocol

from services.contracts.errors import Transient


class RecordLog(Protocol):
    """Where packs of events and dead letters are written.

    The adapters in this package pass one conformance suite
    (tests/ingest/test_record_logs.py).
    """

    def problem(self) -> str | None:
        """None when records can be written now, else one sentence; never blocks."""

    @property
    def partitions(self) -> int:
        """Partitions of `events`. Raises `Transient` while that is unknown."""

    async def append(self, partition: int, pack: bytes) -> "asyncio.Future[None]":
        """Give a pack its place in a partition, after all that was appended there before.

        May wait while the partition's buffer is full. The future resolves once all in-sync
        replicas have the record, or fails with `Transient`; the record may then exist all
        the same.

        Raises:
            Transient: the pack was not taken.
        """

    async def append_dead_letter(self, letter: bytes) -> "asyncio.Future[None]":
        """The same for the dead-letter topic."""


class MemoryLog:
    """Keeps records in lists. Acknowledgements can be held back or made to fail."""

    def __init__(self, partitions: int = 4) -> None:
        self.packs: list[list[bytes]] = [[] for _ in range(partitions)]
        self.dead_letters: list[bytes] = []
        self.failing: str | None = None
        self._held: list[asyncio.Future[None]] | None = None
        self._more = asyncio.Event()

    def problem(self) -> str | None:
        """Whatever `failing` says."""
        return self.failing

    @property
    def partitions(self) -> int:
        """As many as it was made with."""
        if self.failing is not None:
            raise Transient(self.failing)
        return len(self.packs)

    async def append(self, partition: int, pack: bytes) -> "asyncio.Future[None]":
        """Append to the partition's list."""
        return self._write(self.packs[partition], pack)

    async def append_dead_letter(self, letter: bytes) -> "asyncio.Future[None]":
        """Append to the list of dead letters."""
        return self._write(self.dead_letters, letter)

    async def written(self, count: int) -> None:
        """Wait until it holds this many records, acknowledged or not."""
        while sum(map(len, self.packs)) + len(self.dead_letters) < count:
            self._more.clear()
            await self._more.wait()

    def hold(self) -> None:
        """Records are written from now on, but not acknowledged before `release`."""
        self._held = []

    def release(self, error: str | None = None) -> None:
        """Acknowledge what was held back, or fail it with `error`."""
        held, self._held = self._held or [], None
        for ack in held:
            if error is None:
                ack.set_result(None)
            else:
                ack.set_exception(Transient(error))

    def _write(self, records: list[bytes], record: bytes) -> "asyncio.Future[None]":
        if self.failing is not None:
            raise Transient(self.failing)
        records.append(record)
        self._more.set()
        ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._held is None:
            ack.set_result(None)
        else:
            self._held.append(ack)
        return ack


def failure_of(ack: "asyncio.Future[None]") -> Transient | None:
    """What an ended acknowledgement says went wrong."""
    if ack.cancelled():
        return Transient("the record was given up")
    error = ack.exception()
    return error if error is None or isinstance(error, Transient) else Transient(repr(error))
