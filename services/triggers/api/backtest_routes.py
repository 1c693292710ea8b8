"""Backtests as jobs, and what they say of a draft's reach."""

from collections.abc import Callable
from pathlib import Path as File
from typing import Annotated, Any, Final
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from services.contracts.conditions import ID_PATTERN, Condition
from services.contracts.definitions import Trigger
from services.contracts.errors import CuestreamError
from services.contracts.time import DAY, Micros
from services.contracts.timestamp import parse_timestamp
from services.triggers.api.access import By, needs
from services.triggers.api.openapi import shown, struct_body
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.requests import WrongBody, read_struct
from services.triggers.api.resources import answer
from services.triggers.api.trial_resources import (
    BacktestPage,
    BacktestRequest,
    Reach,
    backtest_of,
)
from services.triggers.backtest.jobs import TOPIC, Job, JobQuestion, Jobs
from services.triggers.backtest.run import moment
from services.triggers.definitions.checking import Checker
from services.triggers.definitions.service import Definitions
from services.triggers.engine.windows import calendar_of
from services.triggers.trial.bundles import in_force, live, with_drafts

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100

Id = Annotated[str, Path(alias="id", pattern=ID_PATTERN)]
JobId = Annotated[str, Path(alias="id", pattern="^[0-9a-f-]{36}$")]


class Backtesting(msgspec.Struct, frozen=True, kw_only=True):
    """What backtests need. `folder` has the files that may be asked for; `wake` tells whoever
    runs jobs that there is one."""

    definitions: Definitions
    check: Checker
    jobs: Jobs
    workspace: str
    folder: File | None
    now: Callable[[], Micros]
    wake: Callable[[], None] = lambda: None


class _Found(msgspec.Struct, frozen=True):
    count: int


def backtest_routes(backtesting: Backtesting) -> APIRouter:
    """Asking for a backtest, following it, taking it back."""
    router, jobs = APIRouter(prefix="/v1/backtests", tags=["backtests"]), backtesting.jobs

    @router.post(
        "", summary="Play history with drafts among what is in force", status_code=202,
        responses=shown("BacktestResource", 202), dependencies=[needs("operator")],
        openapi_extra=struct_body("BacktestRequest"),
    )  # fmt: skip
    async def create(request: Request, by: By) -> Response:
        asked = await read_struct(request, BacktestRequest)
        job = Job(
            id=str(uuid4()),
            status="queued",
            question=await _question(backtesting, asked),
            created_by=by.actor.name,
            created_at=backtesting.now(),
        )
        job = await jobs.add(job)
        backtesting.wake()
        return answer(backtest_of(job), 202, {"Location": f"/v1/backtests/{job.id}"})

    @router.get("", summary="List backtests", responses=shown("BacktestPage"))
    async def list_(
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
        cursor: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    ) -> Response:
        found = await jobs.page(below=cursor, limit=limit + 1)
        more = len(found) > limit
        return answer(
            BacktestPage(
                items=tuple(backtest_of(one) for one in found[:limit]),
                next_cursor=str(found[limit - 1].number) if more else None,
            )
        )

    @router.get("/{id}", summary="How far a backtest is", responses=shown("BacktestResource"))
    async def read(id_: JobId) -> Response:
        return answer(backtest_of(await jobs.get(id_)))

    @router.post(
        "/{id}/cancel", summary="End a backtest", responses=shown("BacktestResource"),
        dependencies=[needs("operator")],
    )  # fmt: skip
    async def cancel(id_: JobId) -> Response:
        return answer(backtest_of(await jobs.cancel(id_, backtesting.now())))

    return router


async def _question(backtesting: Backtesting, asked: BacktestRequest) -> JobQuestion:
    """All that the job needs, checked before anybody waits for it."""
    if asked.events != TOPIC:
        folder = backtesting.folder
        if folder is None or not (folder / asked.events).is_file():
            raise WrongBody([("body.events", "no file of this name in the folder of backtests")])
    definitions = backtesting.definitions
    current, revision = await definitions.current(), (await definitions.revision()).revision
    together = with_drafts(current, asked.triggers, revision, backtesting.check)
    standing = in_force(current, revision)
    calendar, given = calendar_of(together.workspace.time_zone), list[Micros]()
    for name, text in (("from", asked.from_), ("to", asked.to)):
        try:
            at = moment(text, name, calendar)
        except CuestreamError as error:
            raise WrongBody([(f"body.{name}", "neither a date nor an instant")]) from error
        given += [] if at is None else [at]
    if len(given) > 1 and given[0] >= given[1]:
        raise WrongBody([("body.from", "has to be before to")])
    return JobQuestion(
        triggers=tuple(sorted({*asked.triggers})),
        workspace=backtesting.workspace,
        live=msgspec.to_builtins(standing),
        together=msgspec.to_builtins(together),
        rollouts={one.id: one.rollout for one in together.triggers if one.id in asked.triggers},
        events=asked.events,
        begins_at=asked.from_,
        ends_at=asked.to,
        samples=asked.samples,
        seed=asked.seed,
        fail_share=asked.fail_share,
    )


def sends_a_day(job: Job, trigger: str) -> float | None:
    """How many sends a day the backtest gave, were the rollout at everybody; None: it had none
    of this trigger, or covers no time."""
    report = job.report or {}
    found = next((one for one in report.get("triggers", ()) if one["trigger"] == trigger), None)
    rollout = job.question.rollouts.get(trigger, 100)
    if found is None or not rollout:
        return None
    begins, ends = (parse_timestamp(report[name]) for name in ("begins_at", "ends_at"))
    asked = found["sends"] + found["offers"] + found["handoffs"]
    return float(asked) * 100 / rollout / max((ends - begins) / DAY, 1.0)


def reach_routes(definitions: Definitions, jobs: Jobs, store: ProfileStore) -> APIRouter:
    """How far a draft would reach."""
    router = APIRouter(prefix="/v1/triggers", tags=["before publishing"])

    @router.get("/{id}/reach", summary="How many people fulfil the audience, and sends a day",
                responses=shown("Reach"))  # fmt: skip
    async def reach(id_: Id) -> Response:
        trigger = live(await definitions.get("trigger", id_))
        where, exact = _stored_part(trigger)
        everybody = await _count(store, Condition(not_=_NOBODY))
        people = everybody if where is None else await _count(store, where)
        job = await jobs.latest(id_)
        return answer(
            Reach(
                people=people,
                of=everybody,
                share=people / everybody if everybody else 0.0,
                exact=exact,
                sends_a_day=None if job is None else sends_a_day(job, id_),
                backtest=None if job is None else job.id,
            )
        )

    return router


_NOBODY: Final = Condition(trait="a_trait_that_nobody_has_because_of_its_name", op="exists")


async def _count(store: ProfileStore, where: Condition) -> int:
    body = {"where": where, "limit": 0, "count": True}
    return (await store.ask("/v1/search", body, _Found)).count


def _stored_part(trigger: Trigger) -> tuple[Condition | None, bool]:
    """What of the audience a stored profile can answer, and whether that is all of it."""
    if trigger.audience is None:
        return None, True
    kept = _without_events(trigger.audience)
    return kept, kept == trigger.audience


def _without_events(one: Condition) -> Condition | None:
    """Without clauses over the event's properties: those of an `all` are left out, any other
    group that has one goes as a whole, since what it asks cannot be known."""
    if one.property is not None:
        return None
    if one.all_ is not None:
        parts = [part for part in map(_without_events, one.all_) if part is not None]
        return msgspec.structs.replace(one, all_=tuple(parts)) if parts else None
    inner: tuple[Any, ...] = one.any_ or (() if one.not_ is None else (one.not_,))
    return one if all(_without_events(part) == part for part in inner) else None
