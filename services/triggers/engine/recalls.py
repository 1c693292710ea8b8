"""What was asked of the dispatcher and is not known to have gone out, and how it is taken back.

The engine alone decides: whatever it learns between a decision and its effect reaches the
dispatcher as a cancel. What was accepted meanwhile stays so; the delivery says which it was.
docs/decisions/0009-last-moment-of-a-send.md argues the design.
"""

from collections.abc import Callable, Iterable
from typing import Any

from services.contracts.command import Cancel, send_id
from services.contracts.decision import CANCELLED, Outcome
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, Moment, Refusal
from services.triggers.engine.checks import consent_refusal
from services.triggers.engine.consents import CONSENT_TRAIT
from services.triggers.engine.fingerprint import fingerprint
from services.triggers.engine.limits import OPENS_MAX
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.records import record, run_name
from services.triggers.engine.rules import DECIDED_STATUSES, Rules
from services.triggers.engine.state import Open, PersonState, Run, Sending, packed_id
from services.triggers.engine.waits import NO_KEY, key_of, mark_of

Why = tuple[Outcome, dict[str, Any]]
"""Why something is taken back, as its record says it."""


def asked(one: Candidate, send: str, moment: Moment) -> None:
    """Remember what was just asked for, as long as it may be taken back."""
    exit_, sending, now = one.rule.trigger.exit, moment.sending, moment.now
    opens = [other for other in sending.opens if other.until > now][1 - OPENS_MAX :]
    opens.append(
        Open(
            key=fingerprint(send),
            trigger=one.trigger,
            trigger_version=one.trigger_version,
            step=one.step,
            event=packed_id(one.event_id),
            until=now + one.rule.send_within,
            mark=NO_KEY if exit_ is None else mark_of(one.properties, exit_.key),
            entered_as=one.entered_as,
        )
    )
    sending.opens = opens


def heard(sending: Sending, key: int) -> None:
    """It is known what became of the send with this fingerprint."""
    if sending.opens:
        sending.opens = [one for one in sending.opens if one.key != key]


def take_back(
    state: PersonState,
    why: Callable[[Open], Why | None],
    rules: Rules,
    now: Micros,
    out: Outputs,
) -> None:
    """Cancel what `why` gives a reason against, the oldest first; each leaves its record."""
    sending = state.sending
    if sending is None or not sending.opens:
        return
    kept: list[Open] = []
    for one in sending.opens:
        reason = why(one) if now < one.until else None
        if reason is None:
            kept.append(one)
            continue
        outcome, details = reason
        run = run_name(one, state, rules)
        person = one.entered_as or state.person
        send = send_id(rules.workspace, one.trigger, person, run, one.step)
        record(
            one,
            outcome,
            {**details, CANCELLED: True},
            state=state,
            rules=rules,
            now=now,
            out=out,
            run=run,
            send=send,
        )
        out.notices.append(
            Cancel(person=state.person, send_id=send, reason=outcome.value, decided_at=now)
        )
    sending.opens = kept


def left(state: PersonState, event: Event, rules: Rules, now: Micros, out: Outputs) -> None:
    """The event is a way out of what asked for it; the version that asked says which."""
    details = {"exit_event": event.name, "exit_event_id": event.message_id}

    def why(one: Open) -> Why | None:
        rule = rules.versions.under(one)
        if rule is None or rule.way_out is None or rule.trigger.exit is None:
            return None
        if not rule.way_out.fits(event, state):
            return None
        key = rule.trigger.exit.key
        if key and (one.mark == NO_KEY or one.mark != key_of(event.properties, key)):
            return None
        return Outcome.EXIT, details

    take_back(state, why, rules, now, out)


def review(state: PersonState, rules: Rules, now: Micros, out: Outputs) -> None:
    """What the person, or a publication, said no to after it was asked for: to be called when
    either has spoken."""
    given = state.traits.get(CONSENT_TRAIT)
    sends = () if state.sending is None else state.sending.sends
    channels = {one.key: one.channel for one in sends}

    def why(one: Open) -> Why | None:
        status = rules.statuses.get(one.trigger, "removed")
        if status not in DECIDED_STATUSES:
            return Outcome.PAUSED, {"status": status}
        rule = rules.versions.under(one)
        step = None if rule is None else rule.program.send_at(one.step)
        if rule is None or step is None:
            return None
        # What it went by, where that is known still; else what its step says.
        channel = channels.get(one.key, step.send.channel)
        refused = consent_refusal(rule.trigger.category, channel, given, rules.opt_in)
        return None if refused is None else (refused.outcome, refused.details)

    take_back(state, why, rules, now, out)


def displaced_with(lost: Iterable[tuple[Run, Refusal]], moment: Moment) -> None:
    """Runs gave way to better ones: what they asked for does, too."""
    of = {(run.trigger, run.event, run.entered_as): refused.details for run, refused in lost}

    def why(one: Open) -> Why | None:
        details = of.get((one.trigger, one.event, one.entered_as))
        return None if details is None else (Outcome.ARBITRATION, details)

    take_back(moment.state, why, moment.rules, moment.now, moment.out)
