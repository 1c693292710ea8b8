"""What a person's state remembers of numbers that were judged: distributions, and what is held."""

import msgspec

from services.contracts.time import Micros


class Figures(msgspec.Struct, array_like=True, gc=False):
    """A running distribution: how many, their mean, the sum of squares of what they are off it."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0


class Held(msgspec.Struct, array_like=True, gc=False):
    """An event with outliers: fingerprint of its message id, name, time, properties (msgpack)."""

    key: int
    name: str
    at: Micros
    properties: bytes


class Weighed(msgspec.Struct, array_like=True, gc=False):
    """Distributions by the key of their rule, and what waits to be confirmed, oldest first."""

    figures: dict[int, Figures] = {}
    held: list[Held] = []
