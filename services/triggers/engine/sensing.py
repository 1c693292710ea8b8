"""Sensors at work on one person: events reach those that listen, instants those that wait."""

from collections.abc import Sequence

from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, coming_in
from services.triggers.engine.limits import NEVER
from services.triggers.engine.rules import PAUSED, Rule, Rules
from services.triggers.engine.sensors import DUE, Entered, Waits
from services.triggers.engine.state import PersonState, Run, Slot


def hear(
    state: PersonState, event: Event, rules: Rules, at: Micros, now: Micros, *, late: bool
) -> list[Candidate]:
    """Tell an event to the sensors that listen to it; those who came in by it."""
    candidates: list[Candidate] = []
    slots, earliest, over = state.slots, state.next_due, False
    for key in rules.hearing.get(event.name, ()):
        rule, sensor = rules.sensors[key]
        slot = slots.get(key)
        was_due = NEVER if slot is None else slot[DUE]
        slot, entered = sensor.hear(slot, state, event, at, late=late)
        _put(slots, key, slot)
        due = NEVER if slot is None else slot[DUE]
        # The earliest of all is looked for anew only where it was this one's, and is no more.
        if due < earliest:
            earliest = due
        elif was_due == earliest and due > was_due:
            over = True
        if entered:
            candidates += _coming_in(rule, entered, now)
    state.next_due = next_due(state, rules) if over else earliest
    return candidates


def watch(state: PersonState, rules: Rules, now: Micros) -> list[Candidate]:
    """Let those that follow tags look as of every instant up to now at which time changed one.

    To be called before anything reads a tag as of now: what a window held before is gone then.
    """
    candidates: list[Candidate] = []
    slots, watching = state.slots, rules.watching
    while due := [(slots[one][DUE], one) for one in slots if one in watching]:
        at, key = min(due)
        if at > now:
            break
        candidates += _look(state, rules, key, now)
    state.next_due = next_due(state, rules)
    return candidates


def look(state: PersonState, rules: Rules, now: Micros) -> list[Candidate]:
    """Let every sensor look whose instant has come."""
    candidates = watch(state, rules, now)
    while due := [(slot[DUE], key) for key, slot in state.slots.items()]:
        # In the order of the instants: what comes first can change what another finds.
        at, key = min(due)
        if at > now:
            break
        candidates += _look(state, rules, key, now)
    state.next_due = next_due(state, rules)
    return candidates


def adopt(state: PersonState, rules: Rules, now: Micros) -> list[Candidate]:
    """Other rules are in force: slots of entries that are gone go, those of all people begin."""
    state.slots = {key: slot for key, slot in state.slots.items() if key in rules.sensors}
    candidates = watch(state, rules, now)
    for key in rules.for_everyone:
        if key not in state.slots:
            candidates += _look(state, rules, key, now)
    state.next_due = next_due(state, rules)
    return candidates


def merge_slots(
    state: PersonState, other: PersonState, rules: Rules, now: Micros
) -> list[Candidate]:
    """What entries remember of another comes to this person; who comes in by that alone.

    Both follow these rules, and `state` has the other's tags and traits already.
    """
    candidates: list[Candidate] = []
    # Those that can forget for want of room come last.
    for key in sorted(rules.sensors, key=lambda one: isinstance(rules.sensors[one][1], Waits)):
        slot, theirs = state.slots.get(key), other.slots.get(key)
        if theirs is not None or key in rules.watching:
            rule, sensor = rules.sensors[key]
            slot, entered = sensor.merge(slot, theirs, state, now)
            _put(state.slots, key, slot)
            candidates += _coming_in(rule, entered, now)
    state.next_due = next_due(state, rules)
    return candidates


def keep(state: PersonState, key: int, slot: Slot | None, rules: Rules) -> None:
    """Put a slot back as it is now, or do away with it."""
    _put(state.slots, key, slot)
    state.next_due = next_due(state, rules)


def _put(slots: dict[int, Slot], key: int, slot: Slot | None) -> None:
    if slot is None:
        slots.pop(key, None)
    else:
        slots[key] = slot


def _look(state: PersonState, rules: Rules, key: int, now: Micros) -> list[Candidate]:
    rule, sensor = rules.sensors[key]
    slot, entered = sensor.look(state.slots.get(key), state, now)
    _put(state.slots, key, slot)
    return _coming_in(rule, entered, now) if entered else []


def _coming_in(rule: Rule, entered: Sequence[Entered], now: Micros) -> list[Candidate]:
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
    an entry begins for all, or runs that were held go on (or end)."""
    if before.stopped > now.stopped or before.stopped_channels - now.stopped_channels:
        return True
    resumed = any(
        status == PAUSED and now.statuses.get(trigger) != PAUSED
        for trigger, status in before.statuses.items()
    )
    return resumed or not set(now.for_everyone) <= set(before.for_everyone)


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
    """The earliest instant at which a sensor looks or a run goes on by itself."""
    due: Micros = min((slot[DUE] for slot in state.slots.values()), default=NEVER)
    for run in state.sending.runs if state.sending is not None else ():
        if run.due_at < due and not is_held(run, rules):
            due = run.due_at
    return due
