"""Derived tags in tests: short ways to define them, and what they are, computed plainly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.contracts.definitions import Tag
from services.contracts.time import DAY, MINUTE, Micros
from tests.engine.build import tag

SPAN = 10 * MINUTE


def derived(id_: str, **derive: Any) -> Tag:
    """A tag that is derived so."""
    return msgspec.convert({"id": id_, "derive": derive}, Tag)


@dataclass(frozen=True)
class Did:
    """One thing that somebody did."""

    at: Micros
    name: str
    amount: float


TAGS = (
    tag("quiet", "recency", value=None, events=["order", "visit"]),
    tag("known", "tenure", value=None),
    tag("orders"),
    tag("lately", window="10m"),
    tag("spent", "sum", minus={"events": ["refund"]}),
    derived("mean", ratio={"of": "spent", "to": "orders"}),
    derived("again", total={"terms": [{"of": "orders"}], "plus": -1}),
    derived(
        "size",
        bands={
            "of": "spent",
            "bands": [
                {"label": "small", "from": 0, "below": 500.01},
                {"label": "middle", "from": 500.01, "below": 2000},
                {"label": "large", "from": 2500},
            ],
        },
    ),
    derived("fresh", score={"of": "quiet", "cuts": [1, 3, 10, 60], "reverse": True}),
    derived("loyal", score={"of": "known", "cuts": [1, 3, 10, 60], "rule": "lt_next"}),
    derived(
        "stage",
        cases=[
            {"label": "lost", "when": {"tag": "quiet", "op": "gt", "value": 59.5}},
            {"label": "busy", "when": {"tag": "lately", "op": "gte", "value": 2}},
            {
                "label": "good",
                "when": {
                    "all": [
                        {"tag": "size", "op": "in", "value": ["middle", "large"]},
                        {"tag": "fresh", "op": "gte", "value": 3},
                    ]
                },
            },
            {"label": "new", "when": {"not": {"tag": "known", "op": "gte", "value": 7}}},
        ],
        otherwise="other",
    ),
)
"""One of each way, and some of others."""


def values(did: Sequence[Did], at: Micros) -> dict[str, Any]:
    """What all of them are at an instant, from everything that was done until then."""
    orders = [one for one in did if one.name == "order"]
    seen = [one.at for one in did if one.name in ("order", "visit")]
    quiet = (at - max(seen)) // DAY if seen else None
    known = (at - min(one.at for one in orders)) // DAY if orders else None
    lately = sum((one.at // MINUTE + 1) * MINUTE + SPAN > at for one in orders)
    spent = sum(one.amount for one in orders)
    spent = round(spent - sum(one.amount for one in did if one.name == "refund"), 6)
    size = None
    if 0 <= spent < 500.01:
        size = "small"
    elif 500.01 <= spent < 2000:
        size = "middle"
    elif spent >= 2500:
        size = "large"
    fresh = None if quiet is None else 5 - sum(quiet > cut for cut in (1, 3, 10, 60))
    loyal = None if known is None else 1 + sum(known >= cut + 1 for cut in (1, 3, 10, 60))
    if quiet is not None and quiet > 59.5:
        stage = "lost"
    elif lately >= 2:
        stage = "busy"
    elif size in ("middle", "large") and fresh is not None and fresh >= 3:
        stage = "good"
    else:
        stage = "new" if known is None or known < 7 else "other"
    return {
        "quiet": quiet,
        "known": known,
        "orders": len(orders),
        "lately": lately,
        "spent": spent,
        "mean": round(spent / len(orders), 6) if orders else None,
        "again": len(orders) - 1,
        "size": size,
        "fresh": fresh,
        "loyal": loyal,
        "stage": stage,
    }


def instants(did: Sequence[Did], after: Micros, until: Micros) -> list[Micros]:
    """Every instant in `(after, until]` at which time can have changed one of them."""
    found = set[Micros]()
    for one in did:
        leaves_at = (one.at // MINUTE + 1) * MINUTE + SPAN
        if after < leaves_at <= until:
            found.add(leaves_at)
        first = max(1, (after - one.at) // DAY + 1)
        found.update(range(one.at + first * DAY, until + 1, DAY))
    return sorted(found)
