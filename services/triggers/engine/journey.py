"""Runs on their way: from a decided entry or a wait through the steps to the next send or wait.

A run stands in the person's state until it ends; its steps are those of the version it
entered on. Runs only go forward, so whatever a moment brings about comes to an end.
"""

from typing import Any, Final

from services.contracts.decision import Outcome
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, Moment, packed_properties
from services.triggers.engine.clauses import Subjects, failing
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.local import clock_shows
from services.triggers.engine.person import calendar_for, put_trait
from services.triggers.engine.program import (
    AT_SEND,
    MATCHED,
    WAIT,
    WAIT_FOR,
    BranchStep,
    CompiledStep,
    EndStep,
    HandoffStep,
    OfferStep,
    SendStep,
    SplitStep,
    TagStep,
    WaitForStep,
    WaitStep,
)
from services.triggers.engine.recalls import asked
from services.triggers.engine.records import ask, run_name, send_name, told
from services.triggers.engine.rules import Rules
from services.triggers.engine.state import PersonState, Run, packed_id
from services.triggers.engine.waits import decode_properties, same_key

DONE: Final = "done"
"""The result of a journey that came to the end of its steps."""


def run_of(one: Candidate, now: Micros) -> Run:
    """The run of somebody who comes in now, not yet anywhere."""
    return Run(
        due_at=now,
        expires_at=now + one.rule.expires_after,
        entered_at=now,
        trigger=one.trigger,
        trigger_version=one.trigger_version,
        event=packed_id(one.event_id),
        origin_lag=now - one.origin_received_at,
        properties=packed_properties(one),
        held_out=one.held_out,
    )


def begin(one: Candidate, moment: Moment) -> None:
    """The entry is decided: from here on the run is one of the person's."""
    if one.run is None:
        one.run = run_of(one, moment.now)
    one.run.held_out = one.held_out
    one.entering = False
    moment.sending.runs.append(one.run)


def walk(one: Candidate, number: int, moment: Moment) -> Candidate | None:
    """Go through the steps from this number on; the candidate again once it is at a send."""
    run, program = one.run, one.rule.program
    assert run is not None
    while number < program.end:
        step = program.steps[number]
        one.step = run.step = number
        if isinstance(step, SendStep):
            # It waits no more for what it has come by: whoever looks meanwhile finds it here.
            run.reason = AT_SEND
            run.expires_at = moment.now + one.rule.expires_after
            one.deadline = moment.now + one.rule.send_within
            return one
        if isinstance(step, EndStep):
            end(one, step.result, moment)
            return None
        following = _pass(one, run, step, moment)
        if following is None:
            return None
        number = following
    end(one, DONE, moment)
    return None


def end(one: Candidate, result: str, moment: Moment) -> None:
    """The run is over, at the last step that it went through."""
    drop(one.run, moment)
    _step(one, Outcome.ENDED, {"result": result}, moment)


def drop(run: Run | None, moment: Moment) -> None:
    """It is none of the person's runs any more."""
    moment.sending.runs = [other for other in moment.sending.runs if other is not run]


def waited(one: Candidate, moment: Moment) -> Candidate | None:
    """A wait is over, one way or the other: go on."""
    run = one.run
    assert run is not None
    step = one.rule.program.steps[run.step]
    details: dict[str, Any] = {"since": run.since}
    following = step.following
    if isinstance(step, WaitForStep):
        came = run.reason == MATCHED
        following = step.then if came else step.on_timeout
        details["way"] = "then" if came else "on_timeout"
        if came:
            details["matched_event_id"] = run.matched_by
            run.matched_by = ""
    _step(one, Outcome.STEPPED, details, moment)
    return walk(one, following, moment)


def match_waits(state: PersonState, event: Event, rules: Rules, at: Micros, now: Micros) -> None:
    """An event that is not late, of the time `at`: runs that waited for it are due now."""
    for run in state.sending.runs if state.sending is not None else ():
        if run.reason != WAIT_FOR:
            continue
        rule = rules.versions.of(run)
        step = None if rule is None else rule.program.steps[run.step]
        if (
            isinstance(step, WaitForStep)
            and step.match.fits(event, state)
            and run.since <= at <= run.since + step.within
            and _bears_key(run, event, step.key)
        ):
            run.reason, run.due_at, run.matched_by = MATCHED, now, event.message_id


def _bears_key(run: Run, event: Event, paths: tuple[str, ...]) -> bool:
    return not paths or same_key(event.properties, decode_properties(run.properties), paths)


def _step(one: Candidate, outcome: Outcome, details: dict[str, Any], moment: Moment) -> None:
    told(one, outcome, {**details, "held_out": True} if one.held_out else details, moment)


def _pass(one: Candidate, run: Run, step: CompiledStep, moment: Moment) -> int | None:
    """Go through one step; the number of the next, None where the run waits here."""
    if isinstance(step, WaitStep | WaitForStep):
        return _wait(one, run, step, moment)
    if isinstance(step, BranchStep):
        return _branch(one, step, moment)
    if isinstance(step, SplitStep):
        return _split(one, step, moment)
    if isinstance(step, TagStep):
        _tag(one, step, moment)
    elif isinstance(step, OfferStep | HandoffStep):
        _ask(one, step, moment)
    return step.following


def _wait(one: Candidate, run: Run, step: WaitStep | WaitForStep, moment: Moment) -> int | None:
    now = moment.now
    run.waits_after, run.expires_at = now - run.entered_at, 0
    if isinstance(step, WaitForStep):
        run.reason, run.due_at = WAIT_FOR, now + step.within
        return None
    due_at = now + step.lasts
    if step.until is not None:
        due_at = clock_shows(calendar_for(moment.state, moment.rules).zone, step.until, due_at)
    if due_at <= now:
        _step(one, Outcome.STEPPED, {"since": now}, moment)
        return step.following
    run.reason, run.due_at = WAIT, due_at
    return None


def _branch(one: Candidate, step: BranchStep, moment: Moment) -> int:
    state, rules, now = moment.state, moment.rules, moment.now
    if step.holds(one.properties, state, now):
        _step(one, Outcome.STEPPED, {"way": "then"}, moment)
        return step.then
    subjects = Subjects(one.properties, state.traits, lambda tag: rules.read_tag[tag](state, now))
    details = {"way": "else", **(failing(step.condition, subjects, "if") or {})}
    _step(one, Outcome.STEPPED, details, moment)
    return step.otherwise


def _split(one: Candidate, step: SplitStep, moment: Moment) -> int:
    person = one.entered_as or moment.state.person
    parts = ["split", one.trigger, person, str(step.number)]
    place = fingerprint_parts(parts) % step.arms[-1][0]
    arm = next(number for number, (upto, _, _) in enumerate(step.arms) if place < upto)
    _, label, following = step.arms[arm]
    details: dict[str, Any] = {"arm": arm}
    if label is not None:
        details["label"] = label
    _step(one, Outcome.STEPPED, details, moment)
    return following


def _tag(one: Candidate, step: TagStep, moment: Moment) -> None:
    """Held-out people stay as they are."""
    tag, state = step.tag, moment.state
    name, value = (tag.set, tag.value) if tag.set is not None else (tag.remove, None)
    assert name is not None
    details: dict[str, Any] = {"set": name, "value": value} if tag.set else {"remove": name}
    if not one.held_out:
        if not put_trait(state, name, value, moment.out):
            details["skipped"] = True
        state.changed = True
    _step(one, Outcome.STEPPED, details, moment)


def _ask(one: Candidate, step: OfferStep | HandoffStep, moment: Moment) -> None:
    """Under no caps, consent or quiet hours: it is no message."""
    if one.held_out:
        _step(one, Outcome.WOULD_HAVE_SENT, {"holdout": one.rule.trigger.holdout}, moment)
        return
    send = send_name(one, run_name(one, moment.state, moment.rules), moment)
    outcome = Outcome.OFFERED if isinstance(step, OfferStep) else Outcome.HANDED_OFF
    told(one, outcome, {}, moment, send=send)
    ask(one, step, send, moment)
    asked(one, send, moment)
