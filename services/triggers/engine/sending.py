"""From candidates to commands: arbitration, reservation, putting off, expiry."""

from typing import Any

import msgspec

from services.contracts.command import Lane, SendCommand, run_id, send_id
from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import Trigger
from services.contracts.time import Micros
from services.triggers.engine.candidates import (
    Candidate,
    Refusal,
    due_at,
    enter,
    first_refusal,
)
from services.triggers.engine.caps import refusal, reserve
from services.triggers.engine.fingerprint import fingerprint
from services.triggers.engine.limits import PENDING_BYTES_MAX, PENDING_MAX
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import calendar_for, tag_values
from services.triggers.engine.rules import Rule, Rules
from services.triggers.engine.state import Pending, PersonState, Sending, Sent

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(dict[str, Any]).decode

HIGH_LANE_PRIORITY = 90
STEP = 0


def take_due(state: PersonState, rules: Rules, now: Micros, out: Outputs) -> list[Candidate]:
    """Put-off candidates whose time has come, taken from the state. The expired ones, and
    those whose trigger is not decided any more, are recorded at once."""
    sending = state.sending
    if sending is None or not sending.pending:
        return []
    due = [one for one in sending.pending if one.due_at <= now]
    if not due:
        return []
    sending.pending = [one for one in sending.pending if one.due_at > now]
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
        out.decisions.append(
            Decision(
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
        )
    return candidates


def _again(pending: Pending, rule: Rule) -> Candidate:
    return Candidate(
        rule=rule,
        event_id=pending.event_id,
        properties=decode(pending.properties),
        origin_received_at=pending.origin_received_at,
        entered_at=pending.entered_at,
        deadline=pending.expires_at,
        pending=pending,
    )


def settle(
    state: PersonState, candidates: list[Candidate], rules: Rules, now: Micros, out: Outputs
) -> None:
    """Decide the candidates of one moment in their order; caps are taken in that order."""
    sending = state.sending
    if sending is None:
        sending = state.sending = Sending()
    if len(candidates) > 1:
        candidates.sort(key=Candidate.order)
    for one in candidates:
        refused = first_refusal(one, state, sending, rules, now)
        if refused is None:
            _send(one, state, sending, rules, now, out)
        elif refused.outcome is Outcome.CAP and one.rule.put_off_for is not None:
            _put_off(one, refused, state, sending, rules, now, out)
        else:
            run = None if one.pending is None else _run(one, state, rules)
            out.decisions.append(
                _decision(one, state, rules, now, refused.outcome, refused.details, run=run)
            )


def _run(one: Candidate, state: PersonState, rules: Rules) -> str:
    return run_id(rules.workspace, one.rule.trigger.id, state.person, one.event_id)


def _decision(
    one: Candidate,
    state: PersonState,
    rules: Rules,
    now: Micros,
    outcome: Outcome,
    details: dict[str, Any],
    *,
    run: str | None = None,
    send: str | None = None,
) -> Decision:
    return Decision(
        person=state.person,
        trigger=one.rule.trigger.id,
        trigger_version=one.rule.trigger.version,
        step=STEP,
        outcome=outcome,
        event_id=one.event_id,
        now=now,
        revision=rules.revision,
        run_id=run,
        send_id=send,
        details=details,
    )


def _put_off(
    one: Candidate,
    refused: Refusal,
    state: PersonState,
    sending: Sending,
    rules: Rules,
    now: Micros,
    out: Outputs,
) -> None:
    run = _run(one, state, rules) if one.pending is not None else None
    details = refused.details
    properties = encode(one.properties) if one.pending is None else one.pending.properties
    waiting_bytes = sum(len(other.properties) for other in sending.pending)
    no_room = (
        len(sending.pending) >= PENDING_MAX or waiting_bytes + len(properties) > PENDING_BYTES_MAX
    )
    if refused.frees_at is None or no_room:
        if refused.frees_at is not None:
            details = {**details, "pending_max": PENDING_MAX}
        out.decisions.append(_decision(one, state, rules, now, Outcome.CAP, details, run=run))
        return
    pending = one.pending
    if pending is None:
        enter(one, sending)
        pending = Pending(
            due_at=now,
            expires_at=now + (one.rule.put_off_for or 0),
            entered_at=now,
            trigger=one.rule.trigger.id,
            trigger_version=one.rule.trigger.version,
            event_id=one.event_id,
            origin_received_at=one.origin_received_at,
            properties=properties,
        )
        run = _run(one, state, rules)
    pending.due_at = due_at(pending, refused.frees_at)
    sending.pending.append(pending)
    details = {**details, "deferred_until": pending.due_at}
    out.decisions.append(_decision(one, state, rules, now, Outcome.CAP, details, run=run))


def release(state: PersonState, sending: Sending, rules: Rules, now: Micros) -> None:
    """After a reservation was released: those who wait for a cap may have less to wait."""
    calendar = calendar_for(state, rules)
    for one in sending.pending:
        rule = rules.triggers.get(one.trigger)
        if rule is not None:
            capped = refusal(sending.sends, rule.caps, now, calendar)
            frees_at = now if capped is None else capped.frees_at
            one.due_at = min(one.due_at, due_at(one, frees_at))


def _send(
    one: Candidate, state: PersonState, sending: Sending, rules: Rules, now: Micros, out: Outputs
) -> None:
    trigger, send = one.rule.trigger, one.rule.send
    if one.pending is None:
        enter(one, sending)
    run = _run(one, state, rules)
    id_ = send_id(rules.workspace, trigger.id, state.person, run, STEP)
    reserve(
        sending,
        Sent(
            at=now,
            key=fingerprint(id_),
            trigger=trigger.id,
            channel=send.channel,
            category=trigger.category,
        ),
        rules.caps,
    )
    out.decisions.append(_decision(one, state, rules, now, Outcome.SENT, {}, run=run, send=id_))
    out.commands.append(
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
            priority=trigger.priority,
            lane=_lane(trigger),
            to=_address(one.rule, state),
            endpoint=send.endpoint,
            content=send.content,
            variables={
                "event": one.properties,
                "person": state.traits,
                "tags": tag_values(state, rules, now),
            },
            decided_at=now,
            origin_received_at=one.origin_received_at,
            expires_at=now + one.rule.send_within,
        )
    )


def _lane(trigger: Trigger) -> Lane:
    if trigger.category == "transactional":
        return "transactional"
    return "high" if trigger.priority >= HIGH_LANE_PRIORITY else "normal"


def _address(rule: Rule, state: PersonState) -> str | None:
    address = None if rule.address_trait is None else state.traits.get(rule.address_trait)
    return address if isinstance(address, str) and address else None
