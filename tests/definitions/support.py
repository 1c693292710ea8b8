"""Definitions to test with, and a checker that knows only unknown tags."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from services.contracts.command import Content
from services.contracts.conditions import Condition
from services.contracts.definitions import Bundle, Policy, Tag, Trigger
from services.contracts.entries import Entry
from services.contracts.steps import Send, Step
from services.contracts.time import SECOND, Micros
from services.triggers.definitions.actors import STATIC, Actor, Origin, Role
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.rights import ReviewMode
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.store import Store

ROOT = Origin(actor=STATIC, request_id="test")


def person(id_: str, role: Role = "reviewer") -> Origin:
    """A request of somebody with a token."""
    actor = Actor(id=id_, name=id_.title(), role=role, kind="token", person=True)
    return Origin(actor=actor, request_id=f"request-of-{id_}")


def program(id_: str = "ci", role: Role = "administrator") -> Origin:
    """A request of a program with a token."""
    actor = Actor(id=id_, name=id_, role=role, kind="token", credential="tok_0")
    return Origin(actor=actor, request_id=f"request-of-{id_}")


START: Micros = 1_790_000_000 * SECOND


def trigger(id_: str = "cart_left", **changes: Any) -> Trigger:
    """A trigger; as the API gets it without a status."""
    fields: dict[str, Any] = {
        "id": id_,
        "status": "draft",
        "entry": Entry(events=("Cart Updated",)),
        "steps": (Step(send=Send(channel="log", content=Content(body="hello"))),),
    }
    return Trigger(**fields | changes)


def needing(tag_id: str, id_: str = "cart_left", **changes: Any) -> Trigger:
    """A trigger whose entry reads a tag."""
    where = Condition(all_=(Condition(tag=tag_id, op="gte", value=1),))
    return trigger(id_, entry=Entry(events=("Cart Updated",), where=where), **changes)


def tag(id_: str = "orders", **changes: Any) -> Tag:
    """A tag."""
    fields: dict[str, Any] = {"id": id_, "aggregate": "count", "events": ("Order Completed",)}
    return Tag(**fields | changes)


def policy(id_: str = "weekly", **changes: Any) -> Policy:
    """A policy."""
    fields: dict[str, Any] = {"id": id_, "limit": 5, "window": "week"}
    return Policy(**fields | changes)


def _clauses(condition: Condition | None, place: str) -> Iterator[tuple[str, Condition]]:
    if condition is None:
        return
    yield place, condition
    for name, group in (("all", condition.all_), ("any", condition.any_)):
        for index, one in enumerate(group or ()):
            yield from _clauses(one, f"{place}.{name}[{index}]")


def check_tags(bundle: Bundle) -> list[tuple[str, str]]:
    """Problems of entries that read a tag which there is not."""
    known = {one.id for one in bundle.tags}
    return [
        (f"{place}.tag", f"there is no tag {clause.tag}")
        for one in bundle.triggers
        for place, clause in _clauses(one.entry.where, f"triggers.{one.id}.entry.where")
        if clause.tag is not None and clause.tag not in known
    ]


def make_definitions(store: Store | None = None, review: ReviewMode = "people") -> Definitions:
    """The service, over a store in memory unless another is given."""
    return Definitions(
        store or MemoryStore(Tables()),
        check_tags,
        workspace="default",
        now=lambda: START,
        review=review,
    )


async def until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as it holds; fails the test when it does not within seconds."""
    try:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  (a condition of other people's making)
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited for {what}") from None
