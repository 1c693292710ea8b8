"""A batch of records into the store: decoded, bounded retries, bad ones to the dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from services.contracts.command import Erased
from services.contracts.errors import Malformed
from services.contracts.metrics import PROFILE_UPSERTS
from services.contracts.profile import Profile
from services.profile_store.decoding import decode_profile
from services.profile_store.profiles import Profiles
from services.profile_store.storing import DeadLetters, Record, Storing
from services.runtime.erasing import erased_of
from services.runtime.metrics import Metrics

Forget = Callable[[Erased], Awaitable[None]]
"""Forgets a person; raises `Transient`."""


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
        forget: Forget,
        dead_letters: DeadLetters,
        metrics: Metrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._profiles = profiles
        self._forget = forget
        self._storing = Storing(dead_letters, metrics, sleep=sleep)
        self._turn = asyncio.Lock()
        self._upserts = metrics.counter(PROFILE_UPSERTS)

    async def store(self, records: Sequence[Record]) -> None:
        """Store a batch, or bury what can never be stored.

        Batches are stored one after the other: what came before an erasure may not come back.

        Raises:
            Transient: the database or the broker stayed away for `ATTEMPTS_MAX` tries.
        """
        read = [(record, _read(record)) for record in records]
        async with self._turn:
            good: list[_Read] = []
            for record, found in read:
                if isinstance(found, Profile):
                    good.append(_Read(record, found))
                elif isinstance(found, Malformed):
                    await self._bury(record, found)
                else:
                    await self._put_all(good)
                    good = []
                    await self._erase(found)
            await self._put_all(good)

    async def _erase(self, erased: Erased) -> None:
        await self._storing.retrying("erase", lambda: self._forget(erased))
        self._upserts.labels("erased").inc()

    async def _put_all(self, batch: Sequence[_Read]) -> None:
        if batch:
            await self._put(batch)

    async def _put(self, batch: Sequence[_Read]) -> None:
        profiles = [read.profile for read in batch]
        try:
            done = await self._storing.retrying("profiles", lambda: self._profiles.put(profiles))
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
        await self._storing.bury(record, error)
        self._upserts.labels("dead_letter").inc()


def _read(record: Record) -> Profile | Erased | Malformed:
    try:
        if record.value is None:
            erased = erased_of(record.headers, record.key)
            if erased is not None:
                return erased
        return decode_profile(record.value)
    except Malformed as error:
        return error
