"""Slow and obviously right: what tags should say and what caps must never allow.

Nothing here is shared with the engine but the definitions and the contract values: tags are
computed from the list of all events at every question, windows from local dates.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from services.contracts.definitions import Policy, Tag
from services.contracts.event import Event
from services.contracts.time import (
    DAY,
    HOUR,
    MINUTE,
    Micros,
    from_micros,
    parse_duration,
    to_micros,
)


def local(moment: Micros, zone: str) -> datetime:
    """The instant on a clock of this zone."""
    return from_micros(moment).astimezone(ZoneInfo(zone))


def bucket_bounds(tag: Tag, moment: Micros, zone: str) -> tuple[Micros, Micros]:
    """First instant of the bucket of `moment`, and the first one after it."""
    window = parse_duration(tag.window or "")
    if tag.bucket is not None:
        size = parse_duration(tag.bucket)
    elif window <= 2 * HOUR:
        size = MINUTE
    elif window <= 7 * DAY:
        size = HOUR
    else:
        return day_bounds(local(moment, zone).date(), zone)
    begins = moment - moment % size
    return begins, begins + size


@lru_cache(maxsize=4096)
def first_instant(wanted: date, zone: str) -> Micros:
    """Where a civil day begins, found by halving: the local date never decreases."""
    noon = to_micros(datetime(wanted.year, wanted.month, wanted.day, 12, tzinfo=UTC))
    low, high = noon - 2 * DAY, noon + 2 * DAY
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if local(middle, zone).date() >= wanted else (middle, high)
    return high


def day_bounds(day: date, zone: str) -> tuple[Micros, Micros]:
    """First instant of a civil day, and the first one after it."""
    return first_instant(day, zone), first_instant(day + timedelta(days=1), zone)


def leaves_at(tag: Tag, occurred_at: Micros, zone: str) -> Micros:
    """The first instant at which an event's bucket is out of a tag's window."""
    _, ends = bucket_bounds(tag, occurred_at, zone)
    return ends + parse_duration(tag.window or "")


def in_window(tag: Tag, occurred_at: Micros, now: Micros, zone: str) -> bool:
    """Whether the bucket of an event still touches the window `(now - window, now]`."""
    return tag.window is None or now < leaves_at(tag, occurred_at, zone)


def tag_value(tag: Tag, events: Iterable[Event], now: Micros, zone: str) -> Any:
    """A tag's value from all events that ever arrived, in order of arrival."""
    path = tag.value or ""
    counted = [
        event
        for event in events
        if event.name in tag.events and in_window(tag, event.occurred_at, now, zone)
    ]
    if tag.aggregate == "count":
        return len(counted)
    pairs = [
        (event.occurred_at, event.properties[path])
        for event in counted
        if event.properties.get(path) is not None
    ]
    values = [value for _, value in pairs]
    if tag.aggregate == "sum":
        return round(sum(values), 6)
    if tag.aggregate == "distinct":
        return len(set(values))
    if not values:
        return None
    if tag.aggregate == "average":
        return round(sum(values) / len(values), 6)
    if tag.aggregate in ("min", "max"):
        return min(values) if tag.aggregate == "min" else max(values)
    if tag.aggregate == "first":
        earliest = min(moment for moment, _ in pairs)
        return next(value for moment, value in pairs if moment == earliest)
    latest = max(moment for moment, _ in pairs)
    return [value for moment, value in pairs if moment == latest][-1]


@dataclass(frozen=True, kw_only=True)
class OneSend:
    """A send as the world saw it.

    `decided` is its place among all decisions, and `given_up` how many of them had been made
    when its failure came back: order settles what happened at one instant.
    """

    at: Micros
    decided: int
    trigger: str
    channel: str
    category: str
    given_up: int | None = None


def counts(policy: Policy, send: OneSend) -> bool:
    """Whether a policy speaks of this send."""
    kind, value = policy.scope.kind, policy.scope.value
    if send.category == "transactional":
        return kind == "category" and value == "transactional"
    return {
        "all": True,
        "channel": send.channel == value,
        "category": send.category == value,
        "trigger": send.trigger == value,
    }[kind]


def period_name(window: str, moment: Micros, zone: str) -> tuple[int, ...]:
    """The civil day, week or month an instant belongs to."""
    civil = local(moment, zone).date()
    if window == "day":
        return (civil.toordinal(),)
    if window == "week":
        return tuple(civil.isocalendar()[:2])
    return (civil.year, civil.month)


def standing(sends: Iterable[OneSend], before: int) -> list[OneSend]:
    """The sends accepted or reserved when decision number `before` was made."""
    return [
        send
        for send in sends
        if send.decided < before and (send.given_up is None or send.given_up > before)
    ]


def counted(policy: Policy, sends: Iterable[OneSend], now: Micros, zone: str) -> list[OneSend]:
    """Of these sends those that a policy counts at `now`."""
    if policy.window in ("day", "week", "month"):
        today = period_name(policy.window, now, zone)
        inside = [one for one in sends if period_name(policy.window, one.at, zone) == today]
    else:
        inside = [one for one in sends if now - parse_duration(policy.window) < one.at <= now]
    return [one for one in inside if counts(policy, one)]
