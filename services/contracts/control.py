"""Records that move time and rules through the log of every partition."""

import msgspec

from services.contracts.time import Micros


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """Time has come to `at` in this partition, though nothing else may have happened."""

    v: int = 1
    at: Micros


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """From this record's offset on, definitions of `revision` are in force in this partition."""

    v: int = 1
    revision: int
    at: Micros
