"""What is wrong with entries that wait for events, and with ways out."""

from collections.abc import Iterator, Sequence
from typing import Final

from services.contracts.conditions import Condition
from services.contracts.definitions import Trigger
from services.contracts.entries import Absence, EventMatch, Exit
from services.contracts.entries import Sequence as InSequence
from services.contracts.event import GROUP_EVENTS, RESERVED_NAMES
from services.contracts.time import parse_duration
from services.triggers.engine.check_conditions import Problems

WITHOUT_EVENT: Final = ("inactivity", "date", "schedule")
"""Entries that no event stands for: there is nothing for a key to go by."""


def conditions_of(trigger: Trigger) -> Iterator[tuple[str, Condition]]:
    """Every condition of a trigger with its place in it."""
    entry = trigger.entry
    matches: list[tuple[str, EventMatch | Exit]] = []
    if entry.sequence is not None:
        parts = enumerate(entry.sequence.parts)
        matches += [(f"entry.sequence.parts[{number}]", part) for number, part in parts]
    if entry.absence is not None:
        matches.append(("entry.absence.after", entry.absence.after))
        matches.append(("entry.absence.without", entry.absence.without))
    if trigger.exit is not None:
        matches.append(("exit", trigger.exit))
    if entry.where is not None:
        yield "entry.where", entry.where
    for place, match in matches:
        if match.where is not None:
            yield f"{place}.where", match.where
    if trigger.audience is not None:
        yield "audience", trigger.audience


def check_duration(text: str, place: str, problems: Problems) -> int | None:
    """Microseconds of a duration, None where it is none."""
    try:
        return parse_duration(text)
    except ValueError as error:
        problems.append((place, str(error)))
        return None


def check_events(events: Sequence[str], place: str, problems: Problems) -> None:
    """Names with `$` are those of calls that are not `track`, and of what happens to groups."""
    reserved = sorted((*RESERVED_NAMES.values(), *GROUP_EVENTS))
    for number, name in enumerate(events):
        if name.startswith("$") and name not in reserved:
            reason = f"{name!r} is no name of an event; those with $ are {', '.join(reserved)}"
            problems.append((f"{place}[{number}]", reason))


def check_waiting(trigger: Trigger, place: str, problems: Problems) -> None:
    """Check sequence, absence, inactivity and exit. Shape and conditions are right."""
    entry = trigger.entry
    if entry.sequence is not None:
        _check_sequence(entry.sequence, f"{place}.entry.sequence", problems)
    if entry.absence is not None:
        _check_absence(entry.absence, f"{place}.entry.absence", problems)
    if entry.inactivity is not None:
        where = f"{place}.entry.inactivity"
        check_events(entry.inactivity.events, f"{where}.events", problems)
        check_duration(entry.inactivity.lasts, f"{where}.lasts", problems)
    if trigger.exit is not None:
        _check_exit(trigger, trigger.exit, f"{place}.exit", problems)


def _check_sequence(entry: InSequence, place: str, problems: Problems) -> None:
    for number, part in enumerate(entry.parts):
        check_events(part.events, f"{place}.parts[{number}].events", problems)
    check_duration(entry.within, f"{place}.within", problems)
    check_key(entry.key, f"{place}.key", problems)


def _check_absence(entry: Absence, place: str, problems: Problems) -> None:
    check_events(entry.after.events, f"{place}.after.events", problems)
    check_events(entry.without.events, f"{place}.without.events", problems)
    check_duration(entry.within, f"{place}.within", problems)
    check_key(entry.key, f"{place}.key", problems)
    if entry.after.where is None or entry.after.where == entry.without.where:
        for number, name in enumerate(entry.without.events):
            if name in entry.after.events:
                reason = f"each such {name!r} is one of `after` too, and begins the wait anew"
                problems.append((f"{place}.without.events[{number}]", reason))


def _check_exit(trigger: Trigger, way_out: Exit, place: str, problems: Problems) -> None:
    check_events(way_out.events, f"{place}.events", problems)
    check_key(way_out.key, f"{place}.key", problems)
    entry = trigger.entry
    kind = next((name for name in WITHOUT_EVENT if getattr(entry, name) is not None), None)
    if way_out.key and kind is not None:
        reason = f"nothing would bear it: no event stands for an entry by {kind}"
        problems.append((f"{place}.key", reason))
    sequence = entry.sequence
    if sequence is None or not set(way_out.key) <= set(sequence.key):
        return
    for number, part in enumerate(sequence.parts[1:], start=1):
        always = way_out.where is None or way_out.where == part.where
        if always and set(part.events) <= set(way_out.events):
            reason = f"ends the sequence before parts[{number}] can go on with it"
            problems.append((place, reason))
            return


def check_key(key: Sequence[str], place: str, problems: Problems) -> None:
    """Paths of a key, each of them once."""
    for number, path in enumerate(key):
        if path in key[:number]:
            problems.append((f"{place}[{number}]", f"{path!r} is there already"))
