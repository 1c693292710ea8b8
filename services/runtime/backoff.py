"""Exponential backoff with full jitter, as numbers: whoever waits does the sleeping."""

from collections.abc import Callable, Iterator


def delays(
    *,
    first_seconds: float,
    max_seconds: float,
    attempts_max: int,
    random: Callable[[], float],
) -> Iterator[float]:
    """Yield `attempts_max` waits, each uniform in (0, min(max, first * 2**n)].

    `random` gives a number in [0, 1). Full jitter spreads clients that failed together
    (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
    """
    for attempt in range(attempts_max):
        yield (1.0 - random()) * min(max_seconds, first_seconds * 2.0**attempt)
