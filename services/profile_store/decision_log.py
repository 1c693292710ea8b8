"""The port to the decision log: what was decided of people, and how often by the hour."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, Protocol

import msgspec

from services.contracts.codec import decode_json
from services.contracts.decision import Decision, Outcome
from services.contracts.errors import Malformed
from services.contracts.time import HOUR, Micros
from services.profile_store.limits import MICROS_MAX, MICROS_MIN, NUMBER_MAX, TEXT_BYTES_MAX

DIGEST_BYTES: Final = 16
DECISIONS_PAGE_MAX: Final = 200
COUNTS_MAX: Final = 20_000
"""Rows of counts in one answer: a trigger's outcomes and reasons over a month of hours."""
REASON_CHARS_MAX: Final = 100
_INT_MAX: Final = 2**31 - 1
_REASONS: Final = ("policy", "stopped", "refused", "mode", "group", "winner", "result")
"""Details that say in one word why, of few values each; the first that is there counts."""

_decoder: Final = msgspec.json.Decoder(Decision)


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A decision and its place on the topic. `written_ms` is Kafka's timestamp of the record.

    `digest` is of the whole record: a worker that decides again after a crash writes the same
    bytes once more, elsewhere, and it is the same decision.
    """

    decision: Decision
    partition: int
    offset: int
    written_ms: int
    digest: bytes


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: decisions new to the log, and those that it knew."""

    written: int
    repeated: int


class Count(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """How many decisions of one kind there were in the hour that begins at `hour`.

    `put_off`: each of them was decided again later. `reason` is empty where the outcome says all.
    """

    hour: Micros
    trigger: str
    version: int
    outcome: str
    reason: str = ""
    put_off: bool = False
    decisions: int = 0


class DecisionLog(Protocol):
    """The recent decisions, some a person, and counts of all of them.

    The adapters pass one conformance suite (tests/profile_store/test_decision_log.py).
    """

    async def put(self, batch: Sequence[Logged]) -> Recorded:
        """Keep each decision and count it, once however often it comes; all or nothing.

        Batches of a partition have to come in the order of its offsets. What stands before the
        last one put is known, unless it was written later: then the topic was made anew.

        Raises:
            Transient: the database is away or busy; whether it was stored is unknown.
        """

    async def of_people(
        self, people: Sequence[str], *, trigger: str | None, limit: int, before: "Place | None"
    ) -> list[tuple["Place", Decision]]:
        """Up to `limit` decisions of these people, the newest first, from behind `before` on.

        Raises:
            Transient: the database is away or busy.
        """

    async def counts(self, *, trigger: str | None, from_: Micros, to: Micros) -> list[Count]:
        """Counts of the hours that begin in `[from_, to)`, in order; the newest `COUNTS_MAX`.

        Raises:
            Transient: the database is away or busy.
        """

    async def prune(self, *, keep_micros: int, keep_people: int) -> int:
        """Forget decisions (not counts) stored longer ago than that, and of people who have more
        than so many the oldest, but for the last hour's; returns how many. Raises `Transient`.
        """


class Place(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Where a decision stands in the order of a person's decisions."""

    now: Micros
    digest: bytes


def logged_of(value: bytes | None, *, partition: int, offset: int, written_ms: int) -> Logged:
    """Decode a record of `decisions`.

    Raises:
        Malformed: `bad_decision`, `newer_schema`, or `unstorable` with what is out of range.
    """
    if value is None:
        raise Malformed("bad_decision", "the record has no value")
    decision = decode_json(value, _decoder, "decision")
    problem = _problem(decision)
    if problem is not None:
        raise Malformed("unstorable", problem)
    digest = blake2b(value, digest_size=DIGEST_BYTES).digest()
    return Logged(
        decision=decision, partition=partition, offset=offset, written_ms=written_ms, digest=digest
    )


def _problem(decision: Decision) -> str | None:
    for name, text in (("person", decision.person), ("trigger", decision.trigger)):
        # U+0000 takes a second byte where it is stored.
        if len(text.encode()) + text.count("\x00") + text.count("\x1a") > TEXT_BYTES_MAX:
            return f"{name} is longer than {TEXT_BYTES_MAX} bytes"
    if not decision.person:
        return "person is empty"
    if not MICROS_MIN <= decision.now <= MICROS_MAX:
        return "now is outside the years 1 to 9999"
    for name, number, most in (
        ("trigger_version", decision.trigger_version, _INT_MAX),
        ("step", decision.step, _INT_MAX),
        ("revision", decision.revision, NUMBER_MAX),
    ):
        if not 0 <= number <= most:
            return f"{name} is out of range"
    return None


def hour_of(at: Micros) -> Micros:
    """The beginning of the hour, in UTC."""
    return at - at % HOUR


def reason_of(decision: Decision) -> str:
    """In one word why: the cap's policy, the channel that is stopped, the result and so on."""
    found: Any = next(
        (decision.details[name] for name in _REASONS if name in decision.details), None
    )
    if found is None and decision.outcome is Outcome.CONSENT:
        return "missing"
    return found[:REASON_CHARS_MAX] if isinstance(found, str) else ""


def is_put_off(decision: Decision) -> bool:
    """Whether it will be decided again."""
    return "deferred_until" in decision.details
