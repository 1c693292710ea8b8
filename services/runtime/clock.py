"""The two clocks of the shells; the engine has none."""

import time
from typing import Literal, Protocol

from services.contracts.time import Micros

ClockMode = Literal["wall", "replay"]


class Clock(Protocol):
    """Gives the time at which something enters the log."""

    def stamp(self, claimed_at: Micros | None) -> Micros:
        """Time to stamp on a record whose producer claims `claimed_at`, in microseconds."""


class WallClock:
    """Live: the machine's time; claims are ignored."""

    def stamp(self, claimed_at: Micros | None) -> Micros:
        """Now."""
        return time.time_ns() // 1000


class ReplayClock:
    """History fed in at any speed: time is what the records say, else the machine's."""

    def stamp(self, claimed_at: Micros | None) -> Micros:
        """The claim itself."""
        return time.time_ns() // 1000 if claimed_at is None else claimed_at


def make_clock(mode: ClockMode) -> Clock:
    """The clock for the setting `CUESTREAM_CLOCK`."""
    return WallClock() if mode == "wall" else ReplayClock()
