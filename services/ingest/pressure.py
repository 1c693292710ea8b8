"""Bounds on what the process holds, and on how fast one client may send."""

import math
from collections.abc import Callable
from typing import Final

Monotonic = Callable[[], float]
"""Seconds of a clock that never goes back."""


class Pressure:
    """Counts what came from clients and has not left yet.

    Work is admitted while both counts stand below their bound, so that one request goes past
    a bound at most by its own size, which is bounded too.
    """

    def __init__(self, *, events_max: int, bytes_max: int) -> None:
        self.events = 0
        self.bytes = 0
        self._events_max: Final = events_max
        self._bytes_max: Final = bytes_max

    @property
    def is_full(self) -> bool:
        """Whether new work has to wait."""
        return self.events >= self._events_max or self.bytes >= self._bytes_max

    def add(self, *, events: int = 0, size: int = 0) -> None:
        """Count in."""
        self.events += events
        self.bytes += size

    def release(self, *, events: int = 0, size: int = 0) -> None:
        """Count out, exactly what was counted in."""
        self.events -= events
        self.bytes -= size


class TokenBucket:
    """`rate` units a second, saved up for at most `burst_seconds`.

    A taker may go into debt by one taking, so that a batch larger than the bucket passes
    once and is then waited for. Rate 0 never has anything.
    """

    def __init__(self, rate: float, *, monotonic: Monotonic, burst_seconds: float = 2.0) -> None:
        self._rate = rate
        self._most = rate * burst_seconds
        self._tokens = self._most
        self._monotonic = monotonic
        self._filled_at = monotonic()

    def take(self, amount: float) -> float:
        """Take `amount`; 0.0 if that was allowed, else the seconds to wait with nothing taken."""
        now = self._monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens <= 0.0:
            return math.inf if self._rate == 0 else (1.0 - self._tokens) / self._rate
        self._tokens -= amount
        return 0.0
