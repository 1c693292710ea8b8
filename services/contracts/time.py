"""Time as the project writes it down: integer microseconds since 1970-01-01T00:00:00Z.

Integers compare, subtract and encode exactly; `datetime` stands at the edges only (JSON in,
calendar arithmetic). A name ending in `_at` is an instant, one ending in a unit a duration.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

Micros = int

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_UNIT_MICROS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d|w)")
DURATION_PATTERN: Final = "^[1-9][0-9]{0,8}(s|m|h|d|w)$"
DURATION_MAX_MICROS: Final = 3660 * DAY
"""Ten years and a bit: longer windows are lifetimes, which are written by leaving them out."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> Micros:
    """Convert an aware `datetime` to microseconds since the epoch, exactly."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def from_micros(at: Micros) -> datetime:
    """Convert microseconds since the epoch to an aware UTC `datetime`, exactly.

    Raises:
        OverflowError: the instant lies outside the years 1 to 9999.
    """
    # Not fromtimestamp: it raises ValueError for some of these instants.
    return _EPOCH + timedelta(microseconds=at)


def parse_duration(text: str) -> int:
    """Read a duration such as `90s`, `15m`, `24h`, `30d`, `4w`; the result is in microseconds.

    Raises:
        ValueError: the text is not a whole number with one of the units s, m, h, d, w, or is
            longer than ten years.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a whole number and s, m, h, d or w")
    micros = int(match[1]) * _UNIT_MICROS[match[2]]
    if micros > DURATION_MAX_MICROS:
        raise ValueError(f"{text!r} is longer than ten years")
    return micros
