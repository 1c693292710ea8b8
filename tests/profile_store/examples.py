"""Profiles for tests."""

from typing import Any

import msgspec

from services.contracts.profile import Consent, Profile

NOON = 1_772_366_400_000_000
SECOND = 1_000_000


def profile(person: str = "ana", **changes: Any) -> Profile:
    """A profile of `person` as of NOON from offset 10, with `changes`."""
    plain = Profile(
        person=person,
        as_of=NOON,
        source_partition=3,
        source_offset=10,
        revision=7,
        user_id=person,
        traits={"city": "Paris"},
        tags={"orders_30d": 2},
        first_seen_at=NOON - SECOND,
        last_seen_at=NOON,
    )
    return msgspec.structs.replace(plain, **changes)


FULL = profile(
    "full",
    anonymous_id="anon-full",
    traits={"nested": {"list": [1, 2.5, None, True, "x"], "empty": {}}, "": "empty key"},
    tags={"spend": 12.5, "top": ["a", "b"], "vip": True, "last": None, "big": 2**63 + 1},
    approximate=("top", "spend"),
    segments=("gold", "vip"),
    consents={
        "marketing": Consent(answer=True, at=NOON, event_id="form", wording="Yes", method="box"),
        "sms": Consent(answer=False, at=NOON - 5, event_id="link", source="app"),
    },
    messages_accepted=4,
    messages_failed=1,
    last_message_at=NOON + 5,
    merged_into="somebody",
)
"""No field has its default: such a profile is never written."""
WHOLE = msgspec.structs.replace(FULL, merged_into=None)

HOSTILE_TEXTS = (
    "\x00",
    "a\x00b\x00",
    "\x1a",
    "\x1a0",
    "\x1a1\x00",
    "\\u0000",
    "\\\\u0000\\",
    "\\\x00",
    "'; DROP TABLE profiles; --",
    "%s {} :id $1",
    "\ud7ff\ue000\U0010ffff",
    "\u202e\u200b\ufeff",
    '"quoted"',
    " ",
)
