"""Journeys for a run, drawn from its seed: steps within steps, and versions of them."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import msgspec

from services.contracts.definitions import Trigger
from services.contracts.steps import Step
from services.triggers.engine import check
from tests.engine.build import bundle, tag

DEPTH_MAX: Final = 3
TRIES_MAX: Final = 50
_LEAVES: Final[tuple[dict[str, Any], ...]] = (
    {"send": {"channel": "log"}},
    {"send": {"channel": "log"}},
    {"send": {"channel": "log"}},
    {"wait": {"for": "20m"}},
    {"wait": {"for": "3h"}},
    {"wait": {"until": "09:00"}},
    {"wait": {"for": "1h", "until": "02:30"}},
    {"tag": {"set": "stage", "value": "warm"}},
    {"tag": {"remove": "stage"}},
    {"offer": {"kind": "coupon", "endpoint": "shop", "reference": "c10"}},
    {"handoff": {"to": "sales", "endpoint": "crm", "content": {"subject": "call"}}},
)
_CONDITIONS: Final[tuple[dict[str, Any], ...]] = (
    {"trait": "stage", "op": "exists"},
    {"property": "amount", "op": "gte", "value": 50},
    {"tag": "orders", "op": "gte", "value": 2},
)
_AWAITED: Final = ("view", "cart", "login", "order")


def _steps(random: Random, depth: int) -> list[dict[str, Any]]:
    steps = [_step(random, depth) for _ in range(random.randint(depth == 1, 4 - depth))]
    if random.random() < 0.1:
        steps.append({"end": {"result": "early"}})
    return steps


def _step(random: Random, depth: int) -> dict[str, Any]:
    kind = random.choice(["leaf", "leaf", "leaf", "wait_for", "branch", "split"])
    if kind == "leaf" or depth == DEPTH_MAX:
        return random.choice(_LEAVES)
    ways = [_steps(random, depth + 1), _steps(random, depth + 1)]
    if kind == "wait_for":
        return {
            "wait_for": {
                "events": [random.choice(_AWAITED)],
                "key": random.choice([[], ["order_id"]]),
                "within": random.choice(["30m", "2h", "1d"]),
                "then": ways[0],
                "on_timeout": ways[1],
            }
        }
    if kind == "branch":
        return {"branch": {"if": random.choice(_CONDITIONS), "then": ways[0], "else": ways[1]}}
    return {"split": {"arms": [{"weight": 1, "steps": ways[0]}, {"weight": 2, "steps": ways[1]}]}}


def draw_journey(random: Random, single: Trigger) -> Trigger:
    """This trigger with steps that `check` has nothing against."""
    for _ in range(TRIES_MAX):
        steps = msgspec.convert(_steps(random, 1), tuple[Step, ...])
        one = msgspec.structs.replace(single, steps=steps)
        if not check(bundle(one, tag("orders"), tag("spent", "sum"))):
            return one
    raise AssertionError("no journey that the checks let pass")


def numbered(columns: list[list[Trigger]]) -> Iterator[list[Trigger]]:
    """The triggers of each revision, in which a version is a number of its own.

    What is told anew, paused or resumed is a new version; what stays as it was keeps its own.
    """
    before: dict[str, Trigger] = {}
    last: dict[str, int] = {}
    for triggers in columns:
        found = []
        for one in triggers:
            known = before.get(one.id)
            if known is None or msgspec.structs.replace(known, version=0) != one:
                last[one.id] = last.get(one.id, 0) + 1
                known = msgspec.structs.replace(one, version=last[one.id])
            found.append(known)
        before = {one.id: one for one in found}
        yield found
