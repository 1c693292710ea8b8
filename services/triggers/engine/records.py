"""What is written down of a candidate or a run, and asked of the dispatcher in its name."""

from typing import Any, Final, Literal

from services.contracts.command import Content, Lane, NotBetween, SendCommand, run_id, send_id
from services.contracts.decision import Decision, Outcome
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, Moment
from services.triggers.engine.contents import fill
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import calendar_for, tag_values
from services.triggers.engine.program import HandoffStep, OfferStep, SendStep
from services.triggers.engine.quiet import quiet_windows
from services.triggers.engine.rules import Rules
from services.triggers.engine.state import Open, PersonState, Run

HIGH_LANE_PRIORITY: Final = 90
PRIORITY_MAX: Final = 100
WEBHOOK: Final = "webhook"


def run_name(one: Run | Candidate | Open, state: PersonState, rules: Rules) -> str:
    """The id of a run: whoever decides again, under whatever name, gives the same."""
    kept = one.name if isinstance(one, Candidate) else None
    if kept is not None:
        return kept
    name = run_id(rules.workspace, one.trigger, one.entered_as or state.person, one.event_id)
    if isinstance(one, Candidate):
        one.name = name
    return name


def send_name(one: Candidate, run: str, moment: Moment) -> str:
    """The id of what the step asks for."""
    person = one.entered_as or moment.state.person
    return send_id(moment.rules.workspace, one.trigger, person, run, one.step)


def record(
    one: Run | Candidate | Open,
    outcome: Outcome,
    details: dict[str, Any],
    *,
    state: PersonState,
    rules: Rules,
    now: Micros,
    out: Outputs,
    run: str | None = None,
    send: str | None = None,
) -> None:
    """Write down what was concluded."""
    out.decisions.append(
        Decision(
            person=state.person,
            trigger=one.trigger,
            trigger_version=one.trigger_version,
            step=one.step,
            outcome=outcome,
            event_id=one.event_id,
            now=now,
            revision=rules.revision,
            run_id=run,
            send_id=send,
            details=details,
        )
    )


def told(
    one: Run | Candidate,
    outcome: Outcome,
    details: dict[str, Any],
    moment: Moment,
    *,
    send: str | None = None,
    in_run: bool = True,
) -> None:
    """`record` of the moment, with the run's id unless nobody has come in."""
    state, rules = moment.state, moment.rules
    run = run_name(one, state, rules) if in_run else None
    record(
        one,
        outcome,
        details,
        state=state,
        rules=rules,
        now=moment.now,
        out=moment.out,
        run=run,
        send=send,
    )


def ask(
    one: Candidate, step: SendStep | OfferStep | HandoffStep, send: str, moment: Moment
) -> None:
    """Ask the dispatcher for a message, an offer or a task."""
    trigger, state, rules = one.rule.trigger, moment.state, moment.rules
    priority = min(PRIORITY_MAX, trigger.priority + moment.bonus)
    kind, channel, endpoint, content, request = _asked(step)
    template = step.template if isinstance(step, SendStep) else None
    variables: dict[str, Any] = {
        "event": one.properties,
        "person": state.traits,
        "tags": tag_values(state, rules, moment.now),
    }
    if isinstance(step, SendStep) and step.gaps:
        variables |= fill(step.gaps, variables)
    moment.out.commands.append(
        SendCommand(
            send_id=send,
            workspace=rules.workspace,
            person=state.person,
            trigger=trigger.id,
            trigger_version=trigger.version,
            run_id=run_name(one, state, rules),
            step=one.step,
            event_id=one.event_id,
            channel=channel,
            category=trigger.category,
            priority=priority,
            lane=_lane(trigger.category, priority),
            to=_address(step, state),
            endpoint=endpoint,
            content=content,
            kind=kind,
            request=request,
            variables=variables,
            decided_at=moment.now,
            origin_received_at=one.origin_received_at,
            expires_at=moment.now + one.rule.send_within,
            when_unknown=step.send.when_unknown if isinstance(step, SendStep) else None,
            not_between=_quiet_hours(step, state, rules),
            template=None if template is None else template.id,
            template_version=None if template is None else template.version,
        )
    )


def _quiet_hours(
    step: SendStep | OfferStep | HandoffStep, state: PersonState, rules: Rules
) -> tuple[NotBetween, ...]:
    """What of them the dispatcher has to keep: the send may be late."""
    if not isinstance(step, SendStep) or not step.quiet_hours:
        return ()
    return quiet_windows(step.quiet_hours, calendar_for(state, rules).zone)


def _asked(
    step: SendStep | OfferStep | HandoffStep,
) -> tuple[Literal["send", "offer", "handoff"], str, str | None, Content, dict[str, Any]]:
    """Kind, channel, endpoint, content and request of a step's command."""
    if isinstance(step, SendStep):
        send = step.send
        return "send", send.channel, send.endpoint, step.content, {}
    if isinstance(step, HandoffStep):
        handoff = step.handoff
        return "handoff", WEBHOOK, handoff.endpoint, handoff.content, {"to": handoff.to}
    offer = step.offer
    request: dict[str, Any] = {"kind": offer.kind, "reference": offer.reference}
    if offer.amount is not None:
        request["amount"] = offer.amount
    return "offer", WEBHOOK, offer.endpoint, Content(), request


def _lane(category: str, priority: int) -> Lane:
    if category == "transactional":
        return "transactional"
    return "high" if priority >= HIGH_LANE_PRIORITY else "normal"


def _address(step: SendStep | OfferStep | HandoffStep, state: PersonState) -> str | None:
    trait = step.address_trait if isinstance(step, SendStep) else None
    address = None if trait is None else state.traits.get(trait)
    return address if isinstance(address, str) and address else None
