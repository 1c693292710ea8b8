"""The behaviour event: something a person did, in the normal form that the engine folds."""

from typing import Any, Final

import msgspec

from services.contracts.time import MINUTE, Micros

TRACK: Final = "track"
IDENTIFY: Final = "identify"
PAGE: Final = "page"
SCREEN: Final = "screen"
GROUP: Final = "group"
ALIAS: Final = "alias"
EVENT_TYPES: Final = frozenset({TRACK, IDENTIFY, PAGE, SCREEN, GROUP, ALIAS})

RESERVED_NAMES: Final = {kind: f"${kind}" for kind in EVENT_TYPES - {TRACK}}
"""Under these names triggers and tags listen for what is not a `track` call, e.g. `$page`."""

SEGMENT_ENTERED: Final = "$segment_entered"
SEGMENT_LEFT: Final = "$segment_left"
LIFECYCLE_CHANGED: Final = "$lifecycle_changed"
GROUP_EVENTS: Final = frozenset({SEGMENT_ENTERED, SEGMENT_LEFT, LIFECYCLE_CHANGED})
"""What happens to a person within the fold: they are in other segments, in another state."""

PERSON_CHARS_MAX: Final = 256
MESSAGE_ID_CHARS_MAX: Final = 256
EVENT_NAME_CHARS_MAX: Final = 256
EVENT_BYTES_MAX: Final = 32 * 1024
"""Segment's own limit for one event; larger ones are refused with `event_too_large`."""
EVENT_DEPTH_MAX: Final = 16
PACK_EVENTS_MAX: Final = 500
FUTURE_TOLERANCE: Final = 5 * MINUTE


class Event(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One behaviour event of one person.

    `person` is the partition key: the user id, or the anonymous id where there is none.
    `name` is the event's name for `track`, else one of `RESERVED_NAMES`. `occurred_at` is the
    client's time after clock correction, `received_at` the stamp of ingest (or Kafka's
    timestamp for a record produced directly); both in microseconds since the epoch.
    """

    person: str
    type: str
    name: str
    message_id: str
    occurred_at: Micros
    received_at: Micros
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    context: dict[str, Any] = {}
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
