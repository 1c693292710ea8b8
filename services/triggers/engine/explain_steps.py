"""How far a person came in a trigger's steps, and why no further."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.decision import Decision, Outcome
from services.contracts.event import Event
from services.contracts.steps import Step
from services.contracts.time import Micros
from services.triggers.engine.check_steps import kind_of
from services.triggers.engine.explain_entry import Finding, of_wait
from services.triggers.engine.explain_texts import decision_text, instant, names_text
from services.triggers.engine.program import MATCHED, WAIT, WAIT_FOR, inner_lists
from services.triggers.engine.rules import PAUSED, Rule, Rules
from services.triggers.engine.sensing import is_held
from services.triggers.engine.state import PersonState, Run

_GOING_ON: Final = frozenset(
    {Outcome.ENTERED, Outcome.STEPPED, Outcome.SENT, Outcome.WOULD_HAVE_SENT,
     Outcome.OFFERED, Outcome.HANDED_OFF}
)  # fmt: skip
"""After none of these records a run is over."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a trigger: its number, where it stands, and the way that leads to it.

    `ways` are the steps around it, the outermost first, each with the way to take there.
    """

    number: int
    name: str
    step: Step
    ways: tuple[tuple[int, str], ...]

    @property
    def label(self) -> str:
        """How sentences call it."""
        return f"step {self.number} ({kind_of(self.step)})"


def places_of(rule: Rule) -> list[Place]:
    """All steps of a trigger in the order of their numbers."""
    found: list[Place] = []
    _place(rule.trigger.steps, "steps", (), found)
    return found


def _place(
    steps: Sequence[Step], name: str, ways: tuple[tuple[int, str], ...], found: list[Place]
) -> None:
    for index, step in enumerate(steps):
        number, at = len(found), f"{name}[{index}]"
        found.append(Place(number=number, name=at, step=step, ways=ways))
        for inner, one in inner_lists(step):
            way = inner.removesuffix(".steps").rpartition(".")[2]
            _place(one, f"{at}.{inner}", (*ways, (number, way)), found)


def label_at(places: Sequence[Place], number: int) -> str:
    """What a step of this number is called, nothing where there is none."""
    return places[number].label if number < len(places) else ""


def rule_of(rules: Rules, trigger: str, version: int) -> Rule | None:
    """The rule of one version, None where it is not to be had any more."""
    at_its_entry = Run(
        due_at=0,
        expires_at=0,
        entered_at=0,
        trigger=trigger,
        trigger_version=version,
        event="",
        origin_lag=0,
        properties=b"",
    )
    return rules.versions.of(at_its_entry)


def runs_of(state: PersonState, trigger: str) -> list[Run]:
    """What a trigger has under way in the person."""
    return [one for one in (state.sending.runs if state.sending else ()) if one.trigger == trigger]


def of_runs(
    state: PersonState, trigger: str, rules: Rules, events: Sequence[Event], now: Micros
) -> Iterator[Finding]:
    """What each run waits for and until when; for a `wait_for`, what the last events lack."""
    for run in runs_of(state, trigger):
        rule = rules.versions.of(run)
        place = None if rule is None else places_of(rule)[run.step]
        journey = rule is not None and rule.program.is_journey
        waits = run.reason in (WAIT, WAIT_FOR, MATCHED)
        entering = place is None or not (waits or place.step.send is not None)
        at = "" if place is None or not journey or entering else f"{place.label}: "
        # What has a run wait is said as it would go on; what is paused holds it there.
        told = _waiting_text(run, place) + (_held_text(rule) if is_held(run, rules) else "")
        details: dict[str, Any] = {"entered_at": run.entered_at, "version": run.trigger_version}
        details |= {"since": run.since} if waits else {"expires_at": run.expires_at}
        yield Finding(
            kind="under_way" if waits else "put_off",
            sentence=f"{at}{told}",
            place="" if place is None else place.name,
            at=run.due_at,
            event_id=run.event_id,
            step=run.step,
            details=details,
        )
        if place is not None and place.step.wait_for is not None and run.reason == WAIT_FOR:
            since = [one for one in events if one.occurred_at >= run.since]
            for found in of_wait(state, rules, place.name, place.step.wait_for, since, now):
                yield msgspec.structs.replace(found, step=run.step)


def _held_text(rule: Rule | None) -> str:
    paused = rule is not None and rule.trigger.status == PAUSED
    return f", held while {'the trigger is paused' if paused else 'sending is stopped'}"


def _waiting_text(run: Run, place: Place | None) -> str:
    if run.reason == WAIT:
        return f"waits since {instant(run.since)}, goes on at {instant(run.due_at)}"
    if run.reason == MATCHED:
        return f"what it waited for came, goes on at {instant(run.due_at)}"
    if run.reason == WAIT_FOR:
        wait_for = None if place is None else place.step.wait_for
        names = "an event" if wait_for is None else names_text(wait_for.events)
        return f"waits since {instant(run.since)} for {names}, at most until {instant(run.due_at)}"
    return (
        f"put off by {run.reason}: decided again at {instant(run.due_at)}, "
        f"dropped from {instant(run.expires_at)} on"
    )


def last_run(recorded: Sequence[Decision]) -> list[Decision]:
    """The records of the run that came in last, as far as any is on record."""
    newest = next((one.run_id for one in reversed(recorded) if one.run_id is not None), None)
    return [] if newest is None else [one for one in recorded if one.run_id == newest]


def of_missed(
    recorded: Sequence[Decision], rules: Rules, under_way: Sequence[Finding]
) -> Iterator[Finding]:
    """Each step that the last run has not come to, and why not. `recorded` are its records."""
    if not recorded:
        return
    rule = rule_of(rules, recorded[-1].trigger, recorded[-1].trigger_version)
    if rule is None or not rule.program.is_journey:
        return
    places = places_of(rule)
    entry = recorded[-1].event_id
    waits_at = next(
        (one for one in under_way if one.kind != "wait_for" and one.event_id == entry), None
    )
    reached = {one.step for one in recorded if one.outcome is not Outcome.ENTERED}
    for place in places:
        if place.number in reached or (waits_at and waits_at.step == place.number):
            continue
        why = _why_not(place, places, recorded, waits_at)
        yield Finding(
            kind="step",
            sentence=f"{place.label}: {why}",
            place=place.name,
            step=place.number,
            holds=False,
        )


def _why_not(
    place: Place, places: Sequence[Place], recorded: Sequence[Decision], waits_at: Finding | None
) -> str:
    for number, way in place.ways:
        for one in recorded:
            taken = _way(one.details) if one.step == number else None
            if taken is not None and taken != way:
                text = decision_text(one, places[number].label)
                return f"not on the way that was taken, {text}"
    if waits_at is not None:
        return f"not yet, {waits_at.sentence}"
    last = recorded[-1]
    if last.outcome in _GOING_ON:
        return "nothing is recorded of it"
    return f"the run was over before it, {decision_text(last, label_at(places, last.step))}"


def _way(details: Mapping[str, Any]) -> str | None:
    """The way that a record says was taken, as places call it."""
    if "arm" in details:
        return f"arms[{details['arm']}]"
    way = details.get("way")
    return None if way is None else str(way)
