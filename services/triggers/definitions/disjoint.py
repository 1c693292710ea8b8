"""Whether two conditions can never hold of the same person at the same instant. Pure.

Says yes only where it is certain; a yes is never wrong, a no may be.
"""

from math import inf
from typing import Final

import msgspec

from services.contracts.conditions import Condition, Scalar

_MISSING: Final = "not_exists"
_NEEDING: Final = frozenset({"eq", "gt", "gte", "lt", "lte", "in", "contains", "starts_with"})
"""Operators that are false of a missing value."""

Key = tuple[str, Scalar]


def disjoint(one: Condition | None, other: Condition | None) -> bool:
    """Whether no person can fulfil both; None lets everybody in."""
    if one is None or other is None:
        return False
    if _opposite(one, other) or _opposite(other, one):
        return True
    for this, that in ((one, other), (other, one)):
        if this.all_ is not None:
            return any(disjoint(part, that) for part in this.all_)
        if this.any_ is not None:
            return all(disjoint(part, that) for part in this.any_)
    subject = _subject(one)
    if subject is None or subject != _subject(other):
        return False
    return _clauses(one, other)


def _opposite(one: Condition, other: Condition) -> bool:
    """Whether `one` says not `other`, by its JSON: to Python 1 equals true."""
    return one.not_ is not None and msgspec.json.encode(one.not_) == msgspec.json.encode(other)


def _subject(clause: Condition) -> tuple[str, str] | None:
    """What a clause asks about; None for a group."""
    for kind in ("property", "tag", "trait"):
        name = getattr(clause, kind)
        if name is not None:
            return kind, name
    return None


def _clauses(one: Condition, other: Condition) -> bool:
    for clause in (one, other):
        if clause.op not in ("exists", _MISSING) and ("null", None) in _keys(clause.value):
            return False
    for this, that in ((one, other), (other, one)):
        if this.op == _MISSING and (that.op in _NEEDING or that.op == "exists"):
            return True
        allowed = _allowed(this)
        if allowed is None:
            continue
        if that.op in ("ne", "not_in"):
            return allowed <= _keys(that.value)
        others = _allowed(that)
        if others is not None:
            return not allowed & others
        if that.op in ("gt", "gte", "lt", "lte"):
            return not any(_within(key, that) for key in allowed)
    return _apart(_range(one), _range(other))


def _key(value: Scalar) -> Key:
    """A text, a number and a bool are never equal, 1 and 1.0 are."""
    if isinstance(value, bool) or value is None:
        return ("null" if value is None else "bool"), value
    return ("number" if isinstance(value, int | float) else "text"), value


def _keys(value: Scalar | tuple[Scalar, ...]) -> set[Key]:
    return {_key(one) for one in (value if isinstance(value, tuple) else (value,))}


def _allowed(clause: Condition) -> set[Key] | None:
    """The only values with which it holds, None where these are not few."""
    return _keys(clause.value) if clause.op in ("eq", "in") else None


def _within(key: Key, clause: Condition) -> bool:
    kind, value = key
    bound_kind, bound = _key(clause.value if not isinstance(clause.value, tuple) else None)
    if kind != bound_kind or not isinstance(value, int | float | str):
        return False
    if isinstance(value, str) or isinstance(bound, str):
        # How texts are ordered is the engine's: nothing is certain here.
        return True
    assert isinstance(bound, int | float)
    return {
        "gt": value > bound,
        "gte": value >= bound,
        "lt": value < bound,
        "lte": value <= bound,
    }[clause.op or "gt"]


Range = tuple[float, bool, float, bool]
"""Lower bound and whether it counts in, upper bound and whether it counts in."""


def _range(clause: Condition) -> Range | None:
    value = clause.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if clause.op in ("gt", "gte"):
        return value, clause.op == "gte", inf, False
    if clause.op in ("lt", "lte"):
        return -inf, False, value, clause.op == "lte"
    return None


def _apart(one: Range | None, other: Range | None) -> bool:
    if one is None or other is None:
        return False
    # A bound that counts out is the narrower one of two equal ones.
    low, low_out = max((one[0], not one[1]), (other[0], not other[1]))
    high, high_in = min((one[2], one[3]), (other[2], other[3]))
    return low > high or (low == high and (low_out or not high_in))
