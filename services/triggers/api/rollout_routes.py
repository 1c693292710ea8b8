"""Rollouts: stages of more and more people, which halt when something is wrong."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.contracts.conditions import ID_PATTERN
from services.contracts.time import Micros, parse_duration
from services.triggers.api.access import By, needs
from services.triggers.api.backtest_routes import sends_a_day
from services.triggers.api.openapi import shown, struct_body
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.requests import WrongBody, read_struct
from services.triggers.api.resources import answer
from services.triggers.api.rollout_resources import RolloutRequest, rollout_of
from services.triggers.api.trial_resources import HourCounts
from services.triggers.backtest.jobs import Jobs
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.values import Conflict, NotFound
from services.triggers.trial.rollout import Rollout, Seen, Step, problems_of, stepped
from services.triggers.trial.rollouts import Rollouts, with_percent

ASKED: Final = frozenset({"sent", "offered", "handed_off"})
FAILED: Final = frozenset({"failed", "bounced", "ambiguous"})

Id = Annotated[str, Path(alias="id", pattern=ID_PATTERN)]


class RollingOut(msgspec.Struct, frozen=True, kw_only=True):
    """What rollouts need. `now` gives microseconds."""

    definitions: Definitions
    rollouts: Rollouts
    jobs: Jobs
    now: Callable[[], Micros]


def rollout_routes(parts: RollingOut) -> APIRouter:
    """Beginning a rollout of what is in force, following it, ending it."""
    router = APIRouter(prefix="/v1/triggers", tags=["rollouts"])

    @router.post(
        "/{id}/rollout", summary="Let a live trigger reach more and more people",
        responses=shown("RolloutResource"), dependencies=[needs("reviewer")],
        openapi_extra=struct_body("RolloutRequest"),
    )  # fmt: skip
    async def begin(request: Request, id_: Id, by: By) -> Response:
        asked = await read_struct(request, RolloutRequest)
        if problems := problems_of(asked.stages):
            raise WrongBody(problems)
        standing = await parts.definitions.get("trigger", id_)
        if standing.status != "live":
            raise Conflict(f"trigger {id_} is {standing.status}: only live ones are rolled out")
        running = await parts.rollouts.get(id_)
        if running is not None and running.status == "running":
            raise Conflict(f"a rollout of {id_} is running")
        backtest, expected = await _expected(parts.jobs, id_, asked.backtest)
        stored = await parts.definitions.amend(
            "trigger", id_, with_percent(asked.stages[0].percent), by=by, action="rollout",
            expected=standing.edit, note=f"{asked.stages[0].percent} %",
        )  # fmt: skip
        now = parts.now()
        rollout = Rollout(
            id=str(uuid4()),
            trigger=id_,
            status="running",
            stages=asked.stages,
            stage=0,
            since=now,
            version=stored.version,
            factor=asked.factor,
            failure_share=asked.failure_share,
            window=asked.window,
            expected_a_day=expected,
            backtest=backtest,
            created_by=by.actor.name,
            created_at=now,
        )
        step = Step(at=now, what="began", percent=rollout.percent)
        rollout = stepped(rollout, step)
        await parts.rollouts.begin(rollout)
        return answer(rollout_of(rollout))

    @router.get("/{id}/rollout", summary="How far a rollout is",
                responses=shown("RolloutResource"))  # fmt: skip
    async def read(id_: Id) -> Response:
        return answer(rollout_of(await _require(parts.rollouts, id_)))

    @router.post(
        "/{id}/rollout/end", summary="Leave a rollout at the stage it has come to",
        responses=shown("RolloutResource"), dependencies=[needs("reviewer")],
    )  # fmt: skip
    async def end(id_: Id, by: By) -> Response:
        rollout = await _require(parts.rollouts, id_)
        if rollout.status == "running":
            reason = f"ended by {by.actor.name}"
            step = Step(at=parts.now(), what="ended", percent=rollout.percent, reason=reason)
            rollout = stepped(msgspec.structs.replace(rollout, status="ended"), step)
            await parts.rollouts.save(rollout)
        return answer(rollout_of(rollout))

    return router


async def _require(rollouts: Rollouts, trigger: str) -> Rollout:
    found = await rollouts.get(trigger)
    if found is None:
        raise NotFound(f"there was no rollout of {trigger}")
    return found


async def _expected(
    jobs: Jobs, trigger: str, backtest: str | None
) -> tuple[str | None, float | None]:
    """The backtest that is measured against, and its sends a day."""
    job = await jobs.latest(trigger) if backtest is None else await jobs.get(backtest)
    if job is None:
        return None, None
    found = sends_a_day(job, trigger)
    if backtest is not None and found is None:
        raise WrongBody([("body.backtest", "it says nothing of this trigger")])
    return (None, None) if found is None else (job.id, found)


class _Outcomes(msgspec.Struct, frozen=True):
    outcomes: dict[str, int]


def counting(
    decisions: ProfileStore, sends: ProfileStore, now: Callable[[], Micros]
) -> Callable[[Rollout], Awaitable[Seen]]:
    """Counts for a rollout: its sends from the decision log, by the version of the stage; what
    became of them from the dispatcher's ledger, as far back as the window."""

    async def count(rollout: Rollout) -> Seen:
        found = await decisions.fetch(
            "/v1/decision-counts", HourCounts, {"trigger": rollout.trigger}
        )
        counts = () if found is None else found.counts
        since = max(rollout.since, now() - parse_duration(rollout.window))
        ended = await sends.fetch(
            "/v1/sends/outcomes", _Outcomes, {"trigger": rollout.trigger, "since": since}
        )
        outcomes = {} if ended is None else ended.outcomes
        return Seen(
            sends=sum(
                one.decisions
                for one in counts
                if one.version == rollout.version and one.outcome in ASKED
            ),
            finished=sum(outcomes.values()),
            failures=sum(count for state, count in outcomes.items() if state in FAILED),
        )

    return count
