"""One person as the worker knows them, read from the topics for those who look at one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from services.contracts.errors import CuestreamError, Transient
from services.contracts.time import Micros
from services.contracts.topics import EVENTS
from services.runtime.kafka import partition_of
from services.runtime.sealing import Unopened
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import partitions_of
from services.triggers.definitions.values import NotFound
from services.triggers.engine import PersonState
from services.triggers.engine.explain import Explanation
from services.triggers.trial.from_topics import (
    MERGES_FOLLOWED_MAX,
    explain_from_topics,
    state_from_topic,
)

AT_ONCE_MAX: Final = 2
"""Reading a partition's states is work: others wait for their turn."""
WAITING_MAX: Final = 20
SECONDS_MAX: Final = 60.0

T = TypeVar("T")


class Lookup(Protocol):
    """Where one person's state is read.

    Raises (all methods):
        NotFound: nobody knows the person.
        Transient: the broker fails, or too many ask at once.
    """

    async def state(self, person: str) -> PersonState:
        """The person as the worker keeps them; of somebody merged, who they are now."""

    async def why(self, person: str, trigger: str, step: int | None) -> Explanation:
        """Why they did or did not get a trigger, under the definitions in force."""


class TopicLookup:
    """`Lookup` over the topics, so many at once and so long at most."""

    def __init__(self, settings: KafkaSettings, now: Callable[[], Micros]) -> None:
        self._settings = settings
        self._now = now
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._waiting = 0

    async def state(self, person: str) -> PersonState:
        """See the port."""
        return await self._bounded(lambda: self._state(person))

    async def why(self, person: str, trigger: str, step: int | None) -> Explanation:
        """See the port."""
        now = 0 if self._settings.clock == "replay" else self._now()
        return await self._bounded(
            lambda: explain_from_topics(self._settings, person, trigger, now=now, step=step)
        )

    async def _state(self, person: str) -> PersonState:
        partitions = await partitions_of(self._settings, EVENTS)
        settings = self._settings.model_copy(update={"partitions": partitions})
        for _ in range(1 + MERGES_FOLLOWED_MAX):
            state = await state_from_topic(
                settings, person, partition_of(person.encode(), partitions)
            )
            if state.merged_into is None:
                break
            person = state.merged_into
        return state

    async def _bounded(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._waiting >= WAITING_MAX:
            raise Transient("too many look at people: try again", retry_after_seconds=5.0)
        self._waiting += 1
        try:
            async with self._turns, asyncio.timeout(SECONDS_MAX):
                return await work()
        except TimeoutError as error:
            raise Transient("the topics could not be read in time") from error
        except Transient:
            raise
        except Unopened as error:
            raise Transient(str(error)) from error
        except CuestreamError as error:
            raise NotFound(str(error)) from error
        finally:
            self._waiting -= 1
