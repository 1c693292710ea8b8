"""Endpoints of API tokens and of the audit log."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from services.contracts.time import to_micros
from services.runtime.moments import Moment
from services.triggers.api.access import By, needs
from services.triggers.api.access_resources import (
    NewToken,
    TokenRequest,
    entry_of,
    page_of,
    token_of,
)
from services.triggers.api.openapi import shown, struct_body
from services.triggers.api.requests import read_struct
from services.triggers.api.resources import answer
from services.triggers.api.review_routes import PAGE_DEFAULT, Below, Limit
from services.triggers.definitions.auditing import Action, Wanted
from services.triggers.definitions.reading import Reading
from services.triggers.definitions.token_store import Tokens

TOKEN_ID_PATTERN: Final = "^tok_[0-9a-f]{16}$"  # noqa: S105  (what ids look like)

_TEXT: Final = r"^[^\x00]*$"
_Filter = Annotated[str | None, Query(max_length=200, pattern=_TEXT)]
_Moment = Annotated[Moment | None, Query(description="RFC 3339, with its zone")]


def token_routes(tokens: Tokens) -> APIRouter:
    """Making, listing and revoking tokens: for administrators alone."""
    router = APIRouter(prefix="/v1/tokens", tags=["tokens"])
    administers = [needs("administrator")]

    @router.post(
        "", status_code=201, summary="Make an API token; its secret is shown this once",
        responses=shown("NewToken", 201), dependencies=administers,
        openapi_extra=struct_body("TokenRequest"),
    )  # fmt: skip
    async def create(request: Request, by: By) -> Response:
        asked = await read_struct(request, TokenRequest)
        token, secret = await tokens.make(
            by=by,
            name=asked.name,
            owner=asked.owner,
            person=asked.person,
            role=asked.role,
            days=asked.expires_in_days,
        )
        # No cache may keep it, and no kept answer either.
        headers = {"Cache-Control": "no-store"}
        return answer(NewToken(token=token_of(token), secret=secret), 201, headers)

    @router.get(
        "", summary="List API tokens", responses=shown("TokenPage"), dependencies=administers
    )
    async def list_(
        limit: Limit = PAGE_DEFAULT,
        cursor: Annotated[str, Query(pattern=f"{TOKEN_ID_PATTERN}|^$")] = "",
    ) -> Response:
        found = await tokens.page(after=cursor, limit=limit + 1)
        return page_of(found, limit, lambda one: token_of(one.token, one), lambda one: one.token.id)

    @router.delete(
        "/{id}", summary="Revoke an API token at once", responses=shown("TokenResource"),
        dependencies=administers,
    )  # fmt: skip
    async def revoke(
        by: By, id_: Annotated[str, Path(alias="id", pattern=TOKEN_ID_PATTERN)]
    ) -> Response:
        return answer(token_of(await tokens.revoke(id_, by=by)))

    return router


def audit_routes(reading: Reading) -> APIRouter:
    """The audit log, for everybody who may read."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"])

    @router.get("", summary="Read the audit log, the newest first", responses=shown("AuditPage"))
    async def list_(
        kind: _Filter = None,
        id_: Annotated[str | None, Query(alias="id", max_length=200, pattern=_TEXT)] = None,
        actor: _Filter = None,
        action: Annotated[Action | None, Query()] = None,
        request_id: _Filter = None,
        since: _Moment = None,
        until: _Moment = None,
        limit: Limit = PAGE_DEFAULT,
        cursor: Below = None,
    ) -> Response:
        wanted = Wanted(
            kind=kind,
            id=id_,
            actor_id=actor,
            action=action,
            request_id=request_id,
            since=_micros(since),
            until=_micros(until),
        )
        found = await reading.entries(wanted, below=cursor, limit=limit + 1)
        return page_of(found, limit, entry_of, lambda one: str(one.number))

    return router


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
