"""Triggers of all kinds for the benchmarks: what a hundred live ones of a workspace look like.

They are spread over 25 event names, of which five occur in the workload: of ten of a kind two
listen to what happens there, and the index by event tells them apart. Dates and schedules
concern everybody. They fire seldom or, where time has to pass, not at all: what is measured is
what it costs to have them.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from services.contracts.definitions import Bundle, Tag, Trigger
from tests.benchmarks.workload import EVENT_NAMES, bundle

OF_EACH_KIND = 10
CONCERNED = 2
"""Of them, by what happens."""
TAGS: Final = ("events_30d", "spend_30d")
OTHER_TAG: Final = "other_30d"

_DEAR: Final = {"property": "price", "op": "gte", "value": 119.9}


def _after(name: str) -> str:
    """The event that a trigger on `name` waits for next."""
    if name not in EVENT_NAMES:
        return f"{name} Again"
    return EVENT_NAMES[(EVENT_NAMES.index(name) + 1) % len(EVENT_NAMES)]


def _tag(number: int) -> str:
    return TAGS[number] if number < CONCERNED else OTHER_TAG


KINDS: Final[dict[str, Callable[[int, str], dict[str, Any]]]] = {
    "event": lambda number, name: {"events": [name], "where": _DEAR},
    "sequence": lambda number, name: {
        "sequence": {
            "parts": [{"events": [name]}, {"events": [_after(name)], "where": _DEAR}],
            "within": "1h",
            "key": ["category"],
        }
    },
    "absence": lambda number, name: {
        "absence": {
            "after": {"events": [name]},
            "without": {"events": [_after(name)]},
            "within": "24h",
            "key": ["category"],
        }
    },
    "inactivity": lambda number, name: {
        "inactivity": {"events": [name], "lasts": f"{number + 1}d"}
    },
    "tag_change": lambda number, name: {
        "tag_change": {
            "tag": _tag(number),
            "change": "entered",
            "op": "gte",
            "value": 1_000,
        }
    },
    "threshold": lambda number, name: {
        "threshold": {
            "tag": _tag(number),
            "direction": "up",
            "bound": 1_000,
        }
    },
    "date": lambda number, name: {"date": {"trait": f"date_{number}", "yearly": True}},
    "schedule": lambda number, name: {"schedule": {"cron": f"{number} 9 * * *", "spread": "1h"}},
}
"""An entry of each kind, by its number and the event that it listens to."""


def triggers(kind: str, count: int = OF_EACH_KIND) -> list[Trigger]:
    """So many triggers of one kind."""
    made = []
    first = list(KINDS).index(kind) * CONCERNED
    for number in range(count):
        concerned = number < CONCERNED
        name = EVENT_NAMES[(first + number) % len(EVENT_NAMES)] if concerned else f"Other {number}"
        entry = KINDS[kind](number, name)
        given = {
            "id": f"{kind}_{number:02}",
            "entry": entry,
            "steps": [{"send": {"channel": "log"}}],
        }
        made.append(msgspec.convert(given, Trigger))
    return made


def with_kinds(*kinds: str) -> Bundle:
    """The workload's definitions, and triggers of these kinds."""
    base = bundle()
    added = [one for kind in kinds for one in triggers(kind)]
    other = {"id": OTHER_TAG, "aggregate": "count", "events": ["Other 9"], "window": "30d"}
    return msgspec.structs.replace(
        base,
        triggers=(*base.triggers, *added),
        tags=(*base.tags, msgspec.convert(other, Tag)),
    )


def hundred() -> Bundle:
    """The workload's twenty triggers and ten of each kind."""
    return with_kinds(*KINDS)
