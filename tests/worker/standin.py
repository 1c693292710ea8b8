"""A small engine in the engine's place: what it does is easy to say, and it fails on demand.

The event's name says what to do: `note` remembers the message, `send` also sends, `timer`
asks to be woken `in` microseconds later, `refuse` is malformed, `boom` spoils state and
outputs and then raises, `grow` makes the state too large to be written, `shout` makes a
decision too large, `late_boom` asks to be woken and raises then.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from services.contracts.command import SendCommand, run_id, send_id
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
        self.decisions: list[Decision] = []
        self.profiles: list[Profile] = []
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
    state.notes.append(f"{event.message_id}@{rules.revision}")
    if event.name == "send":
        _send(state, event.message_id, rules, now, out)
        _decide(state, Outcome.SENT, rules, now, out)
    elif event.name == "cap":
        _decide(state, Outcome.CAP, rules, now, out)
    elif event.name in ("timer", "late_boom"):
        state.wake_at = now + event.properties["in"]
        state.wake_fails = event.name == "late_boom"
    elif event.name == "boom":
        _send(state, event.message_id, rules, now, out)
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


def apply_delivery(
    state: StandInState, delivery: Delivery, rules: StandInRules, now: int, out: Any
) -> None:
    state.now, state.revision = now, rules.revision
    state.notes.append(f"{delivery.status}:{delivery.send_id}")
    out.counts["applied"] += 1


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
        for_everyone=lambda rules: rules.for_everyone,
        outputs=StandInOutputs,
        decide=decide,
        apply_delivery=apply_delivery,
        wake=wake,
    )
