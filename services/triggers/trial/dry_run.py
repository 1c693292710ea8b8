"""What a draft would decide of one person and one event: the production engine, told clause by
clause. Nothing is stored and nothing is sent.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.command import Content, SendCommand
from services.contracts.decision import Decision
from services.contracts.definitions import Bundle
from services.contracts.errors import Malformed
from services.contracts.event import IDENTIFY, Event
from services.contracts.masking import masked
from services.contracts.segment import parse_message
from services.contracts.time import Micros, from_micros
from services.runtime.templates import render
from services.triggers.engine import (
    Outputs,
    PersonState,
    Rules,
    compile_rules,
    decide,
    decode_state,
    encode_state,
    new_state,
    wake,
)
from services.triggers.engine.explain import Explanation, explain
from services.triggers.engine.person import tag_values
from services.triggers.trial.masking import masked_variables

NOBODY: Final = "somebody"
"""Whom an event is about that says no id, where no person is named."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that would be asked of the dispatcher, its texts filled in.

    `problem` says why a text could not be: it would fail when it is sent.
    """

    kind: str
    step: int
    channel: str
    endpoint: str | None
    to: str | None
    subject: str
    body: str
    html: str
    request: dict[str, Any]
    problem: str | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Where the person would stand in the trigger afterwards, until when."""

    step: int
    reason: str
    due_at: Micros


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: what would be decided now of this trigger (others do as they would), what it
    would send, and how each clause came out. `tags` are what conditions see of the person.
    """

    trigger: str
    version: int
    person: str
    at: Micros
    decisions: tuple[Decision, ...]
    effects: tuple[Effect, ...]
    waiting: tuple[Waiting, ...]
    explanation: Explanation
    clauses: Explanation
    traits: dict[str, Any]
    tags: dict[str, Any]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Whom and what it is about: a person as they stand, then an event, or only time passing.

    `history` are events before it, folded first; `traits` are put on top.
    """

    state: PersonState
    at: Micros
    event: Event | None = None
    history: tuple[Event, ...] = ()
    traits: Mapping[str, Any] = {}


def try_out(
    trigger: str,
    bundle: Bundle,
    scene: Scene,
    *,
    workspace: str,
    sensitive: Collection[str] = (),
) -> Trial:
    """Play the scene under these definitions.

    What is due for the person before comes first, as it would live, and is not told. Traits
    named as `sensitive` are masked in what would be sent.

    Raises:
        DefinitionError: the definitions cannot be right.
        Malformed: an event is of a time that no engine takes.
    """
    rules = compile_rules(bundle, workspace=workspace)
    state, out = decode_state(encode_state(scene.state)), Outputs()
    for event in scene.history:
        decide(state, event, rules, event.received_at, out)
    at = max(scene.at, state.now)
    if scene.traits:
        decide(state, _identified(state.person, scene.traits, at), rules, at, out)
    wake(state, rules, at, out)
    before, out = decode_state(encode_state(state)), Outputs()
    if scene.event is None:
        wake(state, rules, at, out)
    else:
        decide(state, scene.event, rules, at, out)
    decided = [one for one in out.decisions if one.trigger == trigger]
    events = [] if scene.event is None else [scene.event]
    runs = () if state.sending is None else state.sending.runs
    return Trial(
        trigger=trigger,
        version=rules.triggers[trigger].trigger.version if trigger in rules.triggers else 0,
        person=state.person,
        at=at,
        decisions=tuple(decided),
        effects=tuple(effect_of(one, sensitive) for one in out.commands if one.trigger == trigger),
        waiting=tuple(
            Waiting(step=run.step, reason=run.reason, due_at=run.due_at)
            for run in runs
            if run.trigger == trigger
        ),
        explanation=explain(state, trigger, rules, decided, at, events),
        clauses=explain(_seen(before, state, rules), trigger, rules, [], at, events),
        traits=dict(state.traits),
        tags=tag_values(state, rules, at),
    )


def _seen(before: PersonState, after: PersonState, rules: Rules) -> PersonState:
    """As conditions see the person: the event is in tags and traits, nothing was decided yet."""
    seen = decode_state(encode_state(after))
    seen.sending = before.sending
    return seen


def effect_of(command: SendCommand, sensitive: Collection[str] = ()) -> Effect:
    """A command as it would go out, with its texts filled in by the dispatcher's own means."""
    content, problem, to = command.content, None, command.to
    variables: Mapping[str, Any] = command.variables
    if sensitive:
        variables, to = masked_variables(variables, sensitive), to and masked(to)
    try:
        told = Content(
            subject=render(content.subject, variables),
            body=render(content.body, variables),
            html=render(content.html, variables, html=True),
        )
    except Malformed as error:
        told, problem = content, error.message
    return Effect(
        kind=command.kind,
        step=command.step,
        channel=command.channel,
        endpoint=command.endpoint,
        to=to,
        subject=told.subject,
        body=told.body,
        html=told.html,
        request=command.request,
        problem=problem,
    )


def events_of(
    messages: Sequence[Mapping[str, Any]], person: str | None, now: Micros, name: str
) -> list[Event]:
    """Messages of Segment's form as events received when they happened, by default `now`.

    What is about nobody is about `person`; ids that are left out are made up from `name`.

    Raises:
        Malformed: what is wrong with one, as ingest would say it.
    """
    events = []
    for number, message in enumerate(messages):
        given = {"type": "track", "messageId": f"trial-{name}-{number}", **message}
        if "userId" not in given and "anonymousId" not in given:
            given["userId"] = person or NOBODY
        if "timestamp" not in given:
            given["timestamp"] = from_micros(now).isoformat()
        events.append(parse_message(msgspec.json.encode(given), received_at=None))
    return events


def stranger(person: str) -> PersonState:
    """Somebody of whom nothing is known."""
    return new_state(person)


def _identified(person: str, traits: Mapping[str, Any], at: Micros) -> Event:
    return Event(
        person=person,
        type=IDENTIFY,
        name="$identify",
        message_id=f"trial-traits-{at}",
        occurred_at=at,
        received_at=at,
        traits=dict(traits),
    )
