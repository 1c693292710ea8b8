"""The API over a store in memory, as a client with a good token sees it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp

from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from services.triggers.api.app import Access, make_app
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.memory_access import MemoryAnswers, MemoryTokens
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.token_store import Tokens
from tests.definitions.support import START, make_definitions

TOKEN = "a-token-for-tests"


def make_access(**options: Any) -> Access:
    """Two static tokens, and stores in memory unless others are given."""
    settings = TokenSettings(api_tokens=SecretStr(f"another, {TOKEN}"))
    known: dict[str, Any] = {
        "static": BearerTokens(settings),
        "tokens": Tokens(MemoryTokens(Tables()), lambda: START),
        "answers": MemoryAnswers(),
        "now": lambda: START,
    }
    return Access(**(known | options))


def make_api(definitions: Definitions, access: Access | None = None, **options: Any) -> ASGIApp:
    """The application with two tokens and no checks of health."""
    return make_app(
        definitions,
        workspace="default",
        access=access or make_access(),
        metrics=Metrics(),
        health=Health(),
        **options,
    )


def client_of(app: ASGIApp, token: str | None = TOKEN, **options: Any) -> httpx.AsyncClient:
    """A client that presents a token, unless None."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app=app, **options)
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)


class World:
    """One application for all tests, which takes a while to make, over stores that each test
    finds empty.
    """

    def __init__(self) -> None:
        self._tables = Tables()
        self._tokens = MemoryTokens(self._tables)
        self._answers = MemoryAnswers()
        self.definitions = make_definitions(MemoryStore(self._tables))
        self.tokens = Tokens(self._tokens, lambda: START)
        access = make_access(tokens=self.tokens, answers=self._answers)
        self.app = make_api(self.definitions, access)

    def empty(self) -> None:
        """Forget everything; locks too, which belong to the test before."""
        vars(self._tables).update(vars(Tables()))
        vars(self._tokens).update(vars(MemoryTokens(self._tables)))
        vars(self._answers).update(vars(MemoryAnswers()))


@pytest.fixture(scope="session")
def one_world() -> World:
    """The application, once a session."""
    return World()


@pytest.fixture
async def world(one_world: World) -> World:
    """The service after its first start, and how callers are known."""
    one_world.empty()
    await one_world.definitions.bootstrap()
    return one_world


@pytest.fixture(scope="session")
def one_scene(one_world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What stands around publishing, over fakes, once a session."""
    from tests.api.around import Surroundings  # it stands on this file

    folder = tmp_path_factory.mktemp("backtests")
    (folder / "march.jsonl").write_text("")
    return Surroundings(one_world.definitions, folder)


@pytest.fixture
async def scene(one_scene: Any, world: World) -> Any:
    """The same over the service after its first start, with nobody and nothing there."""
    del world
    one_scene.empty()
    return one_scene


@pytest.fixture
def definitions(world: World) -> Definitions:
    """The service after its first start."""
    return world.definitions


@pytest.fixture
def app(world: World) -> ASGIApp:
    """The application."""
    return world.app


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything."""
    async with client_of(app) as made:
        yield made
