"""A journey as it reads: lists of steps within lists, gone through by a generator.

Where a person has to stop (a send, a wait, a wait for something) it yields the stop and is
resumed with whether what was awaited came. It holds its own place: there is no program.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from services.contracts.conditions import Condition
from services.contracts.definitions import Trigger
from services.contracts.steps import Handoff, Inner, Offer, Send, SetTag, Split, Step


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The step at which somebody stands, and its number."""

    number: int
    step: Step


End = tuple[int, str]
"""The number of an `end` and its result."""
Path = Generator[Stop, bool, End | None]
"""Yields stops, is sent whether the awaited event came; gives the `end` it came to."""


class Traveller(Protocol):
    """Whoever goes the way: asked and told at the moment of each step."""

    def holds(self, condition: Condition) -> bool:
        """Whether it holds of the person now."""

    def arm(self, number: int, split: Split) -> int:
        """Which of the arms is theirs."""

    def came_by(self, number: int, way: object) -> None:
        """A step was gone through: what came of it."""

    def tag(self, number: int, tag: SetTag) -> None:
        """Tag the person."""

    def ask(self, number: int, wish: Offer | Handoff) -> None:
        """Ask for an offer or a handoff."""


def inner(step: Step) -> list[Inner]:
    """The lists within a step, in the order in which they are written."""
    if step.wait_for is not None:
        return [step.wait_for.then, step.wait_for.on_timeout]
    if step.branch is not None:
        return [step.branch.then, step.branch.else_]
    if step.split is not None:
        return [arm.steps for arm in step.split.arms]
    return []


def in_order(steps: Inner) -> Iterator[Step]:
    """All steps of a list, those within after the one around them: so they are numbered."""
    for step in steps:
        yield step
        for one in inner(step):
            yield from in_order(one)


def size(steps: Inner) -> int:
    """How many steps stand in a list, those within them included."""
    return len(list(in_order(steps)))


def sends(steps: Inner) -> list[Send]:
    """All sends in a list, those within included."""
    return [step.send for step in in_order(steps) if step.send is not None]


def is_journey(trigger: Trigger) -> bool:
    """More than one message."""
    return len(trigger.steps) > 1 or trigger.steps[0].send is None


def walk(steps: Inner, who: Traveller, number: int = 0) -> Path:
    """Go through a list whose first step has this number."""
    for step in steps:
        chosen: int | None = None
        if step.end is not None:
            return number, step.end.result
        if step.send is not None or step.wait is not None:
            yield Stop(number=number, step=step)
        elif step.wait_for is not None:
            came = yield Stop(number=number, step=step)
            chosen = 0 if came else 1
        elif step.branch is not None:
            chosen = 0 if who.holds(step.branch.if_) else 1
            who.came_by(number, "then" if chosen == 0 else "else")
        elif step.split is not None:
            chosen = who.arm(number, step.split)
            who.came_by(number, chosen)
        elif step.tag is not None:
            who.tag(number, step.tag)
        else:
            wish = step.offer or step.handoff
            assert wish is not None
            who.ask(number, wish)
        if chosen is not None:
            lists = inner(step)
            first = number + 1 + sum(size(one) for one in lists[:chosen])
            end = yield from walk(lists[chosen], who, first)
            if end is not None:
                return end
        number += size((step,))
    return None
