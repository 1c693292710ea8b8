"""The FastAPI application: paths, CORS, health, and what OpenAPI says of them."""

from typing import Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from services.contracts.event import ALIAS, GROUP, IDENTIFY, PAGE, SCREEN, TRACK
from services.ingest.answers import on_bug, on_http_error
from services.ingest.endpoints import Endpoints
from services.ingest.openapi import DESCRIPTION, SECURITY_SCHEMES, SUMMARIES, operation
from services.runtime.health import Health, health_routes
from services.runtime.metrics import Metrics

PATHS: Final = {
    "/v1/batch": None,
    "/v1/b": None,
    "/v1/import": None,
    "/v1/track": TRACK,
    "/v1/t": TRACK,
    "/v1/identify": IDENTIFY,
    "/v1/i": IDENTIFY,
    "/v1/page": PAGE,
    "/v1/p": PAGE,
    "/v1/screen": SCREEN,
    "/v1/s": SCREEN,
    "/v1/group": GROUP,
    "/v1/g": GROUP,
    "/v1/alias": ALIAS,
    "/v1/a": ALIAS,
}
"""Each path and the type it implies; short ones are the browser SDK's."""

PREFLIGHT_SECONDS: Final = 86_400


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document.setdefault("components", {})["securitySchemes"] = SECURITY_SCHEMES
        return document


def make_app(
    endpoints: Endpoints, *, metrics: Metrics, health: Health, cors_origins: tuple[str, ...]
) -> FastAPI:
    """Build the application from its parts; nothing runs yet."""
    app = _App(
        title="cuestream ingest",
        version="1",
        description=DESCRIPTION,
        exception_handlers={HTTPException: on_http_error, Exception: on_bug},
        redirect_slashes=False,
    )
    for path, implied_type in PATHS.items():
        app.add_api_route(
            path,
            endpoints.of(implied_type),
            methods=["POST"],
            operation_id=path.removeprefix("/").replace("/", "_"),
            openapi_extra=operation(implied_type),
            summary=SUMMARIES[implied_type],
        )
    app.router.routes.extend(health_routes(metrics, health))
    if cors_origins:
        # A write key is public in a browser and no cookie is read: any origin may send.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
            max_age=PREFLIGHT_SECONDS,
        )
    return app
