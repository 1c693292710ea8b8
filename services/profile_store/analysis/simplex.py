"""The downhill simplex of Nelder & Mead (1965, The Computer Journal 7): least of a function.

Few parameters and no derivatives are all that the models here need, at no dependency.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

STEPS_MAX: Final = 2_000
RESTARTS_MAX: Final = 4
"""A simplex can shrink where it should not: it is spread again until that gains nothing."""
FIRST_STEP: Final = 0.5
TOLERANCE: Final = 1e-9
GAIN_MIN: Final = 1e-7

Point = tuple[float, ...]


class Least(msgspec.Struct, frozen=True, kw_only=True):
    """Where the function is least and what it is there; `settled` is False where the steps
    were used up first."""

    at: Point
    value: float
    settled: bool


def least(function: Callable[[Point], float], start: Point) -> Least:
    """Walk downhill from `start`; the function may be infinite, but not at `start`.

    Deterministic: the same function gives the same point.
    """
    best = _walk(function, start)
    for _ in range(RESTARTS_MAX):
        again = _walk(function, best.at)
        gain = best.value - again.value
        best = again if gain > 0 else best
        if gain <= GAIN_MIN * (1 + abs(best.value)):
            break
    return best


def _walk(function: Callable[[Point], float], start: Point) -> Least:
    moved = [
        tuple(x + FIRST_STEP * (n == place) for n, x in enumerate(start))
        for place in range(len(start))
    ]
    corners = sorted((function(point), point) for point in (start, *moved))
    for _ in range(STEPS_MAX):
        if corners[-1][0] - corners[0][0] <= TOLERANCE * (1 + abs(corners[0][0])):
            return Least(at=corners[0][1], value=corners[0][0], settled=True)
        _step(function, corners)
        corners.sort()
    return Least(at=corners[0][1], value=corners[0][0], settled=False)


def _step(function: Callable[[Point], float], corners: list[tuple[float, Point]]) -> None:
    """Replace the worst corner, or shrink all towards the best."""
    worst, best = corners[-1], corners[0]
    centre = _mean([point for _, point in corners[:-1]])

    def moved(by: float) -> tuple[float, Point]:
        point = tuple(c + by * (c - w) for c, w in zip(centre, worst[1], strict=True))
        return function(point), point

    reflected = moved(1.0)
    if reflected[0] < best[0]:
        corners[-1] = min(reflected, moved(2.0))
    elif reflected[0] < corners[-2][0]:
        corners[-1] = reflected
    else:
        inside = moved(0.5 if reflected[0] < worst[0] else -0.5)
        if inside[0] < min(reflected[0], worst[0]):
            corners[-1] = inside
        else:
            for place in range(1, len(corners)):
                point = _mean([best[1], corners[place][1]])
                corners[place] = function(point), point


def _mean(points: Sequence[Point]) -> Point:
    return tuple(sum(axis) / len(points) for axis in zip(*points, strict=True))
