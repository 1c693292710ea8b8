"""What a profile must keep to, so that it can be stored and shown."""

import re
from datetime import UTC, datetime
from typing import Final

from services.contracts.conditions import ID_PATTERN
from services.contracts.profile import Profile
from services.contracts.time import Micros, to_micros

TEXT_BYTES_MAX: Final = 2_048
"""Of an id in bytes: PostgreSQL's index rows hold at most 2,704 (a third of a page)."""
NUMBER_MAX: Final = 2**63 - 1
PARTITION_MAX: Final = 2**31 - 1
SEGMENTS_MAX: Final = 1_000
_IDENTIFIER: Final = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")
MICROS_MIN: Final[Micros] = to_micros(datetime.min.replace(tzinfo=UTC))
MICROS_MAX: Final[Micros] = to_micros(datetime.max.replace(tzinfo=UTC))


def problem_of(profile: Profile) -> str | None:
    """None for a profile that can be stored, else the reason why not, without its values."""
    ids = {
        "person": profile.person,
        "user_id": profile.user_id or "",
        "anonymous_id": profile.anonymous_id or "",
        "merged_into": profile.merged_into or "",
    }
    for name, value in ids.items():
        # U+0000 takes a second byte where it is stored.
        if len(value.encode()) + value.count("\x00") + value.count("\x1a") > TEXT_BYTES_MAX:
            return f"{name} is longer than {TEXT_BYTES_MAX} bytes"
    if len(profile.segments) > SEGMENTS_MAX or not all(map(_IDENTIFIER.match, profile.segments)):
        return "segments are not names of segments"
    if not profile.person:
        return "person is empty"
    for name, at in (
        ("as_of", profile.as_of),
        ("first_seen_at", profile.first_seen_at),
        ("last_seen_at", profile.last_seen_at),
        ("last_message_at", profile.last_message_at or 0),
    ):
        if not MICROS_MIN <= at <= MICROS_MAX:
            return f"{name} is outside the years 1 to 9999"
    if not 0 <= profile.source_partition <= PARTITION_MAX:
        return "source_partition is out of range"
    for name, number in (
        ("source_offset", profile.source_offset),
        ("revision", profile.revision),
        ("messages_accepted", profile.messages_accepted),
        ("messages_failed", profile.messages_failed),
    ):
        if not 0 <= number <= NUMBER_MAX:
            return f"{name} is out of range"
    return None
