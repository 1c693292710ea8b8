"""One workload for all pipeline benchmarks: 20 live triggers, 5 rolling tags, bursty shoppers.

Sizes and skew follow a shop's traffic: a pool of active people that slowly turns over, five
kinds of event, two in a hundred of them causing a send command. Same seed, same bytes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from services.contracts.definitions import Bundle, Policy, Tag, Trigger, Workspace
from services.contracts.event import TRACK, Event
from services.contracts.time import SECOND, Micros

EVENT_NAMES = ("Page Viewed", "Product Added", "Order Completed", "Logged In", "Searched")
CATEGORIES = ("baby", "toys", "food", "garden")
PEOPLE = 20_000
ACTIVE_PEOPLE = 2_000
COMMAND_SHARE = 0.02

_TAGS = (
    {"id": "events_30d", "aggregate": "count", "events": EVENT_NAMES, "window": "30d"},
    {
        "id": "spend_30d",
        "aggregate": "sum",
        "events": ("Order Completed",),
        "value": "price",
        "window": "30d",
    },
    {"id": "adds_24h", "aggregate": "count", "events": ("Product Added",), "window": "24h"},
    {"id": "views_1h", "aggregate": "count", "events": ("Page Viewed",), "window": "1h"},
    {
        "id": "last_category",
        "aggregate": "last",
        "events": EVENT_NAMES,
        "value": "category",
    },
)


def _trigger(number: int, event: str, where: object, audience: object = None) -> Trigger:
    return msgspec.convert(
        {
            "id": f"trigger_{number:02}",
            "entry": {"events": [event], "where": where},
            "audience": audience,
            "category": "transactional" if number % 8 == 0 else "marketing",
            "priority": number,
            "steps": [{"send": {"channel": "log"}}],
        },
        Trigger,
    )


def bundle(revision: int = 1) -> Bundle:
    """Twenty triggers, four for each kind of event; of each four one sends on flagged events."""
    triggers = []
    for number, event in enumerate(EVENT_NAMES):
        base = number * 4
        triggers += [
            _trigger(base, event, {"property": "flag", "op": "eq", "value": 1}),
            _trigger(
                base + 1,
                event,
                {"property": "price", "op": "gt", "value": 1000},
                {"tag": "adds_24h", "op": "gte", "value": 3},
            ),
            _trigger(
                base + 2,
                event,
                {
                    "all": [
                        {"property": "category", "op": "eq", "value": "books"},
                        {"property": "price", "op": "gte", "value": 50},
                    ]
                },
            ),
            _trigger(
                base + 3,
                event,
                {"property": "page", "op": "starts_with", "value": "/campaign/"},
                {"tag": "spend_30d", "op": "gte", "value": 1000},
            ),
        ]
    return Bundle(
        revision=revision,
        workspace=Workspace(),
        triggers=tuple(triggers),
        tags=tuple(msgspec.convert(tag, Tag) for tag in _TAGS),
        policies=(
            msgspec.convert(
                {
                    "id": "marketing_daily",
                    "limit": 3,
                    "window": "24h",
                    "scope": {"kind": "category", "value": "marketing"},
                },
                Policy,
            ),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Shopper:
    """One generated event before it takes a wire form."""

    number: int
    person: str
    name: str
    properties: dict[str, object]


def shoppers(count: int, *, seed: int = 1) -> Iterator[Shopper]:
    """Generate `count` events of `PEOPLE` people; `COMMAND_SHARE` of them are flagged."""
    draw = random.Random(seed)
    flag_every = round(1 / COMMAND_SHARE)
    active = [int(PEOPLE * draw.random() ** 2) for _ in range(ACTIVE_PEOPLE)]
    for number in range(count):
        if draw.random() < 0.1:
            active[draw.randrange(ACTIVE_PEOPLE)] = int(PEOPLE * draw.random() ** 2)
        properties: dict[str, object] = {
            "category": draw.choice(CATEGORIES),
            "price": round(draw.random() * 120, 2),
            "page": f"/p/{draw.randrange(9999)}",
        }
        if number % flag_every == 0:
            properties["flag"] = 1
        yield Shopper(
            number=number,
            person=f"u{active[draw.randrange(ACTIVE_PEOPLE)]}",
            name=draw.choice(EVENT_NAMES),
            properties=properties,
        )


def as_message(shopper: Shopper) -> dict[str, object]:
    """The event as an SDK would send it, without a timestamp: it happens when it arrives."""
    return {
        "type": TRACK,
        "event": shopper.name,
        "userId": shopper.person,
        "messageId": f"m-{shopper.number}",
        "properties": shopper.properties,
    }


def as_event(shopper: Shopper, *, start_at: Micros, per_second: int) -> Event:
    """The event as ingest packs it, spaced evenly at `per_second`."""
    at = start_at + shopper.number * SECOND // per_second
    return Event(
        person=shopper.person,
        type=TRACK,
        name=shopper.name,
        message_id=f"m-{shopper.number}",
        occurred_at=at,
        received_at=at,
        properties=shopper.properties,
        user_id=shopper.person,
    )
