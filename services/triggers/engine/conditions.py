"""Conditions compiled to Python.

The generated text holds names, operators and keywords of this module only. Whatever comes
from a definition (paths, texts, numbers) is passed in as a constant of the namespace, so no
definition can write code.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from services.contracts.conditions import Condition
from services.contracts.time import Micros
from services.triggers.engine.clauses import (
    NUMERIC,
    contains,
    lookup,
    same,
    same_as_any,
    segment_name,
)
from services.triggers.engine.state import PersonState

ReadTag = Callable[[PersonState, Micros], Any]
"""Gives a tag's value at an instant, None where it has none."""

Test = Callable[[Mapping[str, Any], PersonState, Micros], bool]
"""`test(properties, state, now)`."""

_ALIKE: Final = frozenset({int, str})
"""Of these kinds, equal constants are one; of the others, the same."""
_ORDERINGS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Writer:
    """Writes expressions over `p` (properties), `t` (traits), `s` (the state) and `now`.

    `constant` names a value that the text may use.
    """

    def __init__(self, readers: Mapping[str, ReadTag]) -> None:
        self._readers = readers
        self._read: dict[str, str] = {}
        self._tags_read: dict[str, str] = {}
        self._constants: dict[Any, str] = {}
        self.namespace: dict[str, Any] = {
            "__builtins__": {},
            "NUMERIC": NUMERIC,
            "contains": contains,
            "len": len,
            "lookup": lookup,
            "min": min,
            "same": same,
            "same_as_any": same_as_any,
            "str": str,
            "type": type,
        }

    def constant(self, value: object) -> str:
        # By its type too: 1, 1.0 and true are equal, and their clauses are not.
        kind = type(value)
        key = (kind, value) if kind in _ALIKE else (kind, id(value))
        name = self._constants.get(key)
        if name is None:
            name = self._constants[key] = f"c{len(self.namespace)}"
            self.namespace[name] = value
        return name

    def read_once(self, properties: Iterable[str]) -> list[str]:
        """Statements that read these once; expressions after them use what was read.

        A dotted path is not among them: it is looked up where it is needed.
        """
        for path in properties:
            if "." not in path:
                self._read.setdefault(path, f"p{len(self._read)}")
        return [f"{name} = p.get({self.constant(path)})" for path, name in self._read.items()]

    def given(self, tags: Iterable[str]) -> list[str]:
        """Names of parameters with the values of these tags: expressions after this use them."""
        self._tags_read = {tag: f"g{number}" for number, tag in enumerate(tags)}
        return list(self._tags_read.values())

    def expression(self, condition: Condition) -> str:
        if condition.all_ is not None:
            return "(" + " and ".join(map(self.expression, condition.all_)) + ")"
        if condition.any_ is not None:
            return "(" + " or ".join(map(self.expression, condition.any_)) + ")"
        if condition.not_ is not None:
            return f"(not {self.expression(condition.not_)})"
        if condition.segment is not None:
            return f"{self.constant(self._readers[segment_name(condition.segment)])}(s, now)"
        return self._clause(self.subject(condition), condition.op or "exists", condition.value)

    def subject(self, clause: Condition) -> str:
        """Where a clause's value comes from."""
        if clause.tag in self._tags_read:
            return self._tags_read[clause.tag]
        if clause.tag is not None:
            return f"{self.constant(self._readers[clause.tag])}(s, now)"
        if clause.property in self._read:
            return self._read[clause.property]
        source = "p" if clause.property is not None else "t"
        path = clause.property or clause.trait or ""
        if "." in path:
            return f"lookup({source}, {self.constant(path)})"
        return f"{source}.get({self.constant(path)})"

    def _clause(self, subject: str, op: str, wanted: Any) -> str:
        if op == "exists":
            return f"({subject} is not None)"
        if op == "not_exists":
            return f"({subject} is None)"
        if op == "ne":
            return f"(not {self._clause(subject, 'eq', wanted)})"
        if op == "not_in":
            return f"(not {self._clause(subject, 'in', wanted)})"
        if op == "eq":
            return self._equal(subject, wanted)
        name = self.constant(wanted)
        if op == "in":
            if all(isinstance(one, str) for one in wanted):
                texts = self.constant(frozenset(wanted))
                return f"(type(v := {subject}) is str and v in {texts})"
            return f"same_as_any({subject}, {name})"
        if op == "contains":
            return f"contains({subject}, {name})"
        if op == "starts_with":
            return f"(type(v := {subject}) is str and v.startswith({name}))"
        if isinstance(wanted, str):
            return f"(type(v := {subject}) is str and v {_ORDERINGS[op]} {name})"
        return self.compared(subject, _ORDERINGS[op], name)

    def compared(self, subject: str, op: str, wanted: str) -> str:
        """Whether something is a number that stands so to another."""
        return f"(type(v := {subject}) in NUMERIC and v {op} {wanted})"

    def _equal(self, subject: str, wanted: Any) -> str:
        name = self.constant(wanted)
        # No text equals anything but a text; 0 and 1 would equal false and true.
        if isinstance(wanted, str):
            return f"({subject} == {name})"
        if type(wanted) in NUMERIC:
            return f"((v := {subject}) == {name} and type(v) in NUMERIC)"
        return f"same({subject}, {name})"

    def build(self, parameters: str, lines: Sequence[str]) -> Any:
        """The function of these parameters and statements."""
        body = "".join(f"    {line}\n" for line in lines)
        source = f"def compiled({parameters}):\n{body}"
        exec(compile(source, "<definitions>", "exec"), self.namespace)  # noqa: S102
        return self.namespace["compiled"]


def compile_test(condition: Condition, readers: Mapping[str, ReadTag]) -> Test:
    """A function that says whether a checked condition holds."""
    writer = Writer(readers)
    test: Test = writer.build(
        "p, s, now", ["t = s.traits", f"return {writer.expression(condition)}"]
    )
    return test
