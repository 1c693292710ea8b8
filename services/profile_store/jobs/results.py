"""What a job found out: the tags' next versions, and a report for people."""

from typing import Any, Final, Literal

import msgspec

from services.contracts.definitions import Tag
from services.contracts.time import Micros

JobName = Literal["rfm", "models"]
JOBS: Final[tuple[JobName, ...]] = ("rfm", "models")
Outcome = Literal["running", "published", "unchanged", "refused", "dry_run", "failed"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """`tags` are what is to be published; `report` says for each tag what was found, or why
    nothing is published of it. `refused`: how many tags keep what they have for that."""

    tags: tuple[Tag, ...] = ()
    report: dict[str, Any] = {}
    refused: int = 0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a job. `slot` is the instant it was scheduled for, None where somebody asked
    for it."""

    id: int
    job: JobName
    slot: Micros | None
    started_at: Micros
    finished_at: Micros | None
    outcome: Outcome
    report: dict[str, Any]
