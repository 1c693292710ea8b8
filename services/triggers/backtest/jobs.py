"""Backtests as jobs: asked for over HTTP, run one after the other, their results kept.

A job is `queued`, then `running` under the name of the process that runs it, which says again
and again that it is alive; a job of which nobody has said so for a while was interrupted.
"""

from typing import Any, Final, Literal, Protocol

import msgspec

from services.contracts.time import SECOND, Micros

JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]
OVER: Final = frozenset({"done", "failed", "cancelled"})

WAITING_MAX: Final = 20
"""Jobs that may wait for their turn: another one is refused."""
KEPT_MAX: Final = 500
"""Jobs that are over and kept, the newest."""
ALIVE_FOR: Final[Micros] = 15 * SECOND
"""Whoever runs a job says so more often than this."""
INTERRUPTED: Final = "interrupted: the process that ran it ended"
TOPIC: Final = "topic"


class JobQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job is to find out, whole: it needs nothing but this and the history.

    `live` and `together` are bundles as JSON values, without and with the drafts; `rollouts`
    are the percents of the drafts. `events` is `topic` or the name of a file in the folder of
    the settings. `begins_at` and `ends_at` are as on the command line.
    """

    triggers: tuple[str, ...]
    workspace: str
    live: dict[str, Any]
    together: dict[str, Any]
    rollouts: dict[str, int]
    events: str = TOPIC
    begins_at: str | None = None
    ends_at: str | None = None
    samples: int = 5
    seed: int = 0
    fail_share: int = 0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job. `share` is the part of `what` that is done, None where that is not known."""

    id: str
    status: JobStatus
    question: JobQuestion
    created_by: str
    created_at: Micros
    number: int = 0
    started_at: Micros | None = None
    finished_at: Micros | None = None
    what: str = ""
    share: float | None = None
    error: str | None = None
    owner: str | None = None
    alive_at: Micros | None = None
    report: dict[str, Any] | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended."""

    status: Literal["done", "failed"]
    error: str | None = None
    report: dict[str, Any] | None = None


class Jobs(Protocol):
    """Where jobs are kept. The adapters pass one suite (tests/triggers/test_jobs.py).

    Raises (all methods): Transient, the database is away or busy.
    """

    async def add(self, job: Job) -> Job:
        """Queue a job; gives it with its `number`. The oldest beyond `KEPT_MAX` go.

        Raises:
            Conflict: `WAITING_MAX` are waiting.
        """

    async def get(self, id_: str) -> Job:
        """One job; raises `NotFound`."""

    async def page(self, *, below: int | None, limit: int) -> list[Job]:
        """Jobs without their reports, the newest first, with numbers less than `below`."""

    async def latest(self, trigger: str) -> Job | None:
        """The newest one that is done and has this trigger among its drafts."""

    async def claim(self, owner: str, now: Micros) -> Job | None:
        """Begin the oldest that waits; nobody else gets it."""

    async def said(
        self, id_: str, owner: str, *, what: str, share: float | None, now: Micros
    ) -> bool:
        """The owner is alive and that far; false: it is to stop, the job is not its own any
        more or was cancelled."""

    async def end(self, id_: str, owner: str, ended: Ended, now: Micros) -> bool:
        """The owner is through; false: the job was not its own any more."""

    async def cancel(self, id_: str, now: Micros) -> Job:
        """End a job that waits or runs; one that is over stays as it is. Raises `NotFound`."""

    async def interrupt(self, before: Micros, now: Micros) -> int:
        """End as failed those that run and whose owner was heard last before then; how many."""
