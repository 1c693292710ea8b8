"""The decision record: what the engine concluded for one candidate, and why."""

from enum import StrEnum
from typing import Any, Final

import msgspec

from services.contracts.time import Micros

CANCELLED: Final = "cancelled"
"""In the details of a record: it concerns a send that was commanded before and is taken back, if
it is not out yet. The run, if it goes on, goes on."""


class Outcome(StrEnum):
    """`SENT`, or the first refusal in the order of the checks.

    `EXPIRED` and `EXIT` end what had been put off: its time was over, or its exit happened.
    Of a journey: `ENTERED` (where it does not begin with a send), `STEPPED` for each step that
    asks nothing of anybody (details say what came of it), `OFFERED` and `HANDED_OFF` like
    `SENT`, `ENDED` with its result. `MERGE`: held until a person's other half is here.
    """

    SENT = "sent"
    WOULD_HAVE_SENT = "would_have_sent"
    PAUSED = "paused"
    CONSENT = "consent"
    AUDIENCE = "audience"
    ROLLOUT = "rollout"
    DEDUP = "dedup"
    REENTRY = "reentry"
    HOLDOUT = "holdout"
    QUIET_HOURS = "quiet_hours"
    CAP = "cap"
    EXPIRED = "expired"
    ARBITRATION = "arbitration"
    EXIT = "exit"
    MERGE = "merge"
    ENTERED = "entered"
    STEPPED = "stepped"
    OFFERED = "offered"
    HANDED_OFF = "handed_off"
    ENDED = "ended"


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record for every candidate whose entry matched.

    `details` says which rule refused, with its numbers: for a cap `policy`, `count`,
    `limit`, `frees_at` and, where the send waits, `deferred_until`. `now` is the engine's
    time of the decision in microseconds.
    """

    v: int = 1
    person: str
    trigger: str
    trigger_version: int
    step: int
    outcome: Outcome
    event_id: str
    now: Micros
    revision: int
    run_id: str | None = None
    send_id: str | None = None
    details: dict[str, Any] = {}
