"""What follows from an outcome: pure rules of attempts, waiting, expiry and ambiguity."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Literal

import msgspec

from services.contracts.command import Lane, SendCommand
from services.contracts.time import SECOND, Micros
from services.dispatcher.channels.port import Accepted, Delayed, Outcome, Refused, Unknown
from services.runtime.backoff import delay

REASON_CHARS_MAX: Final = 200
RANKS: Final[dict[Lane, int]] = {"transactional": 0, "high": 1, "normal": 2}
"""Claims are made in this order, so that a receipt never waits behind a campaign."""


class SendState(StrEnum):
    """`PENDING` → `SENDING` → `ACCEPTED`, `FAILED`, `AMBIGUOUS` or back to `PENDING`."""

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"


WhenUnknown = Literal["at_most_once", "at_least_once"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the retry schedule. `retry_after_seconds_max` bounds what a peer may ask."""

    attempts_max: int
    first_seconds: float
    max_seconds: float
    retry_after_seconds_max: float


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The next state of a ledger entry. `wait_micros` counts from now, for `PENDING`.

    `doubtful`: some attempt may have had its effect unseen, so that a later refusal proves
    nothing and must not release a cap.
    """

    state: SendState
    reason: str | None = None
    provider_id: str | None = None
    wait_micros: int = 0
    doubtful: bool = False


def queue_of(command: SendCommand) -> str:
    """The queue a command waits in: its channel, and for webhooks each endpoint its own.

    Queues have their own workers, so a slow endpoint delays nobody but itself.
    """
    return command.channel if command.endpoint is None else f"{command.channel}:{command.endpoint}"


def expired(command: SendCommand, now: Micros) -> bool:
    """Whether nothing may be sent any more; the instant `expires_at` itself is too late."""
    return command.expires_at is not None and now >= command.expires_at


def give_up(reason: str, *, doubtful: bool) -> Settlement:
    """The end without acceptance: `FAILED`, or `AMBIGUOUS` if an effect may stand."""
    state = SendState.AMBIGUOUS if doubtful else SendState.FAILED
    return Settlement(state=state, reason=_short(reason), doubtful=doubtful)


def settle(
    outcome: Outcome,
    *,
    attempts: int,
    doubtful: bool,
    idempotent: bool,
    when_unknown: WhenUnknown,
    policy: Policy,
    random: Callable[[], float],
) -> Settlement:
    """The state that an attempt's outcome leads to; `attempts` counts this one.

    `doubtful` is what earlier attempts left. An unknown outcome is tried again where
    repeating is harmless or the operator prefers twice to never; otherwise it ends there.
    """
    match outcome:
        case Accepted(provider_id=provider_id):
            kept = None if provider_id is None else _short(provider_id)
            return Settlement(state=SendState.ACCEPTED, provider_id=kept)
        case Refused(reason=reason):
            return give_up(reason, doubtful=doubtful)
        case Unknown(reason=reason):
            asked, doubtful = None, True
            final = not (idempotent or when_unknown == "at_least_once")
        case Delayed(reason=reason, retry_after_seconds=asked):
            final = False
    if final:
        return give_up(reason, doubtful=doubtful)
    if attempts >= policy.attempts_max:
        return give_up(f"exhausted: {reason}", doubtful=doubtful)
    return Settlement(
        state=SendState.PENDING,
        reason=_short(reason),
        wait_micros=_wait(attempts, asked, policy, random),
        doubtful=doubtful,
    )


def _wait(
    attempts: int, asked_seconds: float | None, policy: Policy, random: Callable[[], float]
) -> int:
    seconds = delay(
        attempts - 1,
        first_seconds=policy.first_seconds,
        max_seconds=policy.max_seconds,
        random=random,
    )
    if asked_seconds is not None:
        seconds = max(seconds, min(asked_seconds, policy.retry_after_seconds_max))
    return int(seconds * SECOND)


def _short(reason: str) -> str:
    # PostgreSQL's text holds no NUL, and a peer's words are bounded before they are kept.
    return reason.replace("\0", "")[:REASON_CHARS_MAX]
