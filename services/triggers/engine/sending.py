"""From candidates to commands: arbitration, reservation, putting off, expiry."""

from typing import Any, Final

import msgspec

from services.contracts.command import Lane, SendCommand, run_id, send_id
from services.contracts.decision import Decision, Outcome
from services.contracts.time import Micros
from services.triggers.engine.arbitration import displaced
from services.triggers.engine.candidates import Candidate, Moment, Refusal, due_at, enter
from services.triggers.engine.caps import refusal, reserve, sends_before
from services.triggers.engine.checks import first_refusal
from services.triggers.engine.fingerprint import fingerprint
from services.triggers.engine.limits import RUNS_BYTES_MAX, RUNS_MAX
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import calendar_for, tag_values
from services.triggers.engine.rules import Rule, Rules
from services.triggers.engine.state import PersonState, Run, Sending, Sent

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(dict[str, Any]).decode

HIGH_LANE_PRIORITY: Final = 90
PRIORITY_MAX: Final = 100
STEP: Final = 0
_WAITS_FOR_CAP: Final = Outcome.CAP.value


def take_due(state: PersonState, rules: Rules, now: Micros, out: Outputs) -> list[Candidate]:
    """Put-off candidates whose time has come, taken from the state. The expired ones, and
    those whose trigger is not decided any more, are recorded at once."""
    sending = state.sending
    if sending is None or not sending.runs:
        return []
    due = [one for one in sending.runs if one.due_at <= now]
    if not due:
        return []
    sending.runs = [one for one in sending.runs if one.due_at > now]
    candidates: list[Candidate] = []
    for one in due:
        rule = rules.triggers.get(one.trigger)
        if rule is not None and now < one.expires_at:
            candidates.append(_again(one, rule))
            continue
        details: dict[str, Any]
        if rule is None:
            details = {"status": rules.statuses.get(one.trigger, "removed")}
            outcome = Outcome.PAUSED
        else:
            details = {"entered_at": one.entered_at, "expired_at": one.expires_at}
            outcome = Outcome.EXPIRED
        out.decisions.append(no_longer(state, one, rules, now, outcome, details))
    return candidates


def no_longer(
    state: PersonState,
    one: Run | Candidate,
    rules: Rules,
    now: Micros,
    outcome: Outcome,
    details: dict[str, Any],
) -> Decision:
    """The record of what ends without being decided: a put-off send, or one about to be."""
    return Decision(
        person=state.person,
        trigger=one.trigger,
        trigger_version=one.trigger_version,
        step=STEP,
        outcome=outcome,
        event_id=one.event_id,
        now=now,
        revision=rules.revision,
        run_id=run_id(rules.workspace, one.trigger, state.person, one.event_id),
        details=details,
    )


def _again(pending: Run, rule: Rule) -> Candidate:
    return Candidate(
        rule=rule,
        event_id=pending.event_id,
        properties=decode(pending.properties),
        origin_received_at=pending.origin_received_at,
        entered_at=pending.entered_at,
        deadline=pending.expires_at,
        run=pending,
    )


def settle(
    state: PersonState, candidates: list[Candidate], rules: Rules, now: Micros, out: Outputs
) -> None:
    """Decide the candidates of one moment in their order; caps are taken in that order."""
    sending = state.sending
    if sending is None:
        sending = state.sending = Sending()
    moment = Moment(state=state, sending=sending, rules=rules, now=now, out=out)
    if len(candidates) > 1:
        candidates.sort(key=Candidate.order)
    for one in candidates:
        refused = first_refusal(one, moment)
        if refused is None:
            _send(one, moment)
        elif refused.waits:
            _put_off(one, refused, moment)
        else:
            run = None if one.run is None else _run(one, moment)
            _record(one, moment, refused.outcome, _details(one, refused), run=run)


def _run(one: Candidate, moment: Moment) -> str:
    return run_id(moment.rules.workspace, one.rule.trigger.id, moment.state.person, one.event_id)


def _details(one: Candidate, refused: Refusal) -> dict[str, Any]:
    return {**refused.details, "held_out": True} if one.held_out else refused.details


def _record(
    one: Candidate,
    moment: Moment,
    outcome: Outcome,
    details: dict[str, Any],
    *,
    run: str | None = None,
    send: str | None = None,
) -> None:
    moment.out.decisions.append(
        Decision(
            person=moment.state.person,
            trigger=one.rule.trigger.id,
            trigger_version=one.rule.trigger.version,
            step=STEP,
            outcome=outcome,
            event_id=one.event_id,
            now=moment.now,
            revision=moment.rules.revision,
            run_id=run,
            send_id=send,
            details=details,
        )
    )


def _entered(one: Candidate, moment: Moment) -> None:
    """It was sent, or came in and waits: whoever waited for less gives way."""
    moment.entered.append(one)
    if moment.sending.runs:
        for pending, refused in displaced(one, moment):
            moment.out.decisions.append(
                no_longer(
                    moment.state,
                    pending,
                    moment.rules,
                    moment.now,
                    refused.outcome,
                    refused.details,
                )
            )


def _put_off(one: Candidate, refused: Refusal, moment: Moment) -> None:
    sending, now, details = moment.sending, moment.now, _details(one, refused)
    pending = one.run
    run = _run(one, moment) if pending is not None else None
    properties = encode(one.properties) if pending is None else pending.properties
    waiting_bytes = sum(len(other.properties) for other in sending.runs)
    if len(sending.runs) >= RUNS_MAX or waiting_bytes + len(properties) > RUNS_BYTES_MAX:
        details = {**details, "runs_max": RUNS_MAX}
        _record(one, moment, refused.outcome, details, run=run)
        return
    if pending is None:
        enter(one, sending)
        run = _run(one, moment)
        pending = Run(
            due_at=now,
            expires_at=now + one.rule.expires_after,
            entered_at=now,
            trigger=one.rule.trigger.id,
            trigger_version=one.rule.trigger.version,
            event_id=one.event_id,
            origin_received_at=one.origin_received_at,
            properties=properties,
        )
    pending.due_at = due_at(pending, refused.frees_at)
    pending.reason = refused.outcome.value
    pending.held_out = one.held_out
    sending.runs.append(pending)
    details = {**details, "deferred_until": pending.due_at}
    _record(one, moment, refused.outcome, details, run=run)
    if one.run is None:
        _entered(one, moment)


def release(state: PersonState, sending: Sending, rules: Rules, now: Micros) -> None:
    """After a reservation was released: those who wait for a cap may have less to wait."""
    calendar = calendar_for(state, rules)
    for one in sending.runs:
        rule = rules.triggers.get(one.trigger)
        if rule is not None and one.reason == _WAITS_FOR_CAP:
            sends = sends_before(sending, held_out=one.held_out)
            capped = refusal(sends, rule.caps, now, calendar)
            frees_at = now if capped is None else capped.frees_at
            one.due_at = min(one.due_at, due_at(one, frees_at))


def _send(one: Candidate, moment: Moment) -> None:
    """Take the place under the caps and ask for the send; of who is held out only the place."""
    trigger, channel = one.rule.trigger, one.rule.send.channel
    sending, rules, held_out = moment.sending, moment.rules, one.held_out
    if one.run is None:
        enter(one, sending)
    run = _run(one, moment)
    id_ = send_id(rules.workspace, trigger.id, moment.state.person, run, STEP)
    sent = Sent(
        at=moment.now,
        key=fingerprint(id_),
        trigger=trigger.id,
        channel=channel,
        category=trigger.category,
        accepted=held_out,
    )
    reserve(sending, sent, rules.caps, held_out=held_out)
    if held_out:
        _record(one, moment, Outcome.WOULD_HAVE_SENT, {"holdout": trigger.holdout}, run=run)
    else:
        _record(one, moment, Outcome.SENT, {}, run=run, send=id_)
        _command(one, moment, run, id_)
    _entered(one, moment)


def _command(one: Candidate, moment: Moment, run: str, id_: str) -> None:
    trigger, send, state, rules = one.rule.trigger, one.rule.send, moment.state, moment.rules
    priority = min(PRIORITY_MAX, trigger.priority + moment.bonus)
    moment.out.commands.append(
        SendCommand(
            send_id=id_,
            workspace=rules.workspace,
            person=state.person,
            trigger=trigger.id,
            trigger_version=trigger.version,
            run_id=run,
            step=STEP,
            event_id=one.event_id,
            channel=send.channel,
            category=trigger.category,
            priority=priority,
            lane=_lane(trigger.category, priority),
            to=_address(one.rule, state),
            endpoint=send.endpoint,
            content=send.content,
            variables={
                "event": one.properties,
                "person": state.traits,
                "tags": tag_values(state, rules, moment.now),
            },
            decided_at=moment.now,
            origin_received_at=one.origin_received_at,
            expires_at=moment.now + one.rule.send_within,
        )
    )


def _lane(category: str, priority: int) -> Lane:
    if category == "transactional":
        return "transactional"
    return "high" if priority >= HIGH_LANE_PRIORITY else "normal"


def _address(rule: Rule, state: PersonState) -> str | None:
    address = None if rule.address_trait is None else state.traits.get(rule.address_trait)
    return address if isinstance(address, str) and address else None
