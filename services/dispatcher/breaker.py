"""The circuit breaker: a provider that only fails is left alone for a while. No clock in it."""

from typing import Final

import msgspec

from services.runtime.backoff import DOUBLINGS_MAX

OPEN_FACTOR_MAX: Final = 16
"""A provider that stays away is asked again after at most so many times the first wait."""


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Opens after `failures` in a row, at first for `open_seconds`."""

    failures: int
    open_seconds: float


class Breaker:
    """Closed: everything goes. Open: nothing, until its time is over. Then half open: one
    attempt at a time, whose success closes it and whose failure opens it for twice as long.

    Instants are seconds of any clock that does not jump. A provider's own wish to be left
    alone (`pause`) counts like an open circuit, without being a failure.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._openings = 0
        self._until = 0.0
        self._probing = False

    @property
    def troubled(self) -> bool:
        """Whether it has opened and not closed again."""
        return self._openings > 0

    def allowed(self, now: float, wanted: int) -> int:
        """How many of `wanted` attempts may begin."""
        if now < self._until:
            return 0
        if self._openings:
            return 0 if self._probing else min(1, wanted)
        return wanted

    def opens_at(self, now: float) -> float | None:
        """The instant from which attempts are allowed again, if that is to come."""
        return self._until if now < self._until else None

    def begun(self) -> None:
        """An attempt begins; half open, it is the one that everybody waits for."""
        self._probing = self._openings > 0

    def succeeded(self) -> None:
        """The provider works; a refusal of one message says so too."""
        self._failures = self._openings = 0
        self._probing = False

    def abandoned(self) -> None:
        """An attempt ended without having asked the provider."""
        self._probing = False

    def failed(self, now: float) -> None:
        """The provider was away, over its limits or silent."""
        probed, self._probing = self._probing, False
        self._failures += 1
        if now < self._until and not probed:
            return  # begun before it opened: nothing new
        if probed or self._failures >= self._policy.failures:
            factor = min(OPEN_FACTOR_MAX, 2 ** min(self._openings, DOUBLINGS_MAX))
            self._openings += 1
            self._until = now + self._policy.open_seconds * factor

    def pause(self, now: float, seconds: float) -> None:
        """Leave it alone as long as it asks, `open_seconds` at most: limits may be for one
        message only."""
        self._until = max(self._until, now + min(seconds, self._policy.open_seconds))
