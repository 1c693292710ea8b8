"""Compiled rules by revision, shared by all partitions of a worker."""

import asyncio
from typing import Any, Final, Protocol

from services.contracts.definitions import Bundle
from services.contracts.errors import DefinitionError
from services.runtime.logs import get_logger
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.values import Answer, InForce, Unavailable

RULES_KEPT_MAX: Final = 4
"""Compiled revisions kept: partitions pass a marker at slightly different times."""
PROBLEMS_TOLD_MAX: Final = 5

_log = get_logger(__name__)


class Definitions(Protocol):
    """Where bundles come from."""

    async def wait_for(self, revision: int) -> None:
        """Return when everything of `revision` is there."""

    def bundle_at(self, revision: int) -> Bundle:
        """What is in force at `revision`; raises DefinitionError."""


class Rulebook:
    """Gives the rules of a revision, waiting at most `wait_seconds` for its definitions."""

    def __init__(self, definitions: Definitions, engine: Engine, *, wait_seconds: float) -> None:
        self._definitions = definitions
        self._engine = engine
        self._wait_seconds = wait_seconds
        self._answers: dict[int, Answer] = {}

    async def at(self, revision: int) -> Answer:
        """The rules, or why they cannot be had. Cancel it to stop waiting."""
        known = self._answers.get(revision)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._definitions.wait_for(revision)
        except TimeoutError:
            # Not remembered: they may still come.
            return Unavailable(
                "definitions_missing", f"revision {revision} is not on the definitions topic"
            )
        answer = self._answers[revision] = self._compiled(revision)
        while len(self._answers) > RULES_KEPT_MAX:
            del self._answers[next(iter(self._answers))]
        return answer

    def _compiled(self, revision: int) -> Answer:
        try:
            rules: Any = self._engine.compile_rules(self._definitions.bundle_at(revision))
        except DefinitionError as error:
            told = "; ".join(
                f"{place}: {reason}" for place, reason in error.problems[:PROBLEMS_TOLD_MAX]
            )
            _log.error("definitions refused", revision=revision, problems=len(error.problems))
            return Unavailable("definitions_refused", told)
        _log.info("definitions compiled", revision=revision)
        return InForce(rules)
