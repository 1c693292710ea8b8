"""A small engine in the engine's place: what it does is easy to say, and it fails on demand.

The event's name says what to do: `note` remembers the message, `send` also sends, `timer`
asks to be woken `in` microseconds later, `refuse` is malformed, `boom` spoils state and
outputs and then raises, `recall` takes back what it sends, `grow` makes the state too large
to be written, `shout` makes a decision too large, `late_boom` asks to be woken and raises
then. `ask` asks the person named `of` in the properties, who answers and hands on all that
happens from then on; `ask_boom` raises after asking. Whoever is handed something notes it
once, by its place.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from services.contracts.cleaning import Finding
from services.contracts.codec import encode_event
from services.contracts.command import Cancel, Erased, Moved, SendCommand, run_id, send_id
from services.contracts.control import Answer, Ask, Erase, Forward
from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import Bundle
from services.contracts.delivery import Delivery
from services.contracts.errors import DefinitionError, Malformed
from services.contracts.event import Event
from services.contracts.profile import Profile
from services.triggers.worker.engine_port import Engine

TOO_LARGE = 1_100_000


class StandInState(msgspec.Struct, array_like=True):
    """What the stand-in remembers of a person."""

    person: str
    applied: int = -1
    now: int = 0
    wake_at: int | None = None
    notes: list[str] = []
    wake_fails: bool = False
    revision: int = -1
    merged_into: str | None = None
    merged: dict[str, int] = {}


@dataclass(frozen=True)
class StandInRules:
    """Rules that know nothing but their revision, and whether they concern everyone."""

    revision: int
    for_everyone: frozenset[int] = frozenset()


class StandInOutputs:
    """The engine's collector."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.commands: list[SendCommand] = []
        self.notices: list[Cancel | Moved | Erased] = []
        self.decisions: list[Decision] = []
        self.profiles: list[Profile] = []
        self.findings: list[Finding] = []
        self.hops: list[Ask | Answer | Forward] = []
        self.counts: dict[str, int] = {"applied": 0}
        self.skipped: dict[str, int] = {}


def compile_rules(bundle: Bundle) -> StandInRules:
    if any(trigger.id == "broken" for trigger in bundle.triggers):
        raise DefinitionError([("triggers.broken", "broken on purpose")])
    return StandInRules(bundle.revision)


def encode_state(state: StandInState) -> bytes:
    return (state.wake_at or 0).to_bytes(8, "big") + msgspec.msgpack.encode(state)


def decode_state(data: bytes) -> StandInState:
    try:
        return msgspec.msgpack.decode(data[8:], type=StandInState)
    except msgspec.DecodeError as error:
        raise Malformed("bad_state", "not a state") from error


def applied_of(data: bytes) -> int:
    return decode_state(data).applied


def wake_at_of(data: bytes) -> int | None:
    return int.from_bytes(data[:8], "big") or None


def _send(state: StandInState, cause: str, rules: StandInRules, now: int, out: Any) -> None:
    run = run_id("w", "t", state.person, cause)
    send = send_id("w", "t", state.person, run, 0)
    out.commands.append(
        SendCommand(
            send_id=send,
            workspace="w",
            person=state.person,
            trigger="t",
            trigger_version=rules.revision,
            run_id=run,
            step=0,
            event_id=cause,
            channel="log",
            category="marketing",
            priority=50,
            decided_at=now,
            origin_received_at=now,
        )
    )


def _take_back(state: StandInState, cause: str, now: int, out: Any) -> None:
    run = run_id("w", "t", state.person, cause)
    send = send_id("w", "t", state.person, run, 0)
    out.notices.append(Cancel(person=state.person, send_id=send, reason=cause, decided_at=now))


def _decide(state: StandInState, outcome: Outcome, rules: StandInRules, now: int, out: Any) -> None:
    out.decisions.append(
        Decision(
            person=state.person,
            trigger="t",
            trigger_version=1,
            step=0,
            outcome=outcome,
            event_id=str(len(state.notes)),
            now=now,
            revision=rules.revision,
            details={"policy": "marketing_daily"} if outcome is Outcome.CAP else {},
        )
    )


def decide(state: StandInState, event: Event, rules: StandInRules, now: int, out: Any) -> None:
    if event.name == "refuse":
        raise Malformed("refused", "refused on purpose")
    state.now, state.revision = now, rules.revision
    if state.merged_into is not None:
        _hand_on(state, encode_event(event), now, out)
        if event.name == "boom":
            raise RuntimeError("spoilt on purpose")
        return
    if event.name in ("ask", "ask_boom"):
        _ask(state, event, now, out)
    state.notes.append(f"{event.message_id}@{rules.revision}")
    if event.name == "send":
        _send(state, event.message_id, rules, now, out)
        _decide(state, Outcome.SENT, rules, now, out)
    elif event.name == "cap":
        _decide(state, Outcome.CAP, rules, now, out)
    elif event.name in ("timer", "late_boom"):
        state.wake_at = now + event.properties["in"]
        state.wake_fails = event.name == "late_boom"
    elif event.name == "recall":
        _send(state, event.message_id, rules, now, out)
        _take_back(state, event.message_id, now, out)
    elif event.name == "boom":
        _send(state, event.message_id, rules, now, out)
        _take_back(state, event.message_id, now, out)
        raise RuntimeError("spoilt on purpose: secret@example.com")
    elif event.name == "grow":
        state.notes.append("x" * TOO_LARGE)
    elif event.name == "shout":
        out.decisions.append(
            Decision(
                person=state.person,
                trigger="t",
                trigger_version=1,
                step=0,
                outcome=Outcome.SENT,
                event_id=event.message_id,
                now=now,
                revision=rules.revision,
                details={"much": "x" * TOO_LARGE},
            )
        )
    out.counts["applied"] += 1


def _ask(state: StandInState, event: Event, now: int, out: Any) -> None:
    out.hops.append(Ask(person=event.properties["of"], by=state.person, at=now))
    if event.name == "ask_boom":
        raise RuntimeError("spoilt on purpose")


def apply_delivery(
    state: StandInState, delivery: Delivery, rules: StandInRules, now: int, out: Any
) -> None:
    state.now, state.revision = now, rules.revision
    state.notes.append(f"{delivery.status}:{delivery.send_id}")
    out.counts["applied"] += 1


def apply_ask(state: StandInState, ask: Ask, rules: StandInRules, now: int, out: Any) -> None:
    state.now, state.revision = now, rules.revision
    handed = None
    if state.merged_into is None:
        handed = encode_state(state)
        state.merged_into, state.notes, state.wake_at = ask.by, [], None
    out.hops.append(
        Answer(person=ask.by, source=state.person, at=now, position=state.applied, state=handed)
    )


def apply_answer(
    state: StandInState, answer: Answer, rules: StandInRules, now: int, out: Any
) -> None:
    state.now, state.revision = now, rules.revision
    if answer.position <= state.merged.get(answer.source, -1):
        return
    state.merged[answer.source] = answer.position
    handed = [] if answer.state is None else decode_state(answer.state).notes
    state.notes += [f"{answer.source}:{note}" for note in handed]


def apply_erase(
    state: StandInState, erase: Erase, rules: Any, now: int, out: StandInOutputs
) -> None:
    """Nothing is left of them."""
    blank = StandInState(state.person)
    for name in StandInState.__struct_fields__:
        if name != "applied":
            setattr(state, name, getattr(blank, name))
    out.notices.append(Erased(person=state.person, request=erase.request, at=now))


def is_nobody(state: StandInState) -> bool:
    """They were erased, and nothing has happened to them since."""
    return state == StandInState(state.person, applied=state.applied)


def apply_forward(
    state: StandInState, forward: Forward, rules: StandInRules, now: int, out: Any
) -> None:
    if forward.body == b"?":
        raise Malformed("bad_forward", "refused on purpose")
    state.now, state.revision = now, rules.revision
    if forward.position <= state.merged.get(forward.source, -1):
        return
    state.merged[forward.source] = forward.position
    message_id = msgspec.msgpack.decode(forward.body, type=Event).message_id
    state.notes.append(f"{forward.source}>{message_id}@{rules.revision}")
    out.counts["applied"] += 1


def _hand_on(state: StandInState, body: bytes, now: int, out: Any) -> None:
    assert state.merged_into is not None
    out.hops.append(
        Forward(
            person=state.merged_into,
            source=state.person,
            at=now,
            position=state.applied,
            kind="event",
            body=body,
        )
    )


def wake(state: StandInState, rules: StandInRules, now: int, out: Any) -> None:
    state.now, state.revision = now, rules.revision
    state.notes.append(f"woken:{state.wake_at}@{rules.revision}")
    due, state.wake_at = state.wake_at, None
    _send(state, f"wake:{due}", rules, now, out)
    if state.wake_fails:
        raise RuntimeError("spoilt on purpose")


def stand_in() -> Engine:
    """The whole of it."""
    return Engine(
        compile_rules=compile_rules,
        new_state=StandInState,
        encode_state=encode_state,
        decode_state=decode_state,
        wake_at_of=wake_at_of,
        applied_of=applied_of,
        concerns_everyone=lambda before, now: bool(now.for_everyone - before.for_everyone),
        outputs=StandInOutputs,
        decide=decide,
        apply_delivery=apply_delivery,
        apply_erase=apply_erase,
        apply_ask=apply_ask,
        apply_answer=apply_answer,
        apply_forward=apply_forward,
        is_nobody=is_nobody,
        wake=wake,
    )
