"""The process in which one backtest runs: a question on standard input, JSON lines back.

Each line is an object with one field: `progress` (what is done, and the share of it or null),
at last `report` or `error`. It runs apart so that it can be ended at any moment, and so that a
long history takes nothing from those who wait for an answer of the API.
"""

import asyncio
import gc
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from services.contracts.definitions import Bundle
from services.contracts.errors import CuestreamError
from services.contracts.time import Micros
from services.runtime.settings import KafkaSettings
from services.triggers.backtest.history import Progress, Taken, read_events_topic, read_file
from services.triggers.backtest.jobs import TOPIC, JobQuestion
from services.triggers.backtest.report import Report
from services.triggers.backtest.rules import compiled
from services.triggers.backtest.run import Question, run
from services.triggers.backtest.spool import Spool
from services.triggers.trial.masking import masked_answer

NICE: Final = 10
SAID_SECONDS: Final = 0.5
"""Progress is told this often at most."""
GC_THRESHOLD: Final = (100_000, 20, 50)
"""Young objects before a collection. States hold no cycles; scanning them is what costs."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is given: the question, where its events stand, how to reach Kafka, and
    which traits to mask in the report."""

    question: JobQuestion
    file: str | None
    kafka: dict[str, Any]
    sensitive: tuple[str, ...] = ()


def main() -> int:
    """Read the assignment, answer it; 1 where there is an error to tell."""
    os.nice(NICE)
    gc.set_threshold(*GC_THRESHOLD)
    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    try:
        report = asyncio.run(_answer(assignment))
    except CuestreamError as error:
        _say({"error": str(error)})
        return 1
    tags = msgspec.convert(assignment.question.together, Bundle).tags
    _say({"report": masked_answer(report, assignment.sensitive, tags)})
    return 0


async def _answer(assignment: Assignment) -> Report:
    question = assignment.question

    async def read(spool: Spool, until: Micros | None, progress: Progress) -> Taken:
        if question.events == TOPIC:
            # From what the parent runs under, not from this process's environment.
            settings = KafkaSettings(**assignment.kafka)
            return await read_events_topic(settings, spool, until, progress)
        assert assignment.file is not None
        return read_file(Path(assignment.file), spool, until, progress)

    asked = Question(
        drafts=frozenset(question.triggers),
        live=compiled(msgspec.convert(question.live, Bundle), question.workspace),
        together=compiled(msgspec.convert(question.together, Bundle), question.workspace),
        begins_at=question.begins_at,
        ends_at=question.ends_at,
        samples=question.samples,
        seed=question.seed,
        fail_share=question.fail_share,
    )
    return await run(asked, read, _Telling())


class _Telling:
    """Tells progress now and then: once a step begins, and as it goes on."""

    def __init__(self) -> None:
        self._told: tuple[str, float] = ("", 0.0)

    def __call__(self, what: str, share: float | None) -> None:
        before, at = self._told
        now = time.monotonic()
        if what.split(" ")[0] == before and now - at < SAID_SECONDS:
            return
        self._told = what.split(" ")[0], now
        _say({"progress": [what, share]})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()
