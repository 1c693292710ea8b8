"""Sensors at work on one person: events reach those that listen, instants those that wait."""

from collections.abc import Sequence
from typing import Final

from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, coming_in
from services.triggers.engine.limits import NEVER
from services.triggers.engine.rules import DECIDED_STATUSES, PAUSED, Rule, Rules
from services.triggers.engine.sensors import DUE, Entered, Waits, put
from services.triggers.engine.state import PersonState, Run, Slot
from services.triggers.engine.still import put_aside, take_up
from services.triggers.engine.watch import WatchSensor

SOON: Final[Micros] = 1
"""After so long a person is looked at again for what this moment itself has moved."""


def hear(
    state: PersonState,
    event: Event,
    rules: Rules,
    at: Micros,
    now: Micros,
    *,
    late: bool,
    crossed: int,
) -> list[Candidate]:
    """Tell an event to the sensors that listen to it; those who came in by it."""
    tell = rules.hearing.get(event.name)
    heard = () if tell is None else tell(state, event, at, now, late, crossed)
    return [one for rule, entered in heard for one in come_in(rule, entered, now)]


def watch(
    state: PersonState, rules: Rules, now: Micros, *, until: Micros = NEVER
) -> list[Candidate]:
    """Let those that follow tags look as of every instant up to now at which time changed one,
    or up to an earlier one.

    To be called before anything reads a tag as of now: what a window held before is gone then.
    """
    candidates: list[Candidate] = []
    slots, watching = state.slots, rules.watching
    while due := [(slots[one][DUE], one) for one in slots if one in watching]:
        at, key = min(due)
        if at > now or at > until:
            break
        candidates += _look(state, rules, key, now)
    state.next_due = next_due(state, rules)
    return candidates


def look(state: PersonState, rules: Rules, now: Micros) -> list[Candidate]:
    """Let every sensor look whose instant has come."""
    candidates: list[Candidate] = []
    if state.still_due <= now:
        take_up(state)
    while due := [(slot[DUE], key) for key, slot in state.slots.items()]:
        # In the order of the instants: what comes first can change what another finds.
        at, key = min(due)
        if at > now:
            break
        candidates += _look(state, rules, key, now)
    put_aside(state, rules.still)
    state.next_due = next_due(state, rules)
    return candidates


def adopt(state: PersonState, rules: Rules, now: Micros) -> list[Candidate]:
    """Other rules are in force: slots of entries that are gone go, those of all people begin."""
    take_up(state)
    state.slots = {key: slot for key, slot in state.slots.items() if key in rules.sensors}
    candidates = watch(state, rules, now)
    for key in rules.for_everyone if state.tags or state.traits else rules.for_blank:
        if key not in state.slots:
            candidates += _look(state, rules, key, now)
    put_aside(state, rules.still)
    state.next_due = next_due(state, rules)
    return candidates


def merge_slots(
    state: PersonState, other: PersonState, rules: Rules, now: Micros
) -> list[Candidate]:
    """What entries remember of another comes to this person; who comes in by that alone.

    Both follow these rules, and `state` has the other's tags and traits already.
    """
    candidates: list[Candidate] = []
    state.slots_bytes = None
    take_up(state)
    take_up(other)
    # Those that can forget for want of room come last.
    for key in sorted(rules.sensors, key=lambda one: isinstance(rules.sensors[one][1], Waits)):
        slot, theirs = state.slots.get(key), other.slots.get(key)
        if theirs is not None or key in rules.watching:
            rule, sensor = rules.sensors[key]
            slot, entered = sensor.merge(slot, theirs, state, now)
            put(state, key, slot)
            candidates += come_in(rule, entered, now)
    put_aside(state, rules.still)
    state.next_due = next_due(state, rules)
    return candidates


def keep(state: PersonState, key: int, slot: Slot | None, rules: Rules) -> None:
    """Put a slot back as it is now, or do away with it."""
    put(state, key, slot)
    state.next_due = next_due(state, rules)


def _look(state: PersonState, rules: Rules, key: int, now: Micros) -> list[Candidate]:
    rule, sensor = rules.sensors[key]
    slot, entered = sensor.look(state.slots.get(key), state, now)
    put(state, key, slot)
    return come_in(rule, entered, now) if entered else []


def come_in(rule: Rule, entered: Sequence[Entered], now: Micros) -> list[Candidate]:
    """The candidates of those who came in."""
    return [
        coming_in(
            rule,
            now,
            event_id=one.event_id,
            properties=one.properties,
            received_at=one.origin_received_at,
        )
        for one in entered
    ]


def concerns_everyone(before: Rules, now: Rules) -> bool:
    """Whether these rules want something of people to whom nothing happens, and those did not:
    an entry begins for all, there are other groups to be in or labels to show, runs that were
    held go on, or a trigger ended and what it asked for is taken back."""
    if before.stopped > now.stopped or before.stopped_channels - now.stopped_channels:
        return True
    if now.groups is not None and not now.groups.marks() <= (
        frozenset() if before.groups is None else before.groups.marks()
    ):
        return True
    if now.shown is not None and (
        before.shown is None or before.shown.inputs.basis != now.shown.inputs.basis
    ):
        return True
    for trigger, status in before.statuses.items():
        later = now.statuses.get(trigger)
        resumed = status == PAUSED and later != PAUSED
        if resumed or (status in DECIDED_STATUSES and later not in DECIDED_STATUSES):
            return True
    return not set(now.for_everyone) <= set(before.for_everyone)


def stir(state: PersonState, rules: Rules, now: Micros) -> None:
    """A trait was set by what was decided: those that follow tags of traits look next."""
    for key in rules.minding:
        _, sensor = rules.sensors[key]
        assert isinstance(sensor, WatchSensor)
        slot = state.slots.get(key)
        put(state, key, sensor.soon(slot, now + SOON))


def is_held(run: Run, rules: Rules) -> bool:
    """Whether its trigger is paused, or everything is stopped, or it is at a send of a channel
    that is: then it stays where it is, however long."""
    if rules.stopped or rules.statuses.get(run.trigger) == PAUSED:
        return True
    if not rules.stopped_channels:
        return False
    rule = rules.versions.of(run)
    step = None if rule is None else rule.program.send_at(run.step)
    return step is not None and step.send.channel in rules.stopped_channels


def next_due(state: PersonState, rules: Rules) -> Micros:
    """The earliest instant at which a sensor or a group looks, or a run goes on, by itself."""
    due: Micros = state.still_due
    for slot in state.slots.values():
        if slot[DUE] < due:
            due = slot[DUE]
    if state.membership is not None and state.membership.due_at < due:
        due = state.membership.due_at
    if state.shown is not None and state.shown[DUE] < due:
        due = state.shown[DUE]
    for run in state.sending.runs if state.sending is not None else ():
        if run.due_at < due and not is_held(run, rules):
            due = run.due_at
    return due
