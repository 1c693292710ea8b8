"""Cleaning, the second step of folding an event: values into one form, wrong ones out.

What a rule does to an event is decided by the event and the person's traits alone; whether a
number is an outlier also by those that came before (`outliers`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.cleaning import UNKNOWN, Cleaning, Fault, Finding, Missing, source_of
from services.contracts.errors import Malformed
from services.contracts.event import IDENTIFY, RESERVED_NAMES, Event
from services.triggers.engine.clauses import NUMERIC, lookup, same_as_any
from services.triggers.engine.forms import Shape, shape_of
from services.triggers.engine.outputs import Outputs

TRAITS_EVENT: Final = RESERVED_NAMES[IDENTIFY]
"""The event that brings traits."""
SAMPLE_CHARS_MAX: Final = 60
_PERSONAL_FORMS: Final = frozenset({"phone", "date"})
"""Forms of personal data: samples of them show their shape only."""
_PERSONAL_WORDS: Final = ("phone", "mail", "name", "address", "birth", "card", "passport")

Found = tuple["Rule", Fault, Any]
"""What a rule found, and the value as it came."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One rule, compiled. `path` is that of its property, or its trait."""

    rule: Cleaning
    path: str
    shape: Shape | None
    hidden: bool

    def clean(self, values: dict[str, Any], beside: Mapping[str, Any]) -> tuple[Any, Fault | None]:
        """The value that shall stand, None for none, and what was found on the way.

        `beside` is known besides what the event says: of a person's traits.

        Raises:
            Malformed: `impossible`, where the rule refuses such events.
        """
        rule = self.rule
        given = lookup(values, self.path)
        value: Any = given
        fault: Fault | None = None
        if value is not None and self.shape is not None:
            value = self.shape(value)
            if value == UNKNOWN and given != UNKNOWN:
                fault = "unknown"
            elif value != given or type(value) is not type(given):
                fault = "respelled"
        if value is None and rule.missing is not None and lookup(beside, self.path) is None:
            value, fault = _stand_in(rule.missing, values, beside)
        if value is None or value == UNKNOWN or not self._impossible(value):
            return value, fault
        if rule.impossible == "refuse":
            raise Malformed("impossible", f"rule {rule.id}: {self.path} cannot be so")
        return None, "quarantined"

    def _impossible(self, value: Any) -> bool:
        rule = self.rule
        if type(value) in NUMERIC:
            # NaN is neither below nor above anything.
            low, high = rule.min, rule.max
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                return True
        elif rule.min is not None or rule.max is not None:
            return True
        return rule.one_of is not None and not same_as_any(value, rule.one_of)

    def sample(self, value: Any) -> str:
        """A value as a report may show it."""
        text = str(value)[:SAMPLE_CHARS_MAX]
        return "".join(map(_mask, text)) if self.hidden else text


def _mask(char: str) -> str:
    return "9" if char.isdigit() else "x" if char.isalpha() else char


def _stand_in(
    missing: Missing, values: Mapping[str, Any], beside: Mapping[str, Any]
) -> tuple[Any, Fault]:
    if missing.unknown:
        return UNKNOWN, "unknown"
    if missing.infer is None:
        return missing.fill, "filled"
    basis = lookup(values, missing.infer)
    if basis is None:
        basis = lookup(beside, missing.infer)
    found = (missing.table or {}).get(basis) if isinstance(basis, str) else None
    return (UNKNOWN, "unknown") if found is None else (found, "inferred")


def put(values: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy in which `value` stands at a dotted path; None takes away what stands there."""
    copy = dict(values)
    head, dot, rest = path.partition(".")
    if path in copy or not dot:
        if value is None:
            copy.pop(path, None)
        else:
            copy[path] = value
        return copy
    inner = copy.get(head)
    if isinstance(inner, dict) or value is not None:
        copy[head] = put(inner if isinstance(inner, dict) else {}, rest, value)
    return copy


class Cleaner:
    """All rules for events of one name, in the order in which they stand."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._of_properties = [rule for rule in rules if rule.rule.property is not None]
        self._of_traits = [rule for rule in rules if rule.rule.trait is not None]

    def clean(self, event: Event, traits: Mapping[str, Any]) -> tuple[Event, list[Found]]:
        """The event as it shall be folded, and what was found. Changes nothing.

        Raises:
            Malformed: `impossible`: the event is to be refused.
        """
        found: list[Found] = []
        properties = _cleaned(event.properties, {}, self._of_properties, found)
        given = _cleaned(event.traits, traits, self._of_traits, found)
        if properties is not event.properties or given is not event.traits:
            event = msgspec.structs.replace(event, properties=properties, traits=given)
        return event, found


def _cleaned(
    values: dict[str, Any], beside: Mapping[str, Any], rules: Sequence[Rule], found: list[Found]
) -> dict[str, Any]:
    for rule in rules:
        before = lookup(values, rule.path)
        value, fault = rule.clean(values, beside)
        if fault is not None:
            found.append((rule, fault, before))
            values = put(values, rule.path, value)
    return values


def report(event: Event, found: Sequence[Found], position: int, now: int, out: Outputs) -> None:
    """Hand out what was found in an event."""
    source = source_of(event.context)
    for rule, fault, value in found:
        out.findings.append(
            Finding(
                person=event.person,
                position=position,
                at=now,
                source=source,
                rule=rule.rule.id,
                fault=fault,
                message_id=event.message_id,
                sample=None if value is None else rule.sample(value),
            )
        )


def report_duplicate(event: Event, position: int, now: int, out: Outputs) -> None:
    """Hand out that an event came again."""
    out.findings.append(
        Finding(
            person=event.person,
            position=position,
            at=now,
            source=source_of(event.context),
            rule="",
            fault="duplicate",
            message_id=event.message_id,
        )
    )


def compile_rule(rule: Cleaning) -> Rule:
    """Compile a checked rule."""
    path = rule.property or rule.trait or ""
    said = path.lower()
    return Rule(
        rule=rule,
        path=path,
        shape=shape_of(rule),
        hidden=rule.form in _PERSONAL_FORMS or any(part in said for part in _PERSONAL_WORDS),
    )


def events_of(rule: Cleaning) -> tuple[str, ...]:
    """The names of events that a rule is about."""
    return (TRAITS_EVENT,) if rule.trait is not None else (rule.events or ())
