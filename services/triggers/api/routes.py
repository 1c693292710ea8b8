"""Endpoints of one kind of definition; triggers, tags and policies share them."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from services.contracts.conditions import ID_PATTERN
from services.contracts.definitions import Kind, Trigger
from services.triggers.api.access import By, needs
from services.triggers.api.openapi import RESPONSES, body_of, shown
from services.triggers.api.requests import (
    IfMatch,
    StatusFilter,
    expected_edit,
    merge_patch,
    read_body,
)
from services.triggers.api.resources import answer_page, answer_stored
from services.triggers.api.showing import show
from services.triggers.definitions.actors import Origin, editing_role, publishing_role
from services.triggers.definitions.decoding import (
    DEFINITION_BYTES_MAX,
    convert_definition,
    decode_value,
)
from services.triggers.definitions.rows import to_body
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.store import PAGE_MAX
from services.triggers.definitions.values import PLURALS, Definition, Stored

PAGE_DEFAULT: Final = 50

Id = Annotated[str, Path(alias="id", pattern=ID_PATTERN)]
Publish = Annotated[bool, Query(description="put it in force at once, not as a draft")]
Cursor = Annotated[str, Query(pattern=f"{ID_PATTERN}|^$", description="`next_cursor` of a page")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


def editor(kind: Kind, id_: str, value: Any, *, patch: bool) -> Callable[[Stored], Definition]:
    """What PUT, or PATCH, makes of the definition as it then stands; raises `DefinitionError`."""

    def edit(standing: Stored) -> Definition:
        if not patch:
            return convert_definition(kind, value, id_=id_)
        base = standing.draft
        if base is None:
            base = standing.published
            if isinstance(base, Trigger):
                # Its status is not what is edited here: it keeps the one it has.
                base = msgspec.structs.replace(base, status="draft")
        return convert_definition(kind, merge_patch(to_body(base), value), id_=id_)

    return edit


def reading_routes(kind: Kind, definitions: Definitions) -> APIRouter:
    """POST and GET of the collection, GET of one."""
    plural = PLURALS[kind]
    router = APIRouter(prefix=f"/v1/{plural}", tags=[plural])

    @router.post(
        "", status_code=201, summary=f"Create a {kind}", responses=RESPONSES[kind, 201],
        openapi_extra=body_of(kind), dependencies=[needs(editing_role(kind))],
    )  # fmt: skip
    async def create(request: Request, by: By, publish: Publish = False) -> Response:
        value = decode_value(await read_body(request, DEFINITION_BYTES_MAX))
        made = convert_definition(kind, value)
        stored = await definitions.create(made, by=by, publish=publish)
        return await show(definitions, stored, 201, f"/v1/{plural}/{stored.id}")

    @router.get("", summary=f"List {plural}", responses=shown(f"{kind.capitalize()}Page"))
    async def list_(
        status: Annotated[
            StatusFilter | None, Query(description="left out: all but the archived")
        ] = None,
        limit: Limit = PAGE_DEFAULT,
        cursor: Cursor = "",
    ) -> Response:
        found = await definitions.page(kind, status=status, after=cursor, limit=limit + 1)
        return answer_page(found, limit)

    @router.get("/{id}", summary=f"Read a {kind}", responses=RESPONSES[kind, 200])
    async def read(id_: Id) -> Response:
        stored = await definitions.get(kind, id_)
        # What is in force was told when it was put there; looking again takes all the others.
        return answer_stored(stored) if stored.draft is None else await show(definitions, stored)

    return router


def changing_routes(kind: Kind, definitions: Definitions) -> APIRouter:
    """PUT, PATCH, DELETE and publish of one."""
    plural = PLURALS[kind]
    router = APIRouter(prefix=f"/v1/{plural}", tags=[plural])

    async def change(
        request: Request, by: Origin, id_: str, if_match: str | None, publish: bool, patch: bool
    ) -> Response:
        expected = expected_edit(if_match, required=True)
        value = decode_value(await read_body(request, DEFINITION_BYTES_MAX))
        stored = await definitions.change(
            kind,
            id_,
            editor(kind, id_, value, patch=patch),
            by=by,
            expected=expected,
            publish=publish,
        )
        return await show(definitions, stored)

    @router.put(
        "/{id}", summary=f"Replace the draft of a {kind}", responses=RESPONSES[kind, 200],
        openapi_extra=body_of(kind), dependencies=[needs(editing_role(kind))],
    )  # fmt: skip
    async def replace(
        request: Request,
        by: By,
        id_: Id,
        if_match: IfMatch = None,
        publish: Publish = False,
    ) -> Response:
        return await change(request, by, id_, if_match, publish, patch=False)

    @router.patch(
        "/{id}", summary=f"Change parts of a {kind} (JSON Merge Patch)",
        responses=RESPONSES[kind, 200], openapi_extra=body_of(None),
        dependencies=[needs(editing_role(kind))],
    )  # fmt: skip
    async def patch(
        request: Request,
        by: By,
        id_: Id,
        if_match: IfMatch = None,
        publish: Publish = False,
    ) -> Response:
        return await change(request, by, id_, if_match, publish, patch=True)

    @router.delete(
        "/{id}", summary=f"Archive a {kind}", responses=RESPONSES[kind, 200],
        dependencies=[needs(editing_role(kind))],
    )  # fmt: skip
    async def archive(by: By, id_: Id, if_match: IfMatch = None) -> Response:
        expected = expected_edit(if_match, required=True)
        return answer_stored(await definitions.archive(kind, id_, by=by, expected=expected))

    @router.post(
        "/{id}/publish", summary=f"Put the draft of a {kind} in force",
        responses=RESPONSES[kind, 200], dependencies=[needs(publishing_role(kind))],
    )  # fmt: skip
    async def publish(by: By, id_: Id, if_match: IfMatch = None) -> Response:
        expected = expected_edit(if_match, required=False)
        stored = await definitions.publish(kind, id_, by=by, expected=expected)
        return await show(definitions, stored)

    return router


def trigger_routes(definitions: Definitions) -> APIRouter:
    """Pause and resume, which only triggers have."""
    router = APIRouter(prefix="/v1/triggers", tags=["triggers"])

    @router.post(
        "/{id}/pause", summary="Pause a trigger at once", responses=RESPONSES["trigger", 200],
        dependencies=[needs("reviewer")],
    )  # fmt: skip
    async def pause(by: By, id_: Id, if_match: IfMatch = None) -> Response:
        expected = expected_edit(if_match, required=False)
        return answer_stored(await definitions.set_status(id_, "paused", by=by, expected=expected))

    @router.post(
        "/{id}/resume", summary="Resume a paused trigger", responses=RESPONSES["trigger", 200],
        dependencies=[needs("reviewer")],
    )  # fmt: skip
    async def resume(by: By, id_: Id, if_match: IfMatch = None) -> Response:
        expected = expected_edit(if_match, required=False)
        stored = await definitions.set_status(id_, "live", by=by, expected=expected)
        return await show(definitions, stored)

    return router
