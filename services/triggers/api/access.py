"""What routes ask about the caller: who it is, and whether the role suffices."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from services.triggers.definitions.actors import Actor, Origin, Role, refuse_role
from services.triggers.definitions.answers import KEY_CHARS_MAX

ROLE_FIELD: Final = "x-role"
"""In the OpenAPI document of an operation: the least role that may call it."""

KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "a POST repeated with its key within 24 hours is done once",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": "^[!-~]+$"},
}
"""Every POST understands it: see `idempotency`."""


def actor_of(request: Request) -> Actor:
    """The caller, as the guard has found out."""
    actor: Actor = request.state.actor
    return actor


def origin_of(request: Request) -> Origin:
    """The caller and the request's id, for the audit log."""
    return Origin(actor=request.state.actor, request_id=request.state.request_id)


Caller = Annotated[Actor, Depends(actor_of)]
By = Annotated[Origin, Depends(origin_of)]


class Needs:
    """A dependency that lets only a role, or one above it, in."""

    def __init__(self, role: Role) -> None:
        self.role: Role = role

    def __call__(self, request: Request) -> None:
        """Refuse with `Forbidden`, which becomes a 403."""
        refuse_role(actor_of(request), self.role, "this")


def needs(role: Role) -> Any:
    """For `dependencies=[needs("reviewer")]` of a route; every route that is no GET says one."""
    return Depends(Needs(role))


def admitted(router: APIRouter) -> APIRouter:
    """The router, with the role of each operation written into the OpenAPI document.

    Raises:
        RuntimeError: a route that is no GET does not say who may call it.
    """
    for route in router.routes:
        assert isinstance(route, APIRoute)
        found = [one.dependency for one in route.dependencies]
        role: Role | None = next((one.role for one in found if isinstance(one, Needs)), None)
        if role is None and not (route.methods or set()) <= {"GET", "HEAD"}:
            raise RuntimeError(f"{route.methods} {route.path} says no role: add needs(...)")
        extra = {**(route.openapi_extra or {}), ROLE_FIELD: role or "analyst"}
        if "POST" in (route.methods or ()):
            extra["parameters"] = [*extra.get("parameters", ()), KEY_PARAMETER]
        route.openapi_extra = extra
    return router
