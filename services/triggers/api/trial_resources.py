"""What the API takes and answers before publishing, and of what came of it after."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from services.contracts.conditions import Identifier, Name
from services.contracts.steps import Channel
from services.contracts.time import from_micros
from services.triggers.api.resources import ProblemError
from services.triggers.api.rollout_resources import RolloutRequest, RolloutResource
from services.triggers.backtest.jobs import Job, JobStatus
from services.triggers.engine.explain import Explanation
from services.triggers.trial.dry_run import Effect, Trial

Note = Annotated[str, Meta(max_length=2000)]
Message = Annotated[
    dict[str, Any],
    Meta(
        description="a message of Segment's form; what it leaves out is filled in",
        examples=[{"type": "track", "event": "Order Completed", "properties": {"revenue": 120}}],
    ),
]
Moment = Annotated[str, Meta(max_length=40, examples=["2026-11-22T09:00:00Z"])]
PEOPLE_MAX: Final = 20


class StopRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to stop, or to go on: everything, or some channels."""

    all: bool = False
    channels: Annotated[tuple[Channel, ...], Meta(max_length=10, examples=[["mail"]])] = ()
    note: Note = ""


class StopsResource(msgspec.Struct, frozen=True, kw_only=True):
    """What is stopped now, since which revision of the definitions."""

    all: bool
    channels: tuple[str, ...]
    version: int
    revision: int


class ValidateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Definitions as for `POST /v1/apply`."""

    definitions: Annotated[
        tuple[dict[str, Any], ...],
        Meta(
            min_length=1,
            max_length=500,
            examples=[
                [
                    {
                        "kind": "policy",
                        "id": "mail_weekly",
                        "limit": 5,
                        "window": "week",
                        "scope": {"kind": "channel", "value": "mail"},
                    }
                ]
            ],
        ),
    ]


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """`problems` keep them from being put in force, `warnings` do not."""

    valid: bool
    problems: tuple[ProblemError, ...]
    warnings: tuple[ProblemError, ...]


class InlineProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody made up: tags are computed from the `history`, folded before the event."""

    traits: Annotated[dict[str, Any], Meta(examples=[{"email": "ana@example.com"}])] = {}
    history: Annotated[tuple[Message, ...], Meta(max_length=200)] = ()


class DryRunRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person (by id as the workers know them, or made up) and one event.

    Without an event only time passes, to `at`. `at` is left out: the event's own time, or now.
    """

    event: Message | None = None
    person: Name | None = None
    profile: InlineProfile | None = None
    at: Moment | None = None


class DryRunDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision that would be recorded."""

    outcome: str
    step: int
    at: datetime
    details: dict[str, Any]


class DryRunWait(msgspec.Struct, frozen=True, kw_only=True):
    """Where the person would stand afterwards; null: until something happens."""

    step: int
    reason: str
    due_at: datetime | None


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided and sent, and why: `clauses` has the entry and the audience
    evaluated clause by clause, `explanation` the decisions in words."""

    trigger: str
    version: int
    person: str
    at: datetime
    decisions: tuple[DryRunDecision, ...]
    effects: tuple[Effect, ...]
    waiting: tuple[DryRunWait, ...]
    explanation: Explanation
    clauses: Explanation
    traits: dict[str, Any]
    tags: dict[str, Any]


class TestSendRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom (test people of the workspace), as if `event` had brought them in."""

    people: Annotated[
        tuple[Name, ...], Meta(min_length=1, max_length=PEOPLE_MAX, examples=[["ana"]])
    ]
    event: Message = {}


class TestSend(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was asked for."""

    send_id: str
    person: str
    step: int
    channel: str
    to: str | None


class TestSends(msgspec.Struct, frozen=True, kw_only=True):
    """Messages on their way; the dispatcher tells what became of each by its id."""

    sends: tuple[TestSend, ...]


class BacktestRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Drafts (or what is in force where there is none) against history.

    `events` is `topic`, the stored event log, or a file's name in the folder of the settings.
    """

    triggers: Annotated[
        tuple[Identifier, ...], Meta(min_length=1, max_length=20, examples=[["big_order"]])
    ]
    events: Annotated[
        str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$", examples=["topic"])
    ] = "topic"
    from_: Annotated[Moment | None, Meta(description="count from here: a date or an instant")] = (
        msgspec.field(default=None, name="from")
    )
    to: Moment | None = None
    samples: Annotated[int, Meta(ge=0, le=20)] = 5
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    fail_share: Annotated[int, Meta(ge=0, le=100)] = 0


class BacktestResource(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest and how far it is. `report` is there once it is `done`: docs/backtest.md."""

    id: str
    status: JobStatus
    triggers: tuple[str, ...]
    events: str
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    doing: str
    share: float | None
    error: str | None
    report: dict[str, Any] | None


class BacktestPage(msgspec.Struct, frozen=True, kw_only=True):
    """Backtests without their reports, the newest first."""

    items: tuple[BacktestResource, ...]
    next_cursor: str | None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How many people fulfil the audience now, and how many sends a day a backtest gave.

    Without an audience everybody does. Stored profiles know no event: clauses over its
    properties are left out, and `exact` is false then. Null: there is no backtest.
    """

    people: int
    of: int
    share: float
    exact: bool
    sends_a_day: float | None
    backtest: str | None


class HourCount(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of one outcome and reason in one hour; `put_off`: each was decided again."""

    hour: datetime
    trigger: str
    version: int
    outcome: str
    reason: str
    put_off: bool
    decisions: int


class HourCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by the hour, in order. `more`: older ones did not fit in."""

    counts: tuple[HourCount, ...]
    more: bool


class PersonDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about a person."""

    person: str
    trigger: str
    trigger_version: int
    step: int
    outcome: str
    event_id: str
    at: datetime
    revision: int
    run_id: str | None
    send_id: str | None
    details: dict[str, Any]


class PersonDecisions(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decisions, the newest first."""

    decisions: tuple[PersonDecision, ...]
    next_cursor: str | None


STRUCTS: Final = (
    StopRequest, StopsResource, ValidateRequest, Validation, DryRunRequest, DryRun,
    TestSendRequest, TestSends, BacktestRequest, BacktestResource, BacktestPage, Reach,
    RolloutRequest, RolloutResource, HourCounts, PersonDecisions, Explanation,
)  # fmt: skip


def dry_run_of(trial: Trial) -> DryRun:
    """How a trial is shown."""
    return DryRun(
        trigger=trial.trigger,
        version=trial.version,
        person=trial.person,
        at=from_micros(trial.at),
        decisions=tuple(
            DryRunDecision(
                outcome=one.outcome.value,
                step=one.step,
                at=from_micros(one.now),
                details=one.details,
            )
            for one in trial.decisions
        ),
        effects=trial.effects,
        waiting=tuple(
            DryRunWait(step=one.step, reason=one.reason, due_at=_moment(one.due_at))
            for one in trial.waiting
        ),
        explanation=trial.explanation,
        clauses=trial.clauses,
        traits=trial.traits,
        tags=trial.tags,
    )


def _moment(at: int) -> datetime | None:
    try:
        return from_micros(at)
    except OverflowError:
        return None


def backtest_of(job: Job) -> BacktestResource:
    """How a job is shown."""
    return BacktestResource(
        id=job.id,
        status=job.status,
        triggers=job.question.triggers,
        events=job.question.events,
        created_by=job.created_by,
        created_at=from_micros(job.created_at),
        started_at=None if job.started_at is None else from_micros(job.started_at),
        finished_at=None if job.finished_at is None else from_micros(job.finished_at),
        doing=job.what if job.status == "running" else "",
        share=job.share if job.status == "running" else None,
        error=job.error,
        report=job.report,
    )
