"""Nothing answers without a credential but health and metrics."""

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.runtime.bearer import BearerTokens
from services.runtime.problems import problem

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class Guard:
    """Stands before the whole application, so that a new route cannot forget it."""

    def __init__(self, app: ASGIApp, tokens: BearerTokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            request = Request(scope)
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._tokens.accepts(token.strip()):
                refusal = problem(
                    401,
                    "a valid bearer token is needed",
                    code="unauthorized",
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
