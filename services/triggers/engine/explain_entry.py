"""An entry and an audience evaluated again, on stored tags and traits and on given events."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from services.contracts.conditions import Condition
from services.contracts.entries import Entry, TagChange, Threshold
from services.contracts.event import Event
from services.contracts.steps import WaitFor
from services.contracts.time import Micros
from services.triggers.engine.clauses import (
    MEMBER,
    Subjects,
    clause_holds,
    failing,
    holds,
    lookup,
    subject_of,
)
from services.triggers.engine.explain_texts import clause_text, instant, names_text, value_text
from services.triggers.engine.rules import Rule, Rules
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import is_number

EVENTS_TOLD_MAX: Final = 3
"""The newest that concern a place of the entry."""
WITHOUT: Final = "entry.absence.without"


class Clause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One clause of a condition: where it stands, the value it found, whether it holds.

    `subject` is `property`, `trait`, `tag` or `segment` (then `op` is `member`), `name` which
    one. `negated`: it stands under an
    odd number of `not`, so that it has to fail.
    """

    place: str
    subject: str
    name: str
    op: str
    value: Any = None
    actual: Any
    holds: bool
    negated: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reason, as a sentence and as fields.

    `kind`: `decision` (a record), `status` (the trigger is not decided), `put_off` (decided
    again at `at`), `under_way` (a journey waits, at most until `at`), `step` (not come to),
    `waiting` (the entry looks again at `at`), `entry` (evaluated on an event), `value` (what
    the entry asks of the profile), `exit`, `wait_for` (evaluated on an event) or `audience`
    (as it stands now). `place` names the part of the trigger that is spoken of, `step` the
    number of the step. `holds`: whether that part is as the trigger wants it in order to come
    in (of an absence, that `without` did not happen) or, of a step, was come to; None where
    nothing can be said.
    """

    kind: str
    sentence: str
    place: str = ""
    at: Micros | None = None
    event_id: str | None = None
    outcome: str | None = None
    step: int | None = None
    holds: bool | None = None
    clauses: tuple[Clause, ...] = ()
    details: dict[str, Any] = {}


def _asked(entry: Entry) -> Iterator[tuple[str, tuple[str, ...], Condition | None]]:
    """Every place of an entry that asks for an event: names and condition."""
    if entry.events:
        yield "entry", entry.events, entry.where
    if entry.sequence is not None:
        for number, part in enumerate(entry.sequence.parts):
            yield f"entry.sequence.parts[{number}]", part.events, part.where
    if entry.absence is not None:
        for name in ("after", "without"):
            match = getattr(entry.absence, name)
            yield f"entry.absence.{name}", match.events, match.where
    if entry.inactivity is not None:
        yield "entry.inactivity", entry.inactivity.events, None


def of_events(
    state: PersonState, rule: Rule, rules: Rules, events: Sequence[Event], now: Micros
) -> Iterator[Finding]:
    """Each place of the entry that asks for an event, on the last ones that concern it."""
    for place, names, where in _asked(rule.trigger.entry):
        told = list(_on_events("entry", place, names, where, events, state, rules, now))
        if place != WITHOUT:
            yield from told or [
                Finding(
                    kind="entry",
                    sentence=f"{place}: no {names_text(names)} among the last {len(events)} events",
                    place=place,
                )
            ]
        for one in told if place == WITHOUT else ():
            yield msgspec.structs.replace(one, holds=not one.holds)


def of_exit(
    state: PersonState, rule: Rule, rules: Rules, events: Sequence[Event], now: Micros
) -> Iterator[Finding]:
    """The last events that concern the exit: what waited when one matched has ended."""
    way_out = rule.trigger.exit
    if way_out is not None:
        for one in _on_events(
            "exit", "exit", way_out.events, way_out.where, events, state, rules, now
        ):
            yield msgspec.structs.replace(one, holds=not one.holds)


def of_wait(
    state: PersonState,
    rules: Rules,
    place: str,
    wait_for: WaitFor,
    events: Sequence[Event],
    now: Micros,
) -> Iterator[Finding]:
    """The last events of the names that a journey waits for, and what they lack."""
    at = f"{place}.wait_for"
    return _on_events("wait_for", at, wait_for.events, wait_for.where, events, state, rules, now)


def _on_events(
    kind: str,
    place: str,
    names: Sequence[str],
    where: Condition | None,
    events: Sequence[Event],
    state: PersonState,
    rules: Rules,
    now: Micros,
) -> Iterator[Finding]:
    for event in [one for one in events if one.name in names][-EVENTS_TOLD_MAX:]:
        happened = f"{place}: {event.name} at {instant(event.occurred_at)}"
        subjects = _subjects(state, rules, event.properties, now)
        found = _evaluated(kind, place, where, subjects, f"{place}.where", happened)
        yield msgspec.structs.replace(found, at=event.occurred_at, event_id=event.message_id)


def of_audience(
    state: PersonState, rule: Rule, rules: Rules, events: Sequence[Event], now: Micros
) -> Iterator[Finding]:
    """The audience on the profile as it stands, and on the last event that could bring in."""
    if rule.audience is not None:
        names = {name for _, asked, _ in _asked(rule.trigger.entry) for name in asked}
        last = next((one for one in reversed(events) if one.name in names), None)
        subjects = _subjects(state, rules, {} if last is None else last.properties, now)
        what = "the audience, as things stand now,"
        yield _evaluated("audience", "audience", rule.audience, subjects, "audience", what)


def _subjects(
    state: PersonState, rules: Rules, properties: dict[str, Any], now: Micros
) -> Subjects:
    return Subjects(properties, state.traits, lambda tag: rules.read_tag[tag](state, now))


def _evaluated(
    kind: str,
    place: str,
    condition: Condition | None,
    subjects: Subjects,
    root: str,
    what: str,
) -> Finding:
    failed = None if condition is None else failing(condition, subjects, root)
    told = "matches" if failed is None else f"does not match, {clause_text(failed)}"
    return Finding(
        kind=kind,
        sentence=f"{what} {told}",
        place=place,
        holds=failed is None,
        clauses=() if condition is None else tuple(_clauses(condition, subjects, root)),
        details={} if failed is None else {"failing": failed},
    )


def _clauses(
    condition: Condition, subjects: Subjects, place: str, *, negated: bool = False
) -> Iterator[Clause]:
    if condition.not_ is not None:
        yield from _clauses(condition.not_, subjects, f"{place}.not", negated=not negated)
        return
    parts = condition.any_ if condition.all_ is None else condition.all_
    if parts is not None:
        name = "any" if condition.all_ is None else "all"
        for number, part in enumerate(parts):
            yield from _clauses(part, subjects, f"{place}.{name}[{number}]", negated=negated)
        return
    (subject, which), actual = subject_of(condition), subjects.value(condition)
    op = condition.op or ("exists" if condition.segment is None else MEMBER)
    yield Clause(
        place=place,
        subject=subject,
        name=which,
        op=op,
        value=condition.value,
        actual=actual,
        holds=holds(condition, subjects),
        negated=negated,
    )


def of_values(state: PersonState, rule: Rule, rules: Rules, now: Micros) -> Iterator[Finding]:
    """What the entry asks of the profile rather than of an event."""
    entry = rule.trigger.entry
    if entry.tag_change is not None:
        yield _of_tag_change(entry.tag_change, _subjects(state, rules, {}, now))
    if entry.threshold is not None:
        yield _of_threshold(entry.threshold, _subjects(state, rules, {}, now))
    if entry.date is not None:
        value = lookup(state.traits, entry.date.trait)
        yield Finding(
            kind="value",
            place="entry.date",
            sentence=f"entry.date: trait {entry.date.trait} is {value_text(value)}",
            holds=None if isinstance(value, str) else False,
            details={"trait": entry.date.trait, "actual": value},
        )


def _of_tag_change(change: TagChange, subjects: Subjects) -> Finding:
    value = subjects.tag(change.tag)
    told = f"entry.tag_change: tag {change.tag} is {value_text(value)}"
    holds = None
    if change.op is not None:
        fulfilled = clause_holds(change.op, value, change.value)
        holds = fulfilled is (change.change == "entered")
        wanted = change.op if change.value is None else f"{change.op} {value_text(change.value)}"
        told += f", which {'is' if fulfilled else 'is not'} {wanted}: they come in when it "
        told += "becomes so" if change.change == "entered" else "ceases to be so"
    details = {"tag": change.tag, "change": change.change, "actual": value}
    return Finding(
        kind="value", sentence=told, place="entry.tag_change", holds=holds, details=details
    )


def _of_threshold(threshold: Threshold, subjects: Subjects) -> Finding:
    value, bound = subjects.tag(threshold.tag), threshold.bound
    of = ""
    if threshold.share_of is not None:
        other = subjects.tag(threshold.share_of)
        of = f" ({threshold.bound:g} of tag {threshold.share_of}, {value_text(other)})"
        bound = threshold.bound * other if is_number(other) else 0.0
    up = threshold.direction == "up"
    beyond = is_number(value) and (value >= bound if up else value < bound)
    return Finding(
        kind="value",
        place="entry.threshold",
        sentence=f"entry.threshold: tag {threshold.tag} is {value_text(value)}, asked is that it "
        f"{'rises to' if up else 'falls below'} {bound:g}{of}",
        holds=beyond,
        details={"tag": threshold.tag, "actual": value, "bound": bound},
    )
