"""The HTTP application over a `Definitions`; builds no connection of its own."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

import msgspec
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from services.contracts.definitions import Kind
from services.contracts.errors import DefinitionError
from services.contracts.time import Micros
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health, health_routes
from services.runtime.metrics import Metrics
from services.runtime.problems import install_problems, problem
from services.triggers.api.access import admitted
from services.triggers.api.access_routes import audit_routes, token_routes
from services.triggers.api.documenting import operation_id
from services.triggers.api.guard import Guard, static_tokens
from services.triggers.api.idempotency import Idempotency
from services.triggers.api.oidc import Oidc
from services.triggers.api.openapi import install_openapi
from services.triggers.api.requests import WrongBody
from services.triggers.api.review_routes import review_routes, version_routes, waiting_routes
from services.triggers.api.routes import changing_routes, reading_routes, trigger_routes
from services.triggers.api.workspace_routes import publishing_routes, workspace_routes
from services.triggers.definitions.actors import Forbidden
from services.triggers.definitions.answers import Answers
from services.triggers.definitions.decoding import NotJson
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.token_store import Tokens
from services.triggers.definitions.values import Conflict, NotFound, Stale, Taken

KINDS_LISTED: Final[tuple[Kind, ...]] = (
    "trigger", "tag", "policy", "segment", "lifecycle", "template",
)  # fmt: skip


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How callers are recognised, and what was answered to them. `now` gives microseconds."""

    static: BearerTokens
    tokens: Tokens
    answers: Answers
    now: Callable[[], Micros]
    oidc: Oidc | None = None


def make_app(
    definitions: Definitions,
    *,
    workspace: str,
    access: Access,
    metrics: Metrics,
    health: Health,
    relay_problem: Callable[[], str | None] = lambda: None,
    more_routers: Sequence[APIRouter] = (),
) -> ASGIApp:
    """Routes, problems, the OpenAPI document, and the guard before all of it."""
    app = FastAPI(
        title="cuestream triggers API",
        version=version("cuestream"),
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
    )
    # Before /{id}/publish and the like, so that no id can stand in for a fixed address.
    made = [
        publishing_routes(definitions, relay_problem),
        workspace_routes(workspace, definitions),
        review_routes("workspace", definitions, workspace),
        version_routes("workspace", definitions, workspace),
        waiting_routes(definitions),
        token_routes(access.tokens),
        audit_routes(definitions),
        *more_routers,
    ]
    for kind in KINDS_LISTED:
        made += [reading_routes(kind, definitions), changing_routes(kind, definitions)]
        made += [review_routes(kind, definitions), version_routes(kind, definitions)]
    for router in (*made, trigger_routes(definitions)):
        app.include_router(admitted(router))
    app.router.routes.extend(health_routes(metrics, health))
    install_problems(app)
    app.add_exception_handler(DefinitionError, _on_definition)
    app.add_exception_handler(NotFound, _on_refusal)
    app.add_exception_handler(Conflict, _on_refusal)
    app.add_exception_handler(Stale, _on_refusal)
    app.add_exception_handler(Forbidden, _on_refusal)
    app.add_exception_handler(Exception, _on_bug)
    install_openapi(app)
    kept = Idempotency(app, access.answers, access.now)
    known = [static_tokens(access.static), access.tokens.authenticate]
    if access.oidc is not None:
        known.append(access.oidc.authenticate)
    return Guard(kept, *known)


async def _on_definition(request: Request, error: Exception) -> Response:
    assert isinstance(error, DefinitionError)
    if isinstance(error, NotJson):
        return problem(400, "the body is not JSON", code="not_json", errors=error.problems)
    if isinstance(error, WrongBody):
        told = "the request is not valid"
        return problem(422, told, code="invalid_request", errors=error.problems)
    if request.method == "DELETE":
        return problem(409, "something in force uses it", code="in_use", errors=error.problems)
    return problem(
        422, "the definitions are not right", code="wrong_definition", errors=error.problems
    )


async def _on_refusal(_: Request, error: Exception) -> Response:
    if isinstance(error, NotFound):
        return problem(404, str(error), code="not_found")
    if isinstance(error, Stale):
        return problem(412, str(error), code="stale")
    if isinstance(error, Taken):
        return problem(409, "a name is taken", code="name_taken", errors=error.problems)
    if isinstance(error, Forbidden):
        return problem(403, str(error), code=error.code)
    return problem(409, str(error), code="conflict")


async def _on_bug(_: Request, error: Exception) -> Response:
    # Starlette raises it again after the answer, so the server's log has the trace.
    return problem(500, "an error of ours; it is in the log", code=type(error).__name__)
