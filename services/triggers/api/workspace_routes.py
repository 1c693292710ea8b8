"""Endpoints of the workspace (there is one), of applying many at once and of revisions."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from services.contracts.errors import DefinitionError
from services.triggers.api.access import By, needs
from services.triggers.api.openapi import APPLY_BODY, RESPONSES, body_of, shown
from services.triggers.api.requests import IfMatch, expected_edit, read_body
from services.triggers.api.resources import answer_applied, answer_revision
from services.triggers.api.routes import Publish, editor
from services.triggers.api.showing import show
from services.triggers.definitions.actors import Origin
from services.triggers.definitions.decoding import (
    DEFINITION_BYTES_MAX,
    convert_definition,
    decode_value,
    split_kind,
)
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.values import Definition

APPLY_BYTES_MAX: Final = 8 * 1024 * 1024
APPLY_DEFINITIONS_MAX: Final = 500
FLAGS: Final = ("dry_run", "submit")
"""How to apply: only look, or write drafts and submit them for review."""


def workspace_routes(workspace: str, definitions: Definitions) -> APIRouter:
    """GET, PUT, PATCH and publish of the workspace's settings."""
    router = APIRouter(prefix="/v1/workspace", tags=["workspace"])

    async def change(
        request: Request, by: Origin, if_match: str | None, publish: bool, patch: bool
    ) -> Response:
        expected = expected_edit(if_match, required=True)
        value = decode_value(await read_body(request, DEFINITION_BYTES_MAX))
        edit = editor("workspace", workspace, value, patch=patch)
        stored = await definitions.change(
            "workspace", workspace, edit, by=by, expected=expected, publish=publish
        )
        return await show(definitions, stored)

    @router.get("", summary="Read the workspace", responses=RESPONSES["workspace", 200])
    async def read() -> Response:
        return await show(definitions, await definitions.get("workspace", workspace))

    @router.put(
        "", summary="Replace the workspace's draft", responses=RESPONSES["workspace", 200],
        openapi_extra=body_of("workspace"), dependencies=[needs("administrator")],
    )  # fmt: skip
    async def replace(
        request: Request, by: By, if_match: IfMatch = None, publish: Publish = False
    ) -> Response:
        return await change(request, by, if_match, publish, patch=False)

    @router.patch(
        "", summary="Change parts of the workspace (JSON Merge Patch)",
        responses=RESPONSES["workspace", 200], openapi_extra=body_of(None),
        dependencies=[needs("administrator")],
    )  # fmt: skip
    async def patch(
        request: Request, by: By, if_match: IfMatch = None, publish: Publish = False
    ) -> Response:
        return await change(request, by, if_match, publish, patch=True)

    @router.post(
        "/publish", summary="Put the workspace's draft in force",
        responses=RESPONSES["workspace", 200], dependencies=[needs("administrator")],
    )  # fmt: skip
    async def publish(by: By, if_match: IfMatch = None) -> Response:
        expected = expected_edit(if_match, required=False)
        stored = await definitions.publish("workspace", workspace, by=by, expected=expected)
        return await show(definitions, stored)

    return router


def publishing_routes(
    definitions: Definitions, relay_problem: Callable[[], str | None]
) -> APIRouter:
    """Applying many definitions in one revision, and the state of publishing."""
    router = APIRouter(prefix="/v1", tags=["publishing"])

    @router.post(
        "/apply", summary="Put many definitions in force in one revision, or submit them",
        responses=shown("ApplyResult"), openapi_extra=APPLY_BODY,
        dependencies=[needs("operator")],
    )  # fmt: skip
    async def apply(request: Request, by: By) -> Response:
        value = decode_value(await read_body(request, APPLY_BYTES_MAX))
        given, flags = _apply_request(value)
        if flags["submit"] and not flags["dry_run"]:
            applied = await definitions.propose(given, by=by)
        else:
            applied = await definitions.apply(given, by=by, dry_run=flags["dry_run"])
        changed = [one.after for one in applied.changes if one.action in ("create", "change")]
        told = await definitions.warnings([one for one in changed if one is not None])
        return answer_applied(applied, told)

    @router.get(
        "/revisions/current", summary="The newest revision and whether it has reached the log",
        responses=shown("RevisionState"),
    )  # fmt: skip
    async def current() -> Response:
        return answer_revision(await definitions.revision(), relay_problem())

    return router


def _apply_request(value: Any) -> tuple[list[Definition], dict[str, bool]]:
    """The definitions to apply and how; all that do not fit their schema are named at once."""
    if not isinstance(value, dict) or not isinstance(value.get("definitions"), list):
        raise DefinitionError([("definitions", "a list of definitions is required")])
    unknown = sorted(set(value) - {"definitions", *FLAGS})
    if unknown:
        raise DefinitionError([(name, "unknown field") for name in unknown])
    flags = {name: value.get(name, False) for name in FLAGS}
    wrong = [name for name, flag in flags.items() if not isinstance(flag, bool)]
    if wrong:
        raise DefinitionError([(name, "must be true or false") for name in wrong])
    if len(value["definitions"]) > APPLY_DEFINITIONS_MAX:
        raise HTTPException(413, f"more than {APPLY_DEFINITIONS_MAX} definitions at once")
    given: list[Definition] = []
    problems: list[tuple[str, str]] = []
    for index, one in enumerate(value["definitions"]):
        try:
            kind, fields = split_kind(one, f"definitions[{index}]")
            given.append(convert_definition(kind, fields, archiving=True))
        except DefinitionError as error:
            problems += error.problems
    if problems:
        raise DefinitionError(problems)
    return given, flags
