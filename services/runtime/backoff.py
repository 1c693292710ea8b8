"""Exponential backoff with full jitter, as numbers: whoever waits does the sleeping."""

from collections.abc import Callable, Iterator
from typing import Final

DOUBLINGS_MAX: Final = 60


def delay(
    attempt: int, *, first_seconds: float, max_seconds: float, random: Callable[[], float]
) -> float:
    """The wait after failed attempt `attempt` (from 0): uniform in (0, min(max, first * 2**n)].

    `random` gives a number in [0, 1). Full jitter spreads clients that failed together
    (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
    """
    doublings = min(attempt, DOUBLINGS_MAX)
    return (1.0 - random()) * min(max_seconds, first_seconds * 2.0**doublings)


def delays(
    *,
    first_seconds: float,
    max_seconds: float,
    attempts_max: int,
    random: Callable[[], float],
) -> Iterator[float]:
    """Yield the `attempts_max` waits of a bounded series of attempts (see `delay`)."""
    for attempt in range(attempts_max):
        yield delay(attempt, first_seconds=first_seconds, max_seconds=max_seconds, random=random)
