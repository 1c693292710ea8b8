"""Carries published revisions from the outbox to the log, in order, at least once.

For each revision: the definition records, acknowledged; then the marker in every partition,
acknowledged; then done. A crash anywhere repeats the revision whole, which changes nothing
for readers: the records are the same bytes and a marker of a revision already in force is
ignored.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from services.contracts.control import Marker
from services.contracts.errors import Transient
from services.runtime.backoff import delays
from services.runtime.logs import get_logger
from services.triggers.definitions.announcing import Announcer
from services.triggers.definitions.outbox import Desk, Outbox, Work

RETRY_FIRST_SECONDS: Final = 0.1
RETRY_MAX_SECONDS: Final = 5.0
RETRY_STEPS_MAX: Final = 8
"""After so many doublings the wait stays at its longest; the relay itself never gives up,
since what is published has to arrive."""

_log = get_logger(__name__)


class Relay:
    """One of these runs in each API process; the outbox lets one of them work at a time.

    A session begins by asking for an announcement of everything in force. That heals what
    may have happened to the topic since: a volatile broker that lost it, or a late write of
    a process that had lost the lock and put an older version behind a newer one.

    `on_retry` is called for each failed session. `problem` says why the last one failed, None
    once one works. Any error but `Transient` comes out of `run`.
    """

    def __init__(
        self,
        outbox: Outbox,
        announcer: Announcer,
        *,
        poll_seconds: float,
        random: Callable[[], float],
        on_retry: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._announcer = announcer
        self._poll_seconds = poll_seconds
        self._random = random
        self._on_retry = on_retry
        self.problem: str | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        waits = self._waits()
        while True:
            try:
                await self._session()
            except Transient as error:
                if self.problem is None:
                    waits = self._waits()
                self.problem = str(error)
                self._on_retry()
                _log.warning("definitions wait in the outbox", reason=self.problem)
                await asyncio.sleep(next(waits, RETRY_MAX_SECONDS))

    def _waits(self) -> Iterator[float]:
        return delays(
            first_seconds=RETRY_FIRST_SECONDS,
            max_seconds=RETRY_MAX_SECONDS,
            attempts_max=RETRY_STEPS_MAX,
            random=self._random,
        )

    async def _session(self) -> None:
        await self._outbox.ask_for_announcement()
        async with self._outbox.leading() as desk:
            try:
                await self._announcer.open()
                await self._refuse_older_database(desk)
                while True:
                    work = await desk.next()
                    self.problem = None
                    if work is None:
                        await asyncio.sleep(self._poll_seconds)
                    else:
                        await self._carry(desk, work)
            finally:
                await self._announcer.close()

    async def _refuse_older_database(self, desk: Desk) -> None:
        """Workers ignore markers up to the revision they know: what a database published that
        was restored or begun anew beside an older log would be lost without a word.
        """
        head, newest = await self._announcer.head(), await desk.newest()
        if head > newest:
            raise Transient(
                f"the log stands at revision {head}, the database only at {newest}: it was "
                "restored from a backup or belongs to another log"
            )

    async def _carry(self, desk: Desk, work: Work) -> None:
        await self._announcer.write_definitions(work.records)
        await self._announcer.write_marker(Marker(revision=work.revision, at=work.published_at))
        await desk.done(work)
        _log.info(
            "definitions announced",
            revision=work.revision,
            records=len(work.records),
            again=work.announcement,
        )
