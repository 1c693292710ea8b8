"""What follows from an outcome: pure rules of attempts, waiting, expiry and ambiguity."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.contracts.command import Lane, NotBetween, SendCommand, WhenUnknown
from services.contracts.time import SECOND, Micros, from_micros
from services.dispatcher.channels.port import Accepted, Delayed, Outcome, Refused, Unknown
from services.runtime.backoff import delay

REASON_CHARS_MAX: Final = 200
RANKS: Final[dict[Lane, int]] = {"transactional": 0, "high": 1, "normal": 2}
"""Claims are made in this order, so that a receipt never waits behind a campaign."""


class SendState(StrEnum):
    """`PENDING` → `SENDING` → `ACCEPTED`, `FAILED`, `AMBIGUOUS` or back to `PENDING`.

    A provider's receipt makes `DELIVERED` or `BOUNCED` of what was accepted, and of what
    was in doubt.
    """

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    DELIVERED = "delivered"
    BOUNCED = "bounced"


TAKEN: Final = frozenset({SendState.ACCEPTED, SendState.DELIVERED, SendState.BOUNCED})
"""A provider took these: the cap's reservation is used."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the retry schedule. `retry_after_seconds_max` bounds what a peer may ask."""

    attempts_max: int
    first_seconds: float
    max_seconds: float
    retry_after_seconds_max: float


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The next state of a ledger entry. `wait_micros` counts from now, for `PENDING`.

    `doubtful`: some attempt may have had its effect unseen, so that a later refusal proves
    nothing and must not release a cap. `bound`: only the provider that is in doubt may try
    again, for another one does not know its idempotency keys.
    """

    state: SendState
    reason: str | None = None
    provider_id: str | None = None
    wait_micros: int = 0
    doubtful: bool = False
    bound: bool = False
    about_address: bool = False


def queue_of(command: SendCommand) -> str:
    """The queue a command waits in: its channel, and for webhooks each endpoint its own.

    Queues have their own workers, so a slow endpoint delays nobody but itself.
    """
    return command.channel if command.endpoint is None else f"{command.channel}:{command.endpoint}"


def expired(command: SendCommand, now: Micros) -> bool:
    """Whether nothing may be sent any more; the instant `expires_at` itself is too late."""
    return command.expires_at is not None and now >= command.expires_at


def hold(not_between: Sequence[NotBetween], now: Micros) -> int:
    """Microseconds until none of the quiet hours holds any more; 0 where none holds now.

    The end is an absolute instant (semantics, section 7): what the clock shows twice is the
    first of them, what it skips comes within the hour after the gap.
    """
    over = now
    # Windows that follow each other add up; those that leave no time at all are looked at again.
    for _ in range(len(not_between) + 1):
        left = max((_left_of(one, over) for one in not_between), default=0)
        if not left:
            break
        over += left
    return over - now


def _left_of(window: NotBetween, now: Micros) -> int:
    zone = ZoneInfo(window.zone)
    local = from_micros(now).astimezone(zone)
    start, end, at = window.start, window.end, f"{local:%H:%M}"
    over_midnight = start > end
    quiet = at >= start or at < end if over_midnight else start <= at < end
    if not quiet:
        return 0
    day = local.date() + timedelta(days=1 if over_midnight and at >= start else 0)
    hour, minute = map(int, end.split(":"))
    over = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    return max(0, int(over.timestamp() * SECOND) - now)


def put_back(reason: str, *, doubtful: bool) -> Settlement:
    """Back to waiting, to be claimed again as soon as anybody may; nothing was attempted."""
    return Settlement(state=SendState.PENDING, reason=reason, doubtful=doubtful, bound=doubtful)


def wait_out(wait_micros: int, *, doubtful: bool) -> Settlement:
    """Back to waiting for quiet hours to end; nothing was attempted."""
    return Settlement(
        state=SendState.PENDING,
        reason="quiet_hours",
        wait_micros=wait_micros,
        doubtful=doubtful,
        bound=doubtful,
    )


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
    repeating is harmless or `when_unknown` prefers twice to never; otherwise it ends there.
    """
    match outcome:
        case Accepted(provider_id=provider_id):
            kept = None if provider_id is None else _short(provider_id)
            return Settlement(state=SendState.ACCEPTED, provider_id=kept)
        case Refused(reason=reason, about_address=about_address):
            given_up = give_up(reason, doubtful=doubtful)
            return msgspec.structs.replace(given_up, about_address=about_address)
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
        bound=doubtful and when_unknown == "at_most_once",
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
