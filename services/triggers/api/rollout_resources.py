"""What the API takes and answers about rollouts."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.contracts.conditions import Duration
from services.contracts.time import from_micros
from services.triggers.trial.rollout import Rollout, Stage


class RolloutRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stages, and when to halt: sends beyond what the backtest gives for the stage, times
    `factor`, or more than `failure_share` percent of the sends read within `window` failed.

    `backtest`: left out, the newest of this trigger; without one only failures halt.
    """

    stages: Annotated[
        tuple[Stage, ...],
        Meta(
            min_length=1,
            max_length=10,
            examples=[
                [
                    {"percent": 1, "hold": "1h"},
                    {"percent": 5, "hold": "1d"},
                    {"percent": 100, "hold": "1h"},
                ]
            ],
        ),
    ] = (
        Stage(percent=1, hold="1h"),
        Stage(percent=5, hold="1d"),
        Stage(percent=100, hold="1h"),
    )
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    failure_share: Annotated[int, Meta(ge=0, le=100)] = 10
    window: Duration = "15m"
    backtest: Annotated[str, Meta(max_length=64)] | None = None


class RolloutStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done."""

    at: datetime
    what: str
    percent: int
    reason: str


class RolloutResource(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout. `sends`, `finished` and `failures` are those of the present stage."""

    id: str
    trigger: str
    status: Literal["running", "done", "halted", "ended"]
    percent: int
    stage: int
    stages: tuple[Stage, ...]
    since: datetime
    version: int
    factor: float
    failure_share: int
    window: str
    expected_a_day: float | None
    backtest: str | None
    sends: int
    finished: int
    failures: int
    created_by: str
    created_at: datetime
    steps: tuple[RolloutStep, ...]


def rollout_of(rollout: Rollout) -> RolloutResource:
    """How a rollout is shown."""
    return RolloutResource(
        id=rollout.id,
        trigger=rollout.trigger,
        status=rollout.status,
        percent=rollout.percent,
        stage=rollout.stage,
        stages=rollout.stages,
        since=from_micros(rollout.since),
        version=rollout.version,
        factor=rollout.factor,
        failure_share=rollout.failure_share,
        window=rollout.window,
        expected_a_day=rollout.expected_a_day,
        backtest=rollout.backtest,
        sends=rollout.sends,
        finished=rollout.finished,
        failures=rollout.failures,
        created_by=rollout.created_by,
        created_at=from_micros(rollout.created_at),
        steps=tuple(
            RolloutStep(
                at=from_micros(one.at), what=one.what, percent=one.percent, reason=one.reason
            )
            for one in rollout.steps
        ),
    )
