"""The engine as the shell sees it: its functions in one object, so that tests give their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from services.contracts.cleaning import Finding
from services.contracts.command import Cancel, Erased, Moved, SendCommand
from services.contracts.control import Answer, Ask, Forward
from services.contracts.decision import Decision
from services.contracts.definitions import Bundle
from services.contracts.errors import Malformed
from services.contracts.profile import Profile
from services.contracts.time import Micros


class State(Protocol):
    """What the shell touches of a person's state.

    `applied` is the position of the last record folded in, `offset << 16 | index`, -1 before
    the first. `wake_at` is the earliest instant at which the person needs attention though
    nothing of theirs happens.
    """

    person: str
    applied: int
    wake_at: Micros | None


class Outputs(Protocol):
    """What the engine concluded, in order, and the events by outcome.

    `notices` follow the commands on their topic. `hops` go to the logs of other people,
    wherever those are.
    """

    commands: list[SendCommand]
    notices: list[Cancel | Moved | Erased]
    decisions: list[Decision]
    profiles: list[Profile]
    findings: list[Finding]
    hops: list[Ask | Answer | Forward]
    counts: dict[str, int]
    skipped: dict[str, int]


Act = Callable[[Any, Any, Any, Micros, Any], None]
"""(state, what happened, rules, now, outputs): folds it in, in place."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Pure functions. A call that raises `Malformed` has changed nothing.

    The times they are given are those of the log, which may go back; a person's never does.
    """

    compile_rules: Callable[[Bundle], Any]
    new_state: Callable[[str], Any]
    encode_state: Callable[[Any], bytes]
    decode_state: Callable[[bytes], Any]
    wake_at_of: Callable[[bytes], Micros | None]
    applied_of: Callable[[bytes], int]
    concerns_everyone: Callable[[Any, Any], bool]
    """(rules of before, rules of now): whether these want something of people to whom nothing
    happens that those did not."""
    is_nobody: Callable[[Any], bool]
    """Whether there is nothing to keep of a state."""
    outputs: Callable[[int], Any]
    decide: Act
    apply_delivery: Act
    apply_erase: Act
    apply_ask: Act
    apply_answer: Act
    apply_forward: Act
    wake: Callable[[Any, Any, Micros, Any], None]


class StateUnreadable(RuntimeError):
    """Stored bytes this code cannot read, those of a newer version for example.

    Going on without them would forget a person's history: the process has to stop.
    """


def state_decoder(engine: Engine) -> Callable[[bytes], Any]:
    """The engine's decoder for stored states, whose failures are not an event's fault."""
    decode = engine.decode_state

    def decode_stored(data: bytes) -> Any:
        try:
            return decode(data)
        except Malformed as error:
            raise StateUnreadable(str(error)) from error

    return decode_stored


def triggers_engine(workspace: str) -> Engine:
    """The one of `services.triggers.engine`."""
    from services.triggers import engine

    return Engine(
        compile_rules=lambda bundle: engine.compile_rules(bundle, workspace=workspace),
        new_state=engine.new_state,
        encode_state=engine.encode_state,
        decode_state=engine.decode_state,
        wake_at_of=engine.wake_at_of,
        applied_of=engine.applied_of,
        concerns_everyone=engine.concerns_everyone,
        is_nobody=engine.is_nobody,
        outputs=engine.Outputs,
        decide=engine.decide,
        apply_delivery=engine.apply_delivery,
        apply_erase=engine.apply_erase,
        apply_ask=engine.apply_ask,
        apply_answer=engine.apply_answer,
        apply_forward=engine.apply_forward,
        wake=engine.wake,
    )
