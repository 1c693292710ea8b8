"""Endpoints of review, versions and roll back; every kind of definition has them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from services.contracts.conditions import ID_PATTERN
from services.contracts.definitions import Kind
from services.triggers.api.access import By, needs
from services.triggers.api.access_resources import (
    ApproveRequest,
    RejectRequest,
    RollbackRequest,
    SubmitRequest,
    answer_reviews,
    page_of,
    version_of,
)
from services.triggers.api.openapi import RESPONSES, refusal, shown, struct_body
from services.triggers.api.requests import IfMatch, expected_edit, read_struct
from services.triggers.api.resources import answer
from services.triggers.api.showing import show
from services.triggers.definitions.actors import editing_role, publishing_role
from services.triggers.definitions.reading import Reading
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.store import PAGE_MAX
from services.triggers.definitions.values import PLURALS

PAGE_DEFAULT = 50
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Below = Annotated[
    int | None, Query(alias="cursor", ge=1, le=2**62, description="`next_cursor` of a page")
]


def review_routes(kind: Kind, definitions: Definitions, fixed_id: str | None = None) -> APIRouter:
    """Submit, withdraw, approve and reject the draft of one; throw it away.

    With `fixed_id` there is but one of the kind, and its address names none.
    """
    router, target = _router(kind, fixed_id)
    edits, publishes = [needs(editing_role(kind))], [needs(publishing_role(kind))]

    @router.post(
        "/submit", summary=f"Submit the draft of a {kind} for review",
        responses=RESPONSES[kind, 200], dependencies=edits,
        openapi_extra=struct_body("SubmitRequest", required=False),
    )  # fmt: skip
    async def submit(
        request: Request, by: By, id_: str = target, if_match: IfMatch = None
    ) -> Response:
        said = await read_struct(request, SubmitRequest, SubmitRequest())
        expected = expected_edit(if_match, required=False)
        return await show(
            definitions,
            await definitions.submit(kind, id_, by=by, expected=expected, note=said.note),
        )

    @router.post(
        "/withdraw", summary=f"Take the draft of a {kind} back from review",
        responses=RESPONSES[kind, 200], dependencies=edits,
    )  # fmt: skip
    async def withdraw(by: By, id_: str = target, if_match: IfMatch = None) -> Response:
        expected = expected_edit(if_match, required=False)
        return await show(
            definitions, await definitions.withdraw(kind, id_, by=by, expected=expected)
        )

    @router.post(
        "/approve", summary=f"Put the draft of a {kind} in force that somebody else wrote",
        responses={**RESPONSES[kind, 200], 428: refusal("If-Match of what was read is required")},
        dependencies=publishes, openapi_extra=struct_body("ApproveRequest", required=False),
    )  # fmt: skip
    async def approve(
        request: Request, by: By, id_: str = target, if_match: IfMatch = None
    ) -> Response:
        # Without it a draft that was changed since it was read would be approved unseen.
        expected = expected_edit(if_match, required=True)
        said = await read_struct(request, ApproveRequest, ApproveRequest())
        return await show(
            definitions,
            await definitions.approve(kind, id_, by=by, expected=expected, note=said.note),
        )

    @router.post(
        "/reject", summary=f"Send the draft of a {kind} back with a reason",
        responses=RESPONSES[kind, 200], dependencies=publishes,
        openapi_extra=struct_body("RejectRequest"),
    )  # fmt: skip
    async def reject(
        request: Request, by: By, id_: str = target, if_match: IfMatch = None
    ) -> Response:
        said = await read_struct(request, RejectRequest)
        expected = expected_edit(if_match, required=False)
        return await show(
            definitions,
            await definitions.reject(kind, id_, by=by, expected=expected, reason=said.reason),
        )

    @router.delete(
        "/draft", summary=f"Throw the draft of a {kind} away; what is in force stays",
        responses=RESPONSES[kind, 200], dependencies=edits,
    )  # fmt: skip
    async def discard(by: By, id_: str = target, if_match: IfMatch = None) -> Response:
        expected = expected_edit(if_match, required=True)
        return await show(
            definitions, await definitions.discard(kind, id_, by=by, expected=expected)
        )

    return router


def version_routes(kind: Kind, definitions: Definitions, fixed_id: str | None = None) -> APIRouter:
    """Versions, which never change, and publishing an older one again."""
    router, target = _router(kind, fixed_id)

    @router.get(
        "/versions", summary=f"List the versions of a {kind}, the newest first",
        responses=shown("VersionPage"),
    )  # fmt: skip
    async def list_(
        id_: str = target, limit: Limit = PAGE_DEFAULT, cursor: Below = None
    ) -> Response:
        found = await definitions.versions(kind, id_, below=cursor, limit=limit + 1)
        return page_of(found, limit, version_of, lambda one: str(one.version))

    @router.get(
        "/versions/{version}", summary=f"Read a version of a {kind}",
        responses={**shown("VersionResource"), 404: refusal("there is no such version")},
    )  # fmt: skip
    async def read(version: Number, id_: str = target) -> Response:
        return answer(version_of(await definitions.version(kind, id_, version)))

    @router.post(
        "/rollback", summary=f"Put an older version of a {kind} in force again, as a new one",
        responses={**RESPONSES[kind, 200], 404: refusal("there is none, or no such version")},
        dependencies=[needs(editing_role(kind))],
        openapi_extra=struct_body("RollbackRequest"),
    )  # fmt: skip
    async def rollback(
        request: Request, by: By, id_: str = target, if_match: IfMatch = None
    ) -> Response:
        said = await read_struct(request, RollbackRequest)
        expected = expected_edit(if_match, required=False)
        return await show(
            definitions,
            await definitions.roll_back(kind, id_, said.version, by=by, expected=expected),
        )

    return router


def waiting_routes(reading: Reading) -> APIRouter:
    """What waits for a reviewer."""
    router = APIRouter(prefix="/v1/reviews", tags=["review"])

    @router.get("", summary="List what is in review", responses=shown("ReviewPage"))
    async def list_(
        limit: Limit = PAGE_DEFAULT,
        cursor: Annotated[
            str, Query(pattern="^([a-z]{1,20}/[a-z][a-z0-9_]{0,63})?$", description="a page's")
        ] = "",
    ) -> Response:
        kind, _, id_ = cursor.partition("/")
        return answer_reviews(await reading.waiting(after=(kind, id_), limit=limit + 1), limit)

    return router


def _router(kind: Kind, fixed_id: str | None) -> tuple[APIRouter, Any]:
    """The router at a definition's own address, and what gives its id to an endpoint."""
    plural = PLURALS[kind]
    if fixed_id is None:
        router = APIRouter(prefix=f"/v1/{plural}/{{id}}", tags=[plural])
        return router, Path(alias="id", pattern=ID_PATTERN)
    return APIRouter(prefix=f"/v1/{plural}", tags=[plural]), Depends(lambda: fixed_id)
