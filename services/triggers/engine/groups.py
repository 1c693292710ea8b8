"""Segments and life cycles compiled: which groups an event can move, and how one finds out.

Life cycles follow from tags and traits, segments from these and from life cycles: looked at in
this order once, all of them agree. What becomes of the changes is `grouping`'s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from services.contracts.event import LIFECYCLE_CHANGED, SEGMENT_ENTERED, SEGMENT_LEFT
from services.contracts.groups import Lifecycle, Segment
from services.contracts.time import Micros
from services.triggers.engine.clauses import segment_name
from services.triggers.engine.conditions import ReadTag, Test, compile_test
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.readings import Inputs, Reading, inputs_of, together
from services.triggers.engine.state import Membership, PersonState, Stage, TagData
from services.triggers.engine.tags import LEAVES_AT

_NO_PROPERTIES: Final[dict[str, Any]] = {}

ReadData = Callable[[TagData, Micros], Any]


class Change(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A group of the person's became another: an event's name, its own mark, its properties."""

    name: str
    mark: str
    properties: dict[str, Any]


class _Way(msgspec.Struct, frozen=True, eq=False):
    from_: frozenset[str] | None
    to: str
    holds: Test


class Cycle(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A life cycle, compiled; `mark` is another once it is defined otherwise."""

    id: str
    mark: int
    initial: str | None
    states: frozenset[str]
    ways: tuple[_Way, ...]

    def advance(self, stage: Stage, state: PersonState, at: Micros) -> Iterator[Change]:
        """Take every transition that there is to take now."""
        been = {stage.label}
        while (to := self._next(stage.label, been, state, at)) is not None:
            before, stage.label, stage.since = stage.label, to, at
            been.add(to)
            yield Change(
                name=LIFECYCLE_CHANGED,
                mark=f"{self.id}/{to}",
                properties={"lifecycle": self.id, "from": before, "to": to},
            )

    def _next(
        self, label: str | None, been: set[str | None], state: PersonState, at: Micros
    ) -> str | None:
        for way in self.ways:
            if (
                (way.from_ is None or label in way.from_)
                and way.to not in been
                and way.holds(_NO_PROPERTIES, state, at)
            ):
                return way.to
        return None


class Circle(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A segment, compiled; `key` is another once it means something else."""

    id: str
    key: int
    holds: Test

    def look(self, membership: Membership, state: PersonState, at: Micros) -> Change | None:
        """See whether the person is a member now; nothing, of whom it is not known yet."""
        was_in = membership.segments.get(self.key)
        if was_in is None:
            return None
        is_in = bool(self.holds(_NO_PROPERTIES, state, at))
        if was_in is is_in:
            return None
        membership.segments[self.key] = is_in
        return Change(
            name=SEGMENT_ENTERED if is_in else SEGMENT_LEFT,
            mark=self.id,
            properties={"segment": self.id},
        )


class Part(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Some of the groups, what they are made of, and how the data of their tags is read."""

    cycles: tuple[Cycle, ...]
    circles: tuple[Circle, ...]
    inputs: Inputs
    reads: tuple[tuple[int, ReadData], ...]

    def look(self, membership: Membership, state: PersonState, at: Micros) -> list[Change]:
        """Find what has become of these groups by this instant, and when to look again.

        Those that are new to the person are left out: they have not found their place yet.
        """
        changes: list[Change] = []
        for cycle in self.cycles:
            stage = membership.stages.get(cycle.id)
            if stage is not None and stage.mark == cycle.mark:
                changes += cycle.advance(stage, state, at)
        for circle in self.circles:
            change = circle.look(membership, state, at)
            if change is not None:
                changes.append(change)
        self.look_again(membership, state, at)
        return changes

    def look_again(self, membership: Membership, state: PersonState, at: Micros) -> None:
        """Put down when to look again; no later than was put down before."""
        for key, read in self.reads:
            data = state.tags.get(key)
            # A condition need not have read all of its tags, and what has left is still there.
            if data is not None and data[LEAVES_AT] <= at:
                read(data, at)
        membership.due_at = min(membership.due_at, self.inputs.changes_at(state, at))


class Groups(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All groups of a workspace. `hearing`: those that an event of a name can move."""

    whole: Part
    hearing: dict[str, Part]

    def members(self, membership: Membership) -> tuple[str, ...]:
        """The segments that the person is in, in order of id."""
        return tuple(one.id for one in self.whole.circles if membership.segments.get(one.key))

    def marks(self) -> frozenset[int]:
        """What tells these groups from others."""
        return frozenset(
            {*(one.mark for one in self.whole.cycles), *(one.key for one in self.whole.circles)}
        )


def _stage_reader(lifecycle: Lifecycle) -> ReadTag:
    id_, initial = lifecycle.id, lifecycle.initial

    def read(state: PersonState, now: Micros) -> str | None:
        membership = state.membership
        stage = None if membership is None else membership.stages.get(id_)
        return initial if stage is None else stage.label

    return read


def _segment_reader(segment: Segment, readers: Mapping[str, ReadTag]) -> ReadTag:
    holds = compile_test(segment.when, readers)
    return lambda state, now: bool(holds(_NO_PROPERTIES, state, now))


def stage_readings(
    lifecycles: Iterable[Lifecycle], readings: Mapping[str, Reading]
) -> dict[str, Reading]:
    """How the states of checked life cycles are read as tags, in order of id."""
    return {
        one.id: Reading(
            read=_stage_reader(one),
            inputs=Inputs(
                events=frozenset({LIFECYCLE_CHANGED}), basis=(str(_mark(one, readings)),)
            ),
        )
        for one in sorted(lifecycles, key=lambda one: one.id)
    }


def with_segments(
    readings: Mapping[str, Reading], segments: Iterable[Segment]
) -> dict[str, ReadTag]:
    """The readers of these tags, and of checked segments: a clause asks for one by its
    condition, as of the instant of asking."""
    readers = {id_: one.read for id_, one in readings.items()}
    asked = {segment_name(one.id): _segment_reader(one, readers) for one in segments}
    return {**readers, **asked}


def _inputs(lifecycle: Lifecycle, readings: Mapping[str, Reading]) -> Inputs:
    return together(inputs_of(one.when, readings) for one in lifecycle.transitions)


def _mark(lifecycle: Lifecycle, readings: Mapping[str, Reading]) -> int:
    """Fingerprint of what a life cycle is, whatever it is called."""
    parts = ["lifecycle", lifecycle.id, lifecycle.initial or "", *lifecycle.states]
    parts += [_text(one) for one in lifecycle.transitions]
    return fingerprint_parts([*parts, *_inputs(lifecycle, readings).basis])


def _text(definition: object) -> str:
    return msgspec.json.encode(definition).decode()


def compile_groups(
    lifecycles: Iterable[Lifecycle],
    segments: Iterable[Segment],
    readings: Mapping[str, Reading],
    reads: Mapping[int, ReadData],
) -> Groups | None:
    """Compile checked groups, None where there are none.

    `readings` are those of tags and of life cycles, `reads` read the data of rolling tags.
    """
    readers = {id_: one.read for id_, one in readings.items()}
    cycles = [
        (_inputs(one, readings), _cycle(one, readings, readers))
        for one in sorted(lifecycles, key=lambda one: one.id)
    ]
    circles = [
        (inputs_of(one.when, readings), _circle(one, readings, readers))
        for one in sorted(segments, key=lambda one: one.id)
    ]
    if not cycles and not circles:
        return None

    def part(names: frozenset[str] | None) -> Part:
        """Those that one of these events can move, all of them for None."""
        moved = [one for one in cycles if names is None or one[0].events & names]
        # A life cycle that moves may move a segment with it.
        heard = names if names is None or not moved else names | {LIFECYCLE_CHANGED}
        members = [one for one in circles if heard is None or one[0].events & heard]
        inputs = together(one for one, _ in (*moved, *members))
        return Part(
            cycles=tuple(one for _, one in moved),
            circles=tuple(one for _, one in members),
            inputs=inputs,
            reads=tuple((key, reads[key]) for key in inputs.keys),
        )

    whole = part(None)
    # A change of a life cycle is looked at where it happens.
    names = sorted(whole.inputs.events - {LIFECYCLE_CHANGED})
    return Groups(whole=whole, hearing={name: part(frozenset({name})) for name in names})


def _cycle(
    lifecycle: Lifecycle, readings: Mapping[str, Reading], readers: Mapping[str, ReadTag]
) -> Cycle:
    ways = tuple(
        _Way(
            None if isinstance(one.from_, str) else frozenset(one.from_),
            one.to,
            compile_test(one.when, readers),
        )
        for one in lifecycle.transitions
    )
    return Cycle(
        id=lifecycle.id,
        mark=_mark(lifecycle, readings),
        initial=lifecycle.initial,
        states=frozenset(lifecycle.states),
        ways=ways,
    )


def _circle(
    segment: Segment, readings: Mapping[str, Reading], readers: Mapping[str, ReadTag]
) -> Circle:
    basis = inputs_of(segment.when, readings).basis
    key = fingerprint_parts(["segment", segment.id, _text(segment.when), *basis])
    return Circle(id=segment.id, key=key, holds=compile_test(segment.when, readers))
