"""How a tag is read, and when its value may become another: by which events, by which time.

Whatever follows tags (an entry, a segment, another tag) asks the readings of what it follows
for their `Inputs`. Between the instants and events that these name no value changes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, floor
from typing import Any, Final, Protocol

import msgspec

from services.contracts.conditions import Condition
from services.contracts.event import GROUP, IDENTIFY, RESERVED_NAMES
from services.contracts.time import Micros
from services.triggers.engine.clauses import NUMERIC
from services.triggers.engine.conditions import ReadTag
from services.triggers.engine.limits import NEVER
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import LEAVES_AT

TRAIT_EVENTS: Final = frozenset({RESERVED_NAMES[IDENTIFY], RESERVED_NAMES[GROUP]})
"""The events by which a person's traits change. (A step of a journey can set one, too.)"""


class Clock(Protocol):
    """A number of whole units that grows with time and falls only by an event.

    `ends`: values at which what is read of it appears, or ceases to be.
    """

    @property
    def ends(self) -> tuple[int, ...]:
        """See above."""

    def value(self, state: PersonState, at: Micros) -> int | None:
        """What it shows at an instant; None where it does not run."""

    def reaches(self, state: PersonState, value: int, at: Micros) -> Micros:
        """When it comes to a value that it has not reached at `at`: an instant after `at`, the
        true one or one before it."""


Bounds = tuple[int, ...] | None
"""The values at which a clock matters, ascending; None where each does."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a value is made of: when none of it changes, the value does not.

    `events` are the names of events, `keys` the tag data of which a bucket may leave, `clocks`
    what runs. `traits` says whether traits are among it, `basis` what all of it means.
    """

    events: frozenset[str] = frozenset()
    keys: tuple[int, ...] = ()
    clocks: tuple[tuple[Clock, Bounds], ...] = ()
    traits: bool = False
    basis: tuple[str, ...] = ()

    def changes_at(self, state: PersonState, at: Micros) -> Micros:
        """The next instant after `at` at which time alone may change it; `NEVER` for none.

        It may be too early, never too late.
        """
        changes_at: Micros = NEVER
        for key in self.keys:
            data = state.tags.get(key)
            # A value that has left already leaves no second time.
            if data is not None and at < data[LEAVES_AT] < changes_at:
                changes_at = data[LEAVES_AT]
        for clock, bounds in self.clocks:
            changes_at = min(changes_at, _next_of(clock, bounds, state, at))
        return changes_at


def _next_of(clock: Clock, bounds: Bounds, state: PersonState, at: Micros) -> Micros:
    value = clock.value(state, at)
    if value is None:
        return NEVER
    if bounds is None:
        return clock.reaches(state, value + 1, at)
    bound = next((one for one in bounds if one > value), None)
    return NEVER if bound is None else clock.reaches(state, bound, at)


class Reading(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One tag: its value, and what that is made of; `clock` where it is a clock itself.

    With `total_of` the running total of that tag data is the value as long as no bucket has
    left, and with `sum_of` that rounded. `empty` is that of nobody's events: where that is a
    number, all values are.
    """

    read: ReadTag
    inputs: Inputs
    clock: Clock | None = None
    total_of: int | None = None
    sum_of: int | None = None
    empty: Any = None

    def at_bounds(self, bounds: Iterable[float]) -> Inputs:
        """Its inputs for one who only asks on which side of these bounds it is: a number is on
        the other side when it has reached one, or gone beyond it."""
        if self.clock is None:
            return self.inputs
        wanted = {whole for bound in bounds for whole in (ceil(bound), floor(bound) + 1)}
        wanted.update(self.clock.ends)
        return Inputs(
            events=self.inputs.events,
            clocks=((self.clock, tuple(sorted(wanted))),),
            traits=self.inputs.traits,
            basis=self.inputs.basis,
        )


def together(several: Iterable[Inputs]) -> Inputs:
    """What changes when any of these does."""
    inputs = tuple(several)
    clocks: dict[Clock, Bounds] = {}
    for one in inputs:
        for clock, bounds in one.clocks:
            known = clocks.get(clock, ())
            either = None if known is None or bounds is None else {*known, *bounds}
            clocks[clock] = None if either is None else tuple(sorted(either))
    return Inputs(
        events=frozenset().union(*(one.events for one in inputs)),
        keys=tuple(dict.fromkeys(key for one in inputs for key in one.keys)),
        clocks=tuple(clocks.items()),
        traits=any(one.traits for one in inputs),
        basis=tuple(part for one in inputs for part in one.basis),
    )


def inputs_of(condition: Condition, readings: Mapping[str, Reading]) -> Inputs:
    """What a condition over tags and traits is made of; of its own meaning it says nothing.

    Properties are not among it (an event brings its own), nor are segments.
    """
    return together(_clause_inputs(one, readings) for one in _clauses(condition))


def _clauses(condition: Condition) -> Iterator[Condition]:
    parts: Sequence[Condition] = (*(condition.all_ or ()), *(condition.any_ or ()))
    if condition.not_ is not None:
        parts = (*parts, condition.not_)
    if not parts:
        yield condition
    for part in parts:
        yield from _clauses(part)


def _clause_inputs(clause: Condition, readings: Mapping[str, Reading]) -> Inputs:
    if clause.trait is not None:
        return Inputs(events=TRAIT_EVENTS, traits=True)
    if clause.tag is None:
        return Inputs()
    wanted = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    return readings[clause.tag].at_bounds(
        float(one) for one in wanted if type(one) in NUMERIC and isinstance(one, int | float)
    )
