"""Nothing answers without a credential but health and metrics."""

import re
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.contracts.errors import Transient
from services.runtime.bearer import BearerTokens
from services.runtime.problems import problem
from services.triggers.definitions.actors import STATIC, Actor, Forbidden

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
CREDENTIAL_CHARS_MAX: Final = 8192
REQUEST_ID_HEADER: Final = "x-request-id"

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,100}")

Authenticate = Callable[[str], Awaitable[Actor | None]]
"""Finds out whom a bearer token stands for; None: nobody. May raise `Transient`."""


def static_tokens(tokens: BearerTokens) -> Authenticate:
    """The tokens of the settings: each is an administrator, so that a first start can go on."""

    async def authenticate(presented: str) -> Actor | None:
        return STATIC if tokens.accepts(presented) else None

    return authenticate


class Guard:
    """Stands before the whole application, so that a new route cannot forget it.

    Behind it `request.state` has `actor` and `request_id`. The id is the caller's
    `X-Request-Id` where that is a sound one, and comes back with the answer.
    """

    def __init__(self, app: ASGIApp, *authenticators: Authenticate) -> None:
        self._app = app
        self._authenticators = authenticators

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = request.headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            actor = await self._actor(token.strip()) if scheme.lower() == "bearer" else None
        except Forbidden as error:
            await problem(403, str(error), code=error.code)(scope, receive, answer)
            return
        except Transient:
            refusal = problem(503, "try again", code="unavailable", headers={"Retry-After": "1"})
            await refusal(scope, receive, answer)
            return
        if actor is None:
            refusal = problem(
                401,
                "a valid bearer token is needed",
                code="unauthorized",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await refusal(scope, receive, answer)
            return
        scope.setdefault("state", {}).update(actor=actor, request_id=request_id)
        await self._app(scope, receive, answer)

    async def _actor(self, token: str) -> Actor | None:
        if not token or len(token) > CREDENTIAL_CHARS_MAX:
            return None
        for authenticate in self._authenticators:
            actor = await authenticate(token)
            if actor is not None:
                return actor
        return None
