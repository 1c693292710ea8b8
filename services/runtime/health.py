"""/metrics, /healthz and /readyz, the same for every process."""

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.runtime.metrics import Metrics

Check = Callable[[], str | None]
"""None when well, else one sentence saying what is missing."""


class Health:
    """Named checks. Liveness: the process can go on. Readiness: it can take work now."""

    def __init__(
        self, *, live: Mapping[str, Check] | None = None, ready: Mapping[str, Check] | None = None
    ) -> None:
        self.live: dict[str, Check] = dict(live or {})
        self.ready: dict[str, Check] = dict(ready or {})


def _answer(checks: Mapping[str, Check]) -> Response:
    failing = {name: what for name, check in checks.items() if (what := check()) is not None}
    body = {"status": "failing" if failing else "ok", "failing": failing}
    return JSONResponse(body, status_code=503 if failing else 200)


def health_routes(metrics: Metrics, health: Health) -> list[BaseRoute]:
    """Routes to mount in any Starlette or FastAPI application."""

    async def serve_metrics(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        return _answer(health.live)

    async def readyz(_: Request) -> Response:
        return _answer({**health.live, **health.ready})

    return [
        Route("/metrics", serve_metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]


def health_app(metrics: Metrics, health: Health) -> Starlette:
    """An application of nothing else, for processes that serve no HTTP of their own."""
    return Starlette(routes=health_routes(metrics, health))
