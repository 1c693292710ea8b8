"""How large an active person's state is: `python -m tests.benchmarks.bench_state_size [people]`.

Twenty rolling tags of nine aggregates and five journeys under way. Everybody comes every
third day for sixty days, eight events a visit, ids as SDKs make them. What is measured is what
stands in the changelog, a record a person.
"""

import random
import statistics
import sys
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from services.contracts.definitions import Bundle, Tag, Trigger, Workspace
from services.contracts.event import TRACK, Event
from services.contracts.time import DAY, MINUTE
from services.triggers.engine import (
    Outputs,
    PersonState,
    compile_rules,
    decide,
    encode_state,
    new_state,
)
from tests.benchmarks.workload import CATEGORIES, EVENT_NAMES

PEOPLE = 300
DAYS = 60
EVERY_DAYS = 3
VISIT_EVENTS = 8
START_AT = 20_000 * DAY
GOAL_BYTES = 2_048

_ORDER, _VIEW, _ADD = "Order Completed", "Page Viewed", "Product Added"
_TAGS: tuple[dict[str, Any], ...] = (
    {"id": "events_30d", "aggregate": "count", "events": EVENT_NAMES, "window": "30d"},
    {"id": "orders_30d", "aggregate": "count", "events": [_ORDER], "window": "30d"},
    {"id": "orders_ever", "aggregate": "count", "events": [_ORDER]},
    {"id": "adds_24h", "aggregate": "count", "events": [_ADD], "window": "24h"},
    {"id": "adds_7d", "aggregate": "count", "events": [_ADD], "window": "7d"},
    {"id": "views_1h", "aggregate": "count", "events": [_VIEW], "window": "1h"},
    {"id": "logins_30d", "aggregate": "count", "events": ["Logged In"], "window": "30d"},
    {"id": "searches_7d", "aggregate": "count", "events": ["Searched"], "window": "7d"},
    {"id": "spend_24h", "aggregate": "sum", "value": "price", "events": [_ORDER], "window": "24h"},
    {"id": "spend_30d", "aggregate": "sum", "value": "price", "events": [_ORDER], "window": "30d"},
    {"id": "spend_ever", "aggregate": "sum", "value": "price", "events": [_ORDER]},
    {"id": "basket", "aggregate": "average", "value": "price", "events": [_ORDER]},
    {"id": "dearest", "aggregate": "max", "value": "price", "events": [_ORDER], "window": "30d"},
    {"id": "cheapest", "aggregate": "min", "value": "price", "events": [_ORDER]},
    {"id": "last_category", "aggregate": "last", "value": "category", "events": EVENT_NAMES},
    {"id": "last_page", "aggregate": "last", "value": "page", "events": [_VIEW]},
    {"id": "first_category", "aggregate": "first", "value": "category", "events": [_ORDER]},
    {
        "id": "categories_7d",
        "aggregate": "distinct",
        "value": "category",
        "events": [_VIEW],
        "window": "7d",
    },
    {"id": "favourite", "aggregate": "top_k", "value": "category", "events": [_VIEW], "k": 3},
    {"id": "favourite_bought", "aggregate": "top_k", "value": "category", "events": [_ORDER]},
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Mean bytes of a state, and of what it is made of; `largest` is the largest state's."""

    people: int
    tags: float
    runs: float
    mean: float
    largest: int
    parts: dict[str, float]


def definitions() -> Bundle:
    """Twenty tags and five journeys, entered once, each of which waits for long."""
    steps = [
        {"wait_for": {"events": ["Never"], "key": ["category"], "within": "90d"}},
        {"send": {"channel": "log"}},
    ]
    triggers = [
        {
            "id": f"journey_{number}",
            "entry": {"events": [name]},
            "reentry": {"mode": "once"},
            "steps": steps,
        }
        for number, name in enumerate(EVENT_NAMES)
    ]
    return Bundle(
        revision=1,
        workspace=Workspace(),
        tags=tuple(msgspec.convert(tag, Tag) for tag in _TAGS),
        triggers=tuple(msgspec.convert(trigger, Trigger) for trigger in triggers),
    )


def _event(draw: random.Random, person: str, at: int) -> Event:
    return Event(
        person=person,
        type=TRACK,
        name=draw.choice(EVENT_NAMES),
        message_id=str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        occurred_at=at,
        received_at=at,
        properties={
            "category": draw.choice(CATEGORIES),
            "price": round(draw.random() * 120, 2),
            "page": f"/p/{draw.randrange(9999)}",
        },
        user_id=person,
    )


def people(count: int) -> list[PersonState]:
    """So many active people, at the end of their last visit."""
    rules, states = compile_rules(definitions()), []
    for number in range(count):
        draw = random.Random(number)
        state = new_state(f"customer-{number}")
        for day in range(number % EVERY_DAYS, DAYS, EVERY_DAYS):
            at = START_AT + day * DAY + draw.randrange(600, 1200) * MINUTE
            for _ in range(VISIT_EVENTS):
                at += draw.randrange(1, 5 * MINUTE)
                event = _event(draw, state.person, at)
                decide(state, event, rules, at, Outputs())
        states.append(state)
    return states


def run(count: int = PEOPLE) -> Size:
    """Sizes of the states of so many people."""
    encode = msgspec.msgpack.Encoder().encode
    states = people(count)
    sizes = [len(encode_state(state)) for state in states]
    runs = [len(state.sending.runs) if state.sending is not None else 0 for state in states]

    def mean(values: list[int]) -> float:
        return statistics.fmean(values)

    parts = {
        "message ids": mean([len(encode((one.seen_heads, one.seen))) for one in states]),
        "tags": mean([len(encode(one.tags)) for one in states]),
        "runs": mean([len(encode(one.sending and one.sending.runs)) for one in states]),
    }
    parts["the rest"] = mean(sizes) - sum(parts.values())
    return Size(
        people=count,
        tags=mean([len(one.tags) for one in states]),
        runs=mean(runs),
        mean=mean(sizes),
        largest=max(sizes),
        parts=parts,
    )


def line(size: Size) -> str:
    """The sizes in a sentence."""
    parts = ", ".join(f"{name} {value:,.0f}" for name, value in size.parts.items())
    return (
        f"{size.mean:,.0f} bytes on average (goal {GOAL_BYTES:,}), {size.largest:,} the largest: "
        f"{parts}; {size.people} people with {size.tags:.1f} tags and {size.runs:.1f} runs"
    )


def main() -> None:
    """Print the sizes."""
    print(line(run(int(sys.argv[1]) if len(sys.argv) > 1 else PEOPLE)))


if __name__ == "__main__":
    main()
