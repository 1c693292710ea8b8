"""The ways into a trigger, and the way out."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.contracts.conditions import (
    ClockTime,
    Condition,
    Duration,
    EventNames,
    Identifier,
    Key,
    Name,
    Op,
    Scalar,
)


class EventMatch(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """An event of one of these names on which `where` holds."""

    events: EventNames
    where: Condition | None = None


class Sequence(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """These one after the other, all within `within` of the first.

    `key` lists dotted property paths (`order_id`) on which all of them agree; an event in
    which one is missing belongs to no sequence.
    """

    parts: Annotated[tuple[EventMatch, ...], Meta(min_length=2, max_length=5)]
    within: Duration
    key: Key = ()


class Absence(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """`after` happened, and then `without` did not happen within `within`, for this `key`."""

    after: EventMatch
    without: EventMatch
    within: Duration
    key: Key = ()


class Inactivity(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """None of `events` for so long, counted from the last of them.

    Whoever never did one of them does not enter. Another one starts the time anew.
    """

    events: EventNames
    lasts: Duration


class TagChange(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A tag's value came to fulfil a condition, ceased to, or became another.

    `entered` and `left` need `op` and `value`, as in a condition; `changed` takes neither.
    Time alone can change a tag too: an event leaves its window.
    """

    tag: Identifier
    change: Literal["entered", "left", "changed"]
    op: Op | None = None
    value: Scalar | tuple[Scalar, ...] = None


class Threshold(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A number tag crosses `bound`: `up` reaches or passes it, `down` falls below it.

    With `share_of` the bound is that share (`bound` 0.5: half) of another number tag.
    """

    tag: Identifier
    direction: Literal["up", "down"]
    bound: float
    share_of: Identifier | None = None


class DateOf(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A day of the person's own: a trait with an ISO date, in the person's time zone.

    `offset_days` before (negative) or after it, at local time `at`; `yearly` returns with
    the anniversary, 29 February on the 28th in years without one.
    """

    trait: Name
    offset_days: Annotated[int, Meta(ge=-366, le=366)] = 0
    at: ClockTime = "09:00"
    yearly: bool = False


class Schedule(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """At the times of a cron expression everybody whom the audience lets in.

    Five fields: minute, hour, day of month, month, day of week. `time_zone` is the
    workspace's where none is given. People are spread over `spread` by a stable hash.
    """

    cron: Name
    time_zone: Name | None = None
    spread: Duration | None = None


class Entry(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What makes a person a candidate: exactly one of these ways.

    `events` with an optional `where` is the plainest: one of them happens and it holds.
    """

    events: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()
    where: Condition | None = None
    sequence: Sequence | None = None
    absence: Absence | None = None
    inactivity: Inactivity | None = None
    tag_change: TagChange | None = None
    threshold: Threshold | None = None
    date: DateOf | None = None
    schedule: Schedule | None = None


class Exit(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """An event that takes the person out: everything of the trigger that still waits ends.

    With `key` it ends only what entered with the same values (this order, not any).
    """

    events: EventNames
    where: Condition | None = None
    key: Key = ()
