"""What stands around publishing, over fakes: people, commands, the other processes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from starlette.types import ASGIApp

from services.contracts.command import SendCommand
from services.contracts.time import Micros
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.trial import Around, routers_around
from services.triggers.backtest.jobs_memory import MemoryJobs
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.texts import check_whole
from services.triggers.definitions.values import NotFound
from services.triggers.engine import PersonState
from services.triggers.engine.explain import Explanation
from services.triggers.trial.rollouts import MemoryRollouts
from tests.api.conftest import make_api
from tests.definitions.support import START


class KnownPeople:
    """`Lookup` over states in memory."""

    def __init__(self) -> None:
        self.states: dict[str, PersonState] = {}

    async def state(self, person: str) -> PersonState:
        """See the port."""
        if person not in self.states:
            raise NotFound("nobody is known by this id")
        return self.states[person]

    async def why(self, person: str, trigger: str, step: int | None) -> Explanation:
        """Says what it was asked."""
        await self.state(person)
        sentence = f"{trigger} for {person}, step {step}"
        return Explanation(
            person=person, trigger=trigger, as_of=1, revision=1, verdict="sent", sentence=sentence
        )


class KeptCommands:
    """`Commands` that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[SendCommand] = []

    async def send(self, commands: Sequence[SendCommand]) -> None:
        """See the port."""
        self.sent += commands


class Surroundings:
    """The fakes, and the application over them. `answers` are the profile store's, by path."""

    def __init__(self, definitions: Definitions, folder: Path | None = None) -> None:
        self.definitions = definitions
        self.people = KnownPeople()
        self.commands = KeptCommands()
        self.jobs = MemoryJobs()
        self.rollouts = MemoryRollouts()
        self.now: Micros = START
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.woken = 0
        self.parts = Around(
            definitions=definitions,
            check=check_whole,
            workspace="default",
            store=ProfileStore("http://store", "t", transport=httpx.MockTransport(self._answer)),
            people=self.people,
            commands=self.commands,
            jobs=self.jobs,
            rollouts=self.rollouts,
            now=lambda: self.now,
            folder=folder,
            wake=self._wake,
        )
        self.app: ASGIApp = make_api(definitions, more_routers=routers_around(self.parts))

    def empty(self) -> None:
        """Forget everything but the application, which takes a while to make."""
        for fake in (self.people, self.commands, self.jobs, self.rollouts):
            vars(fake).update(vars(type(fake)()))
        self.now, self.woken = START, 0
        self.asked.clear()
        self.answers.clear()

    def _wake(self) -> None:
        self.woken += 1

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = msgspec.json.decode(request.content) if request.content else None
        self.asked.append((str(request.url.raw_path, "ascii"), body))
        found = self.answers.get(request.url.path)
        if found is None:
            return httpx.Response(503)
        return httpx.Response(200, json=found(body) if callable(found) else found)
