"""A rollout: more and more people take part, and it stops by itself when something is wrong.

Pure: what is to be done next follows from the rollout, the time and what was counted.
"""

from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from services.contracts.conditions import Duration
from services.contracts.time import DAY, Micros, parse_duration

STAGES_MAX: Final = 10
STEPS_KEPT_MAX: Final = 50
COUNTED_MIN: Final = 20
"""Fewer sends than these, or outcomes, say nothing yet: nothing halts before."""
EVERYBODY: Final = 100


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`percent` of people take part, and for at least `hold` it stays so."""

    percent: Annotated[int, Meta(ge=1, le=EVERYBODY)]
    hold: Duration = "1h"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, and why."""

    at: Micros
    what: Literal["began", "advanced", "done", "halted", "ended"]
    percent: int
    reason: str = ""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout of one trigger. At most one a trigger is `running`.

    `version` is the one that this rollout has put in force last: where another is, somebody
    else has taken over and it ends. `expected_a_day` are the sends that the backtest gave for
    everybody; None: no backtest, and so no rule of too many. `window` is how far back failures
    are looked at. Its sends and failures are those
    of the present stage.
    """

    id: str
    trigger: str
    status: Literal["running", "done", "halted", "ended"]
    stages: tuple[Stage, ...]
    stage: int
    since: Micros
    version: int
    factor: float
    failure_share: int
    window: str
    expected_a_day: float | None
    backtest: str | None
    created_by: str
    created_at: Micros
    sends: int = 0
    failures: int = 0
    finished: int = 0
    steps: tuple[Step, ...] = ()

    @property
    def percent(self) -> int:
        """The share of people of the present stage."""
        return self.stages[self.stage].percent


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted since the present stage began: `sends` that were asked for, and of
    those that came to an end (`finished`) the `failures`."""

    sends: int
    finished: int
    failures: int


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: `hold` nothing, `advance` to the next stage, `finish`, or `halt`."""

    what: Literal["hold", "advance", "finish", "halt"]
    reason: str = ""


def next_of(rollout: Rollout, seen: Seen, now: Micros) -> Next:
    """What follows from what was counted; a rule that halts goes before the time."""
    allowed = allowed_sends(rollout, now)
    if allowed is not None and seen.sends > max(allowed, COUNTED_MIN):
        told = f"{seen.sends} sends, of which the backtest times {rollout.factor:g} allow"
        return Next(what="halt", reason=f"{told} {allowed:.0f}")
    share = failure_percent(seen)
    if share is not None and share > rollout.failure_share:
        told = f"{seen.failures} of {seen.finished} sends failed, more than"
        return Next(what="halt", reason=f"{told} {rollout.failure_share} %")
    if now < rollout.since + parse_duration(rollout.stages[rollout.stage].hold):
        return Next(what="hold")
    if rollout.stage + 1 == len(rollout.stages):
        return Next(what="finish", reason=f"{rollout.percent} % held for its time")
    return Next(what="advance", reason=f"{rollout.percent} % held for its time")


def allowed_sends(rollout: Rollout, now: Micros) -> float | None:
    """How many sends of this stage are within the rule by now; None: there is no rule."""
    if rollout.expected_a_day is None:
        return None
    days = max(0, now - rollout.since) / DAY
    return rollout.expected_a_day * rollout.percent / EVERYBODY * days * rollout.factor


def failure_percent(seen: Seen) -> float | None:
    """The share of sends that failed; None while too few came to an end."""
    if seen.finished < COUNTED_MIN:
        return None
    return seen.failures / seen.finished * 100


def stepped(rollout: Rollout, step: Step) -> Rollout:
    """With one more step on its record."""
    return msgspec.structs.replace(rollout, steps=(*rollout.steps, step)[-STEPS_KEPT_MAX:])


def problems_of(stages: tuple[Stage, ...]) -> list[tuple[str, str]]:
    """What is wrong with stages, as place and reason."""
    if not 1 <= len(stages) <= STAGES_MAX:
        return [("body.stages", f"1 to {STAGES_MAX} stages")]
    return [
        (f"body.stages[{number}].percent", "each stage has more people than the one before")
        for number, (one, after) in enumerate(pairwise(stages), start=1)
        if after.percent <= one.percent
    ]
