"""What is wrong with a condition."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from services.contracts.conditions import CONDITION_CLAUSES_MAX, CONDITION_DEPTH_MAX, Condition
from services.triggers.engine.clauses import kind_of, segment_name
from services.triggers.engine.limits import CONDITION_TEXT_CHARS_MAX, CONDITION_VALUES_MAX

Problems = list[tuple[str, str]]

TagKind = str | tuple[str, ...]
"""What can be asked of a tag: `number`, `list` or `any`; or the labels that its value can be."""

_ORDERINGS: Final = ("gt", "gte", "lt", "lte")
_OPS_OF_NUMBERS: Final = frozenset(
    {"eq", "ne", "in", "not_in", "exists", "not_exists", *_ORDERINGS}
)
_OPS_OF_LABELS: Final = frozenset({"eq", "ne", "in", "not_in", "exists", "not_exists"})
_OPS_OF_LISTS: Final = frozenset({"contains", "exists", "not_exists"})
_GROUPS: Final = ("all", "any", "not")
_SUBJECTS: Final = ("property", "tag", "trait", "segment")


def _given(condition: Condition) -> dict[str, Any]:
    fields = {
        "all": condition.all_,
        "any": condition.any_,
        "not": condition.not_,
        "property": condition.property,
        "tag": condition.tag,
        "trait": condition.trait,
        "segment": condition.segment,
    }
    return {name: value for name, value in fields.items() if value is not None}


def check_condition(
    condition: Condition,
    place: str,
    problems: Problems,
    *,
    tag_kinds: Mapping[str, TagKind],
    tags_allowed: bool = True,
) -> None:
    """Add what is wrong with a condition. `tag_kinds` holds what can be asked of each tag,
    anything for each segment under its `segment_name`."""
    clauses = _Walk(problems, tag_kinds, tags_allowed=tags_allowed).visit(condition, place, 1)
    if clauses > CONDITION_CLAUSES_MAX:
        problems.append((place, f"{clauses} clauses, at most {CONDITION_CLAUSES_MAX} are allowed"))


class _Walk:
    def __init__(
        self, problems: Problems, tag_kinds: Mapping[str, TagKind], *, tags_allowed: bool
    ) -> None:
        self._problems = problems
        self._tag_kinds = tag_kinds
        self._tags_allowed = tags_allowed

    def _add(self, place: str, reason: str) -> None:
        self._problems.append((place, reason))

    def visit(self, condition: Condition, place: str, depth: int) -> int:
        """Check one condition and what is inside it; gives its number of clauses."""
        if depth > CONDITION_DEPTH_MAX:
            self._add(place, f"nested deeper than {CONDITION_DEPTH_MAX} levels")
            return 0
        given = _given(condition)
        if len(given) != 1:
            found = ", ".join(given) or "none"
            self._add(
                place, f"exactly one of {', '.join(_GROUPS + _SUBJECTS)} is needed, found {found}"
            )
            return 0
        name, value = next(iter(given.items()))
        if name in _GROUPS and (condition.op is not None or condition.value is not None):
            self._add(place, f"op and value belong to a clause, not beside `{name}`")
        if name == "not":
            return self.visit(value, f"{place}.not", depth + 1)
        if name in _GROUPS:
            if not value:
                self._add(f"{place}.{name}", "a group needs at least one condition")
            return sum(
                self.visit(part, f"{place}.{name}[{number}]", depth + 1)
                for number, part in enumerate(value)
            )
        self._clause(condition, name, place)
        return 1

    def _clause(self, clause: Condition, subject: str, place: str) -> None:
        op = clause.op
        if clause.segment is not None:
            self._segment(clause, clause.segment, place)
            return
        if op is None:
            self._add(f"{place}.op", f"a clause over a {subject} needs an op")
            return
        kind: TagKind = "any"
        if clause.tag is not None:
            if not self._tags_allowed:
                self._add(f"{place}.tag", "a tag cannot depend on tags")
                return
            if clause.tag not in self._tag_kinds:
                self._add(f"{place}.tag", f"unknown tag {clause.tag!r}")
                return
            kind = self._tag_kinds[clause.tag]
        if isinstance(kind, tuple):
            self._label(clause, op, kind, place)
            return
        allowed = {"number": _OPS_OF_NUMBERS, "list": _OPS_OF_LISTS}.get(kind)
        if allowed is not None and op not in allowed:
            self._add(
                f"{place}.op", f"the value of tag {clause.tag!r} is a {kind}: {op} does not apply"
            )
            return
        reason = _value_problem(op, clause.value, needs_number=kind == "number")
        if reason is not None:
            self._add(f"{place}.value", reason)

    def _label(self, clause: Condition, op: str, labels: tuple[str, ...], place: str) -> None:
        if op not in _OPS_OF_LABELS:
            reason = f"the value of tag {clause.tag!r} is a label: {op} does not apply"
            self._add(f"{place}.op", reason)
            return
        reason_or_none = _value_problem(op, clause.value, needs_number=False)
        wanted = clause.value if isinstance(clause.value, tuple) else (clause.value,)
        unknown = [one for one in wanted if one is not None and one not in labels]
        if reason_or_none is None and unknown:
            known = ", ".join(labels)
            reason_or_none = f"{unknown[0]!r} is none of the labels of {clause.tag!r}: {known}"
        if reason_or_none is not None:
            self._add(f"{place}.value", reason_or_none)

    def _segment(self, clause: Condition, segment: str, place: str) -> None:
        if clause.op is not None or clause.value is not None:
            self._add(f"{place}.op", "a segment stands alone: `not` asks who is no member")
        if segment_name(segment) not in self._tag_kinds:
            self._add(f"{place}.segment", f"unknown segment {segment!r}, or none can be asked here")


def _value_problem(op: str, value: Any, *, needs_number: bool) -> str | None:
    """Why a value does not go with its op, None where it does."""
    if op in ("exists", "not_exists"):
        return None if value is None else f"{op} takes no value"
    if op in ("in", "not_in"):
        if not isinstance(value, tuple) or not value:
            return f"{op} needs a list of values"
        if len(value) > CONDITION_VALUES_MAX:
            return f"{len(value)} values, at most {CONDITION_VALUES_MAX} are allowed"
        reasons = (_scalar_problem(op, one, needs_number=needs_number) for one in value)
        return next((reason for reason in reasons if reason is not None), None)
    if isinstance(value, tuple):
        return f"{op} needs one value, not a list"
    return _scalar_problem(op, value, needs_number=needs_number)


def _scalar_problem(op: str, value: Any, *, needs_number: bool) -> str | None:
    if value is None:
        return f"{op} needs a value (a missing one is asked for with not_exists)"
    kind = kind_of(value)
    if isinstance(value, str) and len(value) > CONDITION_TEXT_CHARS_MAX:
        return f"longer than {CONDITION_TEXT_CHARS_MAX} characters"
    if isinstance(value, float) and not isfinite(value):
        return "not a finite number"
    if needs_number and kind != "number":
        return f"the tag's value is a number, this is a {kind}"
    if op in _ORDERINGS and kind not in ("number", "text"):
        return f"{op} compares numbers or texts, this is a {kind}"
    if op == "starts_with" and kind != "text":
        return f"{op} needs a text"
    return None
