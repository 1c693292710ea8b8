"""A batch of records into the store: decoded, bounded retries, bad ones to the dead letters."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

import msgspec
from aiokafka import ConsumerRecord

from services.contracts.deadletter import DeadLetter
from services.contracts.errors import Malformed, Transient
from services.contracts.metrics import DEAD_LETTERS, PROFILE_UPSERTS, RETRIES
from services.contracts.profile import Profile
from services.profile_store.decoding import decode_profile
from services.profile_store.profiles import Profiles
from services.runtime.backoff import delays
from services.runtime.dead_letters import dead_letter_of
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics

ORIGIN: Final = "profile-store"
ATTEMPTS_MAX: Final = 60
RETRY_FIRST_SECONDS: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
T = TypeVar("T")

_log = get_logger(__name__)


class DeadLetters(Protocol):
    """Where dead letters go."""

    async def __call__(self, letter: DeadLetter) -> None:
        """Keep one durably; raises `Transient`."""


class _Read(msgspec.Struct, frozen=True):
    record: Record
    profile: Profile


class Intake:
    """Stores batches. When `store` returns, all of the batch is durable somewhere.

    Storing the same records again changes nothing but may repeat a dead letter: whoever
    reads them tells repeats apart by topic, partition and offset.
    """

    def __init__(
        self,
        profiles: Profiles,
        dead_letters: DeadLetters,
        metrics: Metrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._profiles = profiles
        self._dead_letters = dead_letters
        self._sleep = sleep
        self._upserts = metrics.counter(PROFILE_UPSERTS)
        self._dead = metrics.counter(DEAD_LETTERS)
        self._retries = metrics.counter(RETRIES)

    async def store(self, records: Sequence[Record]) -> None:
        """Store a batch, or bury what can never be stored.

        Raises:
            Transient: the database or the broker stayed away for `ATTEMPTS_MAX` tries.
        """
        good: list[_Read] = []
        for record in records:
            try:
                good.append(_Read(record, decode_profile(record.value)))
            except Malformed as error:
                await self._bury(record, error)
        if good:
            await self._put(good)

    async def _put(self, batch: Sequence[_Read]) -> None:
        profiles = [read.profile for read in batch]
        try:
            done = await self._retrying("profiles", lambda: self._profiles.put(profiles))
        except Malformed as error:
            if len(batch) == 1:
                await self._bury(batch[0].record, error)
                return
            # Halving finds the bad one in a few steps and stores all others.
            middle = len(batch) // 2
            await self._put(batch[:middle])
            await self._put(batch[middle:])
            return
        self._upserts.labels("written").inc(done.written)
        self._upserts.labels("stale").inc(done.stale)

    async def _bury(self, record: Record, error: Malformed) -> None:
        letter = dead_letter_of(record, error, origin=ORIGIN)
        await self._retrying("dead_letters", lambda: self._dead_letters(letter))
        self._dead.labels(ORIGIN, error.code).inc()
        self._upserts.labels("dead_letter").inc()
        _log.warning(
            "dead letter", code=error.code, partition=record.partition, offset=record.offset
        )

    async def _retrying(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        waits = delays(
            first_seconds=RETRY_FIRST_SECONDS,
            max_seconds=RETRY_SECONDS_MAX,
            attempts_max=ATTEMPTS_MAX,
            random=random.random,
        )
        while True:
            try:
                return await work()
            except Transient as error:
                wait = next(waits, None)
                if wait is None:
                    raise
                self._retries.labels(operation).inc()
                _log.warning("trying again", operation=operation, error=str(error))
                await self._sleep(wait)
