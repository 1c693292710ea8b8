"""A provider as the lanes see it: a channel with its limits and its circuit breaker."""

import time
from collections.abc import Callable
from typing import Final

from services.contracts.metrics import CIRCUIT_OPEN
from services.dispatcher.breaker import Breaker, BreakerPolicy
from services.dispatcher.channels.port import Accepted, Channel, Delayed, Message, Outcome, Refused
from services.dispatcher.pace import Pace
from services.runtime.metrics import Metrics

URGENT_SHARE: Final = 8
"""One in so many places is kept for urgent sends, where there are four or more."""
SHARED_FROM: Final = 4
TOGETHER_SHARE: Final = 8


class Provider:
    """At most `concurrency` attempts are under way, of bulk sends a few fewer.

    `rate` is sends a second of all dispatchers together, None for no limit. `on_room` are
    called whenever places may have become free. `pace` says when bulk has to use fewer yet.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        *,
        concurrency: int,
        rate: float | None,
        breaker: BreakerPolicy,
        metrics: Metrics,
        pace: Pace | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.channel = channel
        self.rate = rate
        self.on_room: list[Callable[[], None]] = []
        self._free = self._concurrency = concurrency
        self._pace = pace or Pace()
        self._kept = max(1, concurrency // URGENT_SHARE) if concurrency >= SHARED_FROM else 0
        self._breaker = Breaker(breaker)
        self._open = metrics.gauge(CIRCUIT_OPEN).labels(provider=name or "nobody")
        self._open.set(0)
        self._now = now

    @property
    def out_of_order(self) -> bool:
        """Whether others should stand in: its circuit has opened and not closed again."""
        return self._breaker.troubled

    @property
    def half(self) -> int:
        """Half of its places, one at least."""
        return max(1, self._concurrency // 2)

    @property
    def together(self) -> int:
        """For so many places it is worth to ask the ledger, or to write into it."""
        return max(1, self._concurrency // TOGETHER_SHARE)

    @property
    def bulk_room(self) -> int:
        """How many places are free for bulk."""
        return max(0, self._free - self._kept_now())

    @property
    def roomy(self) -> bool:
        """Whether bulk has room worth a question."""
        places = self._concurrency - self._kept_now()
        return self.bulk_room >= max(1, places // TOGETHER_SHARE)

    def reserve(self, wanted: int | None = None) -> int:
        """Take up to `wanted` places, all there are for None; `release` what is not used."""
        room = self._free if wanted is None else min(wanted, self._free)
        taken = self._breaker.allowed(self._now(), room)
        if taken:
            self._free -= taken
            self._breaker.begun()
        return taken

    def reserve_anyway(self) -> None:
        """Take a place for what is under way already, be there one or not."""
        self._free -= 1

    def bulk_of(self, reserved: int) -> int:
        """How many of so many places just reserved may be used for bulk sends."""
        return min(reserved, max(0, self._free + reserved - self._kept_now()))

    def _kept_now(self) -> int:
        return max(self._kept, self._concurrency - self._pace.places_of(self._concurrency))

    def release(self, places: int) -> None:
        """Give places back."""
        if not places:
            return
        self._free += places
        for call in self.on_room:
            call()

    def unused(self, places: int) -> None:
        """Give places back on which no attempt was made: nobody is told of such room."""
        if places:
            self._breaker.abandoned()
            self._free += places

    async def send(self, message: Message) -> Outcome:
        """One attempt, on a place reserved before; its outcome teaches the breaker."""
        outcome = await self.channel.send(message)
        now = self._now()
        if isinstance(outcome, Accepted | Refused):
            self._breaker.succeeded()
        else:
            self._breaker.failed(now)
            if isinstance(outcome, Delayed) and outcome.retry_after_seconds:
                self._breaker.pause(now, outcome.retry_after_seconds)
        self._open.set(int(self._breaker.troubled))
        return outcome

    def skipped(self) -> None:
        """The attempt ended before the provider was asked."""
        self._breaker.abandoned()
