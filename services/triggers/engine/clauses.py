"""What each operator of a clause means, written once and plainly.

`conditions` compiles the same meaning to fast code, and a property test holds the two equal;
explanations are made with this one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from services.contracts.conditions import Condition

NUMERIC = frozenset({int, float})
MEMBER = "member"
"""In the place of an op, of a clause that asks for a segment."""


def segment_name(segment: str) -> str:
    """Under which a segment stands among the tags; no tag is called so."""
    return f"segment {segment}"


def lookup(values: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; a key that is spelled like the whole path goes first.

    None where anything on the way is missing.
    """
    found: Any = values.get(path)
    if found is not None or "." not in path:
        return found
    found = values
    for part in path.split("."):
        if type(found) is not dict:
            return None
        found = found.get(part)
    return found


def kind_of(value: Any) -> str:
    """Values compare within a kind only: number, text or bool; the rest is `other`."""
    if type(value) in NUMERIC:
        return "number"
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "other"


def same(actual: Any, wanted: Any) -> bool:
    """Equal and of one kind: 1 equals 1.0, but neither true nor "1"."""
    kind = kind_of(actual)
    return kind != "other" and kind == kind_of(wanted) and bool(actual == wanted)


def same_as_any(actual: Any, wanted: tuple[Any, ...]) -> bool:
    """Whether one of `wanted` is the same."""
    return any(same(actual, one) for one in wanted)


def contains(actual: Any, wanted: Any) -> bool:
    """A text within a text, or an element of a list."""
    if isinstance(actual, str):
        return isinstance(wanted, str) and wanted in actual
    return isinstance(actual, list | tuple) and any(same(one, wanted) for one in actual)


_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda actual, wanted: actual > wanted,
    "gte": lambda actual, wanted: actual >= wanted,
    "lt": lambda actual, wanted: actual < wanted,
    "lte": lambda actual, wanted: actual <= wanted,
}


def _comparable(actual: Any, wanted: Any) -> bool:
    kind = kind_of(actual)
    return kind in ("number", "text") and kind == kind_of(wanted)


_PLAIN: dict[str, Callable[[Any, Any], bool]] = {
    "eq": same,
    "ne": lambda actual, wanted: not same(actual, wanted),
    "in": same_as_any,
    "not_in": lambda actual, wanted: not same_as_any(actual, wanted),
    "contains": contains,
    "starts_with": lambda actual, wanted: (
        isinstance(actual, str) and isinstance(wanted, str) and actual.startswith(wanted)
    ),
    "exists": lambda actual, wanted: True,
    "not_exists": lambda actual, wanted: False,
}


def clause_holds(op: str, actual: Any, wanted: Any) -> bool:
    """Whether `actual op wanted`; None is a missing value. Never raises."""
    if actual is None:
        return op in ("ne", "not_in", "not_exists")
    ordering = _ORDERINGS.get(op)
    if ordering is not None:
        return _comparable(actual, wanted) and ordering(actual, wanted)
    return _PLAIN[op](actual, wanted)


class Subjects:
    """What clauses speak of: an event's properties, a person's traits and tags."""

    __slots__ = ("properties", "tag", "traits")

    def __init__(
        self,
        properties: Mapping[str, Any],
        traits: Mapping[str, Any],
        tag: Callable[[str], Any],
    ) -> None:
        self.properties = properties
        self.traits = traits
        self.tag = tag

    def value(self, clause: Condition) -> Any:
        """The value a clause speaks of, None where it is missing."""
        if clause.property is not None:
            return lookup(self.properties, clause.property)
        if clause.trait is not None:
            return lookup(self.traits, clause.trait)
        if clause.segment is not None:
            return self.tag(segment_name(clause.segment))
        return self.tag(clause.tag) if clause.tag is not None else None


def holds(condition: Condition, subjects: Subjects) -> bool:
    """Evaluate a condition by walking it."""
    if condition.all_ is not None:
        return all(holds(part, subjects) for part in condition.all_)
    if condition.any_ is not None:
        return any(holds(part, subjects) for part in condition.any_)
    if condition.not_ is not None:
        return not holds(condition.not_, subjects)
    if condition.segment is not None:
        return subjects.value(condition) is True
    return clause_holds(condition.op or "exists", subjects.value(condition), condition.value)


def subject_of(clause: Condition) -> tuple[str, str]:
    """What a clause speaks of: the kind of its subject, and which one."""
    for kind in ("property", "trait", "tag", "segment"):
        name = getattr(clause, kind)
        if name is not None:
            return kind, name
    raise ValueError(kind)


def failing(
    condition: Condition, subjects: Subjects, place: str, *, wanted: bool = True
) -> dict[str, Any] | None:
    """The first clause that keeps a condition from being `wanted`: its place and its value.

    None where nothing does. In a failed `any` every part failed: the first is told.
    """
    if condition.not_ is not None:
        return failing(condition.not_, subjects, f"{place}.not", wanted=not wanted)
    if holds(condition, subjects) is wanted:
        return None
    name = "all" if condition.all_ is not None else "any"
    for number, part in enumerate(condition.all_ or condition.any_ or ()):
        found = failing(part, subjects, f"{place}.{name}[{number}]", wanted=wanted)
        if found is not None:
            return found
    subject, which = subject_of(condition)
    details: dict[str, Any] = {
        "clause": place,
        subject: which,
        "op": condition.op or MEMBER,
        "actual": subjects.value(condition),
    }
    if condition.value is not None:
        details["value"] = condition.value
    if not wanted:
        details["negated"] = True
    return details
