"""Instants as clients write them, read into the project's microseconds."""

from datetime import UTC, datetime
from typing import Final

from services.contracts.errors import Malformed
from services.contracts.time import SECOND, Micros, to_micros

TIMESTAMP_MIN: Final = 0
TIMESTAMP_MAX: Final = to_micros(datetime(2200, 1, 1, tzinfo=UTC))
"""Outside of these an instant is a mistake, and window arithmetic could leave the calendar."""

# A number below the first bound counts seconds, below the second milliseconds, else
# microseconds: each unit then covers 1973 to 5138, whatever the others mean.
_EPOCH_SECONDS_BELOW: Final = 10**11
_EPOCH_MILLIS_BELOW: Final = 10**14
_COMPACT_DATE_CHARS: Final = 8


def parse_timestamp(value: str | float) -> Micros:
    """Read a client's instant: ISO 8601 (no zone means UTC, digits past microseconds are
    dropped) or a number since the epoch in seconds, milliseconds or microseconds.

    Raises:
        Malformed: `bad_timestamp` for what is no date of the calendar,
            `timestamp_out_of_range` outside the years 1970 to 2199.
    """
    if isinstance(value, str):
        if value.isdecimal() and len(value) != _COMPACT_DATE_CHARS:
            at = _epoch_micros(int(value[:20]))
        else:
            at = to_micros(_parse_iso(value))
    else:
        at = _epoch_micros(value)
    if not TIMESTAMP_MIN <= at < TIMESTAMP_MAX:
        raise Malformed("timestamp_out_of_range", "timestamps lie in the years 1970 to 2199")
    return at


def _parse_iso(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            # RFC 3339 allows lower case; Python's parser does not.
            moment = datetime.fromisoformat(text.strip().upper())
        except ValueError as error:
            raise Malformed("bad_timestamp", "not an ISO 8601 instant of the calendar") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _epoch_micros(number: float) -> Micros:
    if number < _EPOCH_SECONDS_BELOW:
        return round(number * SECOND)
    return round(number * 1000) if number < _EPOCH_MILLIS_BELOW else round(number)


def parse_sent_at(value: object) -> Micros | None:
    """The clock to correct by; None where it is absent or unreadable.

    It says nothing of what happened, so a broken one costs the correction, not the event.
    """
    if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "":
        return None
    try:
        return parse_timestamp(value)
    except Malformed:
        return None
