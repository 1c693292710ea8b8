"""Nothing answers without a credential but health and metrics."""

import json

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp

from services.runtime.bearer import BearerTokens
from services.runtime.settings import TokenSettings
from services.triggers.api.guard import Guard, static_tokens
from tests.api.conftest import TOKEN, client_of

PATHS = [
    ("GET", "/v1/triggers"),
    ("POST", "/v1/triggers"),
    ("POST", "/v1/apply"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/revisions/current"),
    ("DELETE", "/v1/tags/x"),
    ("GET", "/docs"),
    ("GET", "/nothing"),
    ("GET", "/"),
    ("GET", "//healthz"),
    ("GET", "/v1/triggers/healthz"),
    ("GET", "/healthz/v1/triggers"),
    ("GET", "/healthz/../v1/triggers"),
]


CREDENTIALS = [
    None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
    "Bearer a, b", "Bearer \xff",
]  # fmt: skip


@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_without_a_token_everything_is_401(app: ASGIApp, credential: str | None) -> None:
    headers = [] if credential is None else [(b"Authorization", credential.encode("latin-1"))]
    async with client_of(app, None) as client:
        for method, path in PATHS:
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
            assert TOKEN not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_metrics_are_open(app: ASGIApp, path: str) -> None:
    async with client_of(app, None) as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("token", [TOKEN, "another"])
async def test_each_configured_token_is_accepted(app: ASGIApp, token: str) -> None:
    async with client_of(app, token) as client:
        assert (await client.get("/v1/triggers")).status_code == 200


async def test_with_no_tokens_configured_nothing_is_accepted() -> None:
    async def inner(*_: object) -> None:
        raise AssertionError("reached the application")

    guard = Guard(inner, static_tokens(BearerTokens(TokenSettings(api_tokens=SecretStr("")))))
    for token in ("", "x", ","):
        async with client_of(guard, token) as client:
            assert (await client.get("/v1/triggers")).status_code == 401


async def test_an_unknown_address_is_a_problem_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.text)["code"] == "not_found"
