"""One moment of a person: what is due, what came in, and what of it is sent, put off or over.

Whoever is due comes first to a send, a wait or the end; then all candidates are decided in
their one order, and a journey whose send was decided walks on at once. Sends that this leads
to are decided after them, in their own order, until nothing is left.
"""

from typing import Any, Final

from services.contracts.decision import Outcome
from services.contracts.time import Micros
from services.triggers.engine.arbitration import displaced
from services.triggers.engine.candidates import (
    WAITS,
    Candidate,
    Moment,
    Refusal,
    by_due,
    coming_back,
    due_at,
    enter,
)
from services.triggers.engine.caps import refusal, reserve, sends_before
from services.triggers.engine.checks import first_refusal
from services.triggers.engine.fingerprint import fingerprint
from services.triggers.engine.journey import begin, drop, run_of, waited, walk
from services.triggers.engine.limits import RUNS_MAX
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import calendar_for
from services.triggers.engine.program import SendStep
from services.triggers.engine.recalls import asked, displaced_with
from services.triggers.engine.records import ask, run_name, send_name, told
from services.triggers.engine.rules import DECIDED_STATUSES, Rules
from services.triggers.engine.sensing import is_held
from services.triggers.engine.state import PersonState, Run, Sending, Sent

_WAITS_FOR_CAP: Final = Outcome.CAP.value


def settle(
    state: PersonState, candidates: list[Candidate], rules: Rules, now: Micros, out: Outputs
) -> None:
    """Decide who came in and what is due, and all that follows from it now."""
    sending = state.sending
    if sending is None:
        sending = state.sending = Sending()
    moment = Moment(state=state, sending=sending, rules=rules, now=now, out=out)
    if sending.runs:
        candidates = _take_due(moment) + candidates
    while candidates:
        if len(candidates) > 1:
            candidates.sort(key=Candidate.order)
        further: list[Candidate] = []
        for one in candidates:
            onward = _decide(one, moment)
            if onward is not None:
                further.append(onward)
        candidates = further


def _take_due(moment: Moment) -> list[Candidate]:
    """Runs whose time has come go on to where something is to be decided; those of paused
    triggers stay where they are."""
    due = [
        run
        for run in moment.sending.runs
        if run.due_at <= moment.now and not is_held(run, moment.rules)
    ]
    found = [_take_up(run, moment) for run in by_due(due)]
    return [one for one in found if one is not None]


def _take_up(run: Run, moment: Moment) -> Candidate | None:
    rules = moment.rules
    status = rules.statuses.get(run.trigger, "removed")
    if status not in DECIDED_STATUSES:
        _end(run, Outcome.PAUSED, {"status": status}, moment)
        return None
    rule = rules.versions.of(run)
    if rule is None:
        details = {"version": run.trigger_version, "missing": True}
        _end(run, Outcome.EXPIRED, details, moment)
        return None
    one = coming_back(run, rule)
    if run.reason in WAITS:
        return waited(one, moment)
    if moment.now < run.expires_at:
        if one.entering:
            drop(run, moment)
            moment.at_work.append(run)
        return one
    details = {"entered_at": run.entered_at, "expired_at": run.expires_at}
    if one.entering:
        _end(run, Outcome.EXPIRED, details, moment)
        return None
    told(one, Outcome.EXPIRED, _details(one, details), moment)
    return walk(one, rule.program.steps[one.step].following, moment)


def _end(run: Run, outcome: Outcome, details: dict[str, Any], moment: Moment) -> None:
    drop(run, moment)
    told(run, outcome, details, moment)


def _decide(one: Candidate, moment: Moment) -> Candidate | None:
    """Decide one candidate; itself again if it came to a further send by that."""
    if one.entering:
        moment.at_work = [run for run in moment.at_work if run is not one.run]
    elif not any(run is one.run for run in moment.sending.runs):
        return None  # displaced by a better one of this moment
    refused = first_refusal(one, moment)
    if refused is not None and refused.waits:
        _put_off(one, refused, moment)
        return None
    step, newly, entering = one.send, one.run is None, one.entering
    if refused is not None:
        in_run = one.run is not None
        told(one, refused.outcome, _details(one, refused.details), moment, in_run=in_run)
        if entering:
            return None
    else:
        if newly:
            enter(one, moment.sending)
        if step is not None:
            _send(one, step, moment)
        else:
            told(one, Outcome.ENTERED, _details(one, {}), moment)
        _entered(one, moment)
        if entering and one.rule.program.is_journey:
            begin(one, moment)
    if one.entering:
        return None
    return walk(one, 0 if step is None else step.following, moment)


def _details(one: Candidate, details: dict[str, Any]) -> dict[str, Any]:
    return {**details, "held_out": True} if one.held_out else details


def _entered(one: Candidate, moment: Moment) -> None:
    """It was sent, or came in and waits: whoever waited for less gives way."""
    moment.entered.append(one)
    if moment.sending.runs:
        lost = displaced(one, moment)
        if lost and moment.sending.opens:
            displaced_with(lost, moment)
        for run, refused in lost:
            told(run, refused.outcome, refused.details, moment)


def _put_off(one: Candidate, refused: Refusal, moment: Moment) -> None:
    sending, details, newly = moment.sending, _details(one, refused.details), one.run is None
    if newly:
        if not moment.has_room(one):
            details = {**details, "runs_max": RUNS_MAX}
            told(one, refused.outcome, details, moment, in_run=False)
            return
        enter(one, sending)
        one.run = run_of(one, moment.now)
    run = one.run
    assert run is not None
    if one.entering:
        sending.runs.append(run)
    run.due_at = due_at(run, refused.frees_at)
    run.reason = refused.outcome.value
    run.held_out = one.held_out
    if refused.outcome is not Outcome.PAUSED:
        # Until when a stop lasts nobody knows.
        details = {**details, "deferred_until": run.due_at}
    told(one, refused.outcome, details, moment)
    if newly:
        _entered(one, moment)


def release(state: PersonState, sending: Sending, rules: Rules, now: Micros) -> None:
    """After a reservation was released: those who wait for a cap may have less to wait."""
    calendar = calendar_for(state, rules)
    for run in sending.runs:
        rule = rules.versions.of(run) if run.reason == _WAITS_FOR_CAP else None
        step = None if rule is None else rule.program.send_at(run.step)
        if step is not None:
            sends = sends_before(sending, held_out=run.held_out)
            capped = refusal(sends, step.caps, now, calendar)
            frees_at = now if capped is None else capped.frees_at
            run.due_at = min(run.due_at, due_at(run, frees_at))


def _send(one: Candidate, step: SendStep, moment: Moment) -> None:
    """Take the place under the caps and ask for the send; of who is held out only the place."""
    trigger, held_out = one.rule.trigger, one.held_out
    id_ = send_name(one, run_name(one, moment.state, moment.rules), moment)
    sent = Sent(
        at=moment.now,
        key=fingerprint(id_),
        trigger=trigger.id,
        channel=step.send.channel,
        category=trigger.category,
        accepted=held_out,
    )
    reserve(moment.sending, sent, moment.rules.caps, held_out=held_out)
    if held_out:
        told(one, Outcome.WOULD_HAVE_SENT, {"holdout": trigger.holdout}, moment)
    else:
        told(one, Outcome.SENT, {}, moment, send=id_)
        ask(one, step, id_, moment)
        asked(one, id_, moment)
