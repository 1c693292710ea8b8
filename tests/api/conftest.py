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
from services.triggers.api.app import make_app
from services.triggers.definitions.service import Definitions
from tests.definitions.support import make_definitions

TOKEN = "a-token-for-tests"


def make_api(definitions: Definitions, **options: Any) -> ASGIApp:
    """The application with two tokens and no checks of health."""
    settings = TokenSettings(api_tokens=SecretStr(f"another, {TOKEN}"))
    return make_app(
        definitions,
        workspace="default",
        tokens=BearerTokens(settings),
        metrics=Metrics(),
        health=Health(),
        **options,
    )


def client_of(app: ASGIApp, token: str | None = TOKEN, **options: Any) -> httpx.AsyncClient:
    """A client that presents a token, unless None."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app=app, **options)
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)


@pytest.fixture
async def definitions() -> Definitions:
    """The service after its first start."""
    made = make_definitions()
    await made.bootstrap()
    return made


@pytest.fixture
def app(definitions: Definitions) -> ASGIApp:
    """The application."""
    return make_api(definitions)


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything."""
    async with client_of(app) as made:
        yield made
