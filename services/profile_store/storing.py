"""How every consumer of the profile store stores: bounded retries, bad records buried."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias, TypeVar

from aiokafka import ConsumerRecord

from services.contracts.deadletter import DeadLetter
from services.contracts.errors import Malformed, Transient
from services.contracts.metrics import DEAD_LETTERS, RETRIES
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


class Storing:
    """Tries again while a database or broker is away, and buries what can never be stored."""

    def __init__(
        self,
        dead_letters: DeadLetters,
        metrics: Metrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._dead_letters = dead_letters
        self._sleep = sleep
        self._dead = metrics.counter(DEAD_LETTERS)
        self._retries = metrics.counter(RETRIES)

    async def bury(self, record: Record, error: Malformed) -> None:
        """Put a record among the dead letters, with its reason. Raises `Transient`."""
        letter = dead_letter_of(record, error, origin=ORIGIN)
        await self.retrying("dead_letters", lambda: self._dead_letters(letter))
        self._dead.labels(ORIGIN, error.code).inc()
        _log.warning(
            "dead letter", code=error.code, partition=record.partition, offset=record.offset
        )

    async def retrying(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives at last.

        Raises:
            Transient: it failed `ATTEMPTS_MAX` times.
        """
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
