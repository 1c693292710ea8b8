"""A condition over tags, traits and segments as SQL.

It means what it means in the stream (docs/definitions.md): a missing value fails a clause, but
for `ne`, `not_in` and `not_exists`; kinds never mix. Clauses over tags and segments are written
so that the indexes serve them.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any, Final

import msgspec

from services.contracts.conditions import (
    CONDITION_CLAUSES_MAX,
    CONDITION_DEPTH_MAX,
    Condition,
)
from services.contracts.errors import Malformed
from services.profile_store.jsonb import to_jsonb, to_text

CODE: Final = "bad_condition"
VALUES_MAX: Final = 500
TEXT_CHARS_MAX: Final = 1_000
_GROUPS: Final = ("all_", "any_", "not_")
_SUBJECTS: Final = ("tag", "trait", "segment", "property")
_SIGNS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NEGATIONS: Final = {"ne": "eq", "not_in": "in", "not_exists": "exists"}


def check_where(where: Condition, place: str = "where") -> None:
    """Refuse a condition that cannot be asked of stored profiles.

    Raises:
        Malformed: `bad_condition`, with the place and the reason.
    """
    clauses = sum(1 for _ in _walk(where, place, 1))
    if clauses > CONDITION_CLAUSES_MAX:
        raise _wrong(place, f"{clauses} clauses, at most {CONDITION_CLAUSES_MAX} are allowed")


def _wrong(place: str, reason: str) -> Malformed:
    return Malformed(CODE, f"{place}: {reason}")


def _walk(one: Condition, place: str, depth: int) -> Iterator[Condition]:
    """The clauses of a condition, each checked."""
    if depth > CONDITION_DEPTH_MAX:
        raise _wrong(place, f"nested deeper than {CONDITION_DEPTH_MAX} levels")
    given = [name for name in (*_GROUPS, *_SUBJECTS) if getattr(one, name) is not None]
    if len(given) != 1:
        raise _wrong(place, "exactly one of all, any, not, tag, trait, segment is needed")
    (name,) = given
    if name in _GROUPS:
        if one.op is not None or one.value is not None:
            raise _wrong(place, "op and value belong to a clause")
        parts = (one.not_,) if one.not_ is not None else one.all_ or one.any_ or ()
        if not parts:
            raise _wrong(place, "a group needs at least one condition")
        for number, part in enumerate(parts):
            inner = f"{place}.not" if name == "not_" else f"{place}.{name[:-1]}[{number}]"
            yield from _walk(part, inner, depth + 1)
        return
    reason = _clause_problem(one)
    if reason is not None:
        raise _wrong(place, reason)
    yield one


def _clause_problem(clause: Condition) -> str | None:
    op, value = clause.op, clause.value
    if clause.property is not None:
        return "there is no event here: ask for tags, traits and segments"
    if clause.segment is not None:
        return None if op is None and value is None else "a segment stands alone"
    if op is None:
        return "a clause needs an op"
    if op in ("exists", "not_exists"):
        return None if value is None else f"{op} takes no value"
    if op in ("in", "not_in"):
        if not isinstance(value, tuple) or not 0 < len(value) <= VALUES_MAX:
            return f"{op} needs a list of 1 to {VALUES_MAX} values"
        return next((found for one in value if (found := _value_problem(one, op))), None)
    return "one value, not a list" if isinstance(value, tuple) else _value_problem(value, op)


def _value_problem(value: Any, op: str) -> str | None:
    if value is None:
        return "a value is needed (a missing one is asked for with not_exists)"
    if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
        return f"longer than {TEXT_CHARS_MAX} characters"
    if isinstance(value, float) and not isfinite(value):
        return "not a finite number"
    if op in _SIGNS and isinstance(value, bool):
        return f"{op} compares numbers or texts"
    if op == "starts_with" and not isinstance(value, str):
        return "starts_with needs a text"
    return None


def where_of(where: Condition) -> tuple[str, dict[str, Any]]:
    """SQL over a row of profiles, and its parameters; people who were merged are left out.

    Raises:
        Malformed: as `check_where`.
    """
    check_where(where)
    writer = _Writer()
    return f"merged_into IS NULL AND {writer.condition(where)}", writer.parameters


class _Writer:
    """Writes expressions that are true, or else false or NULL: `not` makes that one false."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    def condition(self, one: Condition) -> str:
        if one.all_ is not None:
            return f"({' AND '.join(map(self.condition, one.all_))})"
        if one.any_ is not None:
            return f"({' OR '.join(map(self.condition, one.any_))})"
        if one.not_ is not None:
            return _not(self.condition(one.not_))
        if one.segment is not None:
            return f"segments @> ARRAY[{self._given(one.segment, 'text')}]"
        op = one.op or "exists"
        if op in _NEGATIONS:
            return _not(self._clause(one, _NEGATIONS[op]))
        return self._clause(one, op)

    def _clause(self, clause: Condition, op: str) -> str:
        path = clause.tag or clause.trait or ""
        column = "tags" if clause.tag is not None else "traits"
        if clause.tag is None and "." in path:
            return self._dotted(path, op, clause.value)
        return self._at(column, [path], op, clause.value)

    def _dotted(self, path: str, op: str, value: Any) -> str:
        """A key spelled like the whole path goes first; where there is none, step by step."""
        whole = self._at("traits", [path], "exists", None)
        return (
            f"(CASE WHEN {whole} THEN {self._at('traits', [path], op, value)}"
            f" ELSE {self._at('traits', path.split('.'), op, value)} END)"
        )

    def _at(self, column: str, keys: list[str], op: str, value: Any) -> str:
        if op in ("eq", "in"):
            wanted = value if isinstance(value, tuple) else (value,)
            return f"({' OR '.join(self._holds(column, keys, one) for one in wanted)})"
        if op == "contains":
            found = self._holds(column, keys, [value])
            if not isinstance(value, str):
                return found
            within = f'@ like_regex {_literal(value)} flag "q"'
            return f"({found} OR {self._path(column, keys, within)})"
        if op == "exists":
            return self._path(column, keys, "@ != null")
        if op == "starts_with":
            return self._path(column, keys, f"@ starts with {_literal(value)}")
        return self._path(column, keys, f"@ {_SIGNS[op]} {_literal(value)}")

    def _holds(self, column: str, keys: list[str], value: Any) -> str:
        for key in reversed(keys):
            value = {key: value}
        return f"{column} @> {self._given(to_jsonb(value), 'jsonb')}"

    def _path(self, column: str, keys: list[str], test: str) -> str:
        # Strict: a lax path would look into lists. The index does not serve strict paths, but
        # whether the first key is there.
        steps = "".join(f".{_literal(key)}" for key in keys)
        path = self._given(f"strict ${steps} ? ({test})", "jsonpath")
        return f"({column} ? {self._given(to_text(keys[0]), 'text')} AND {column} @? {path})"

    def _given(self, value: Any, type_: str) -> str:
        name = f"w{len(self.parameters)}"
        self.parameters[name] = value
        return f"CAST(:{name} AS {type_})"


def _not(expression: str) -> str:
    return f"(({expression}) IS NOT TRUE)"


def _literal(value: Any) -> str:
    """A scalar as a jsonpath writes it: in JSON's form."""
    return to_jsonb(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
