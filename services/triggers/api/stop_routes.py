"""The kill switch: stop everything, or some channels, and go on."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.contracts.definitions import Workspace
from services.triggers.api.access import By, needs
from services.triggers.api.openapi import shown, struct_body
from services.triggers.api.requests import WrongBody, read_struct
from services.triggers.api.resources import answer
from services.triggers.api.trial_resources import StopRequest, StopsResource
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.values import Definition, Stored


def stop_routes(workspace: str, definitions: Definitions) -> APIRouter:
    """Stopping and going on, each a version of the workspace with its entry in the audit log."""
    router = APIRouter(prefix="/v1", tags=["stops"])
    doc: dict[str, Any] = {
        "responses": shown("StopsResource"),
        "dependencies": [needs("reviewer")],
        "openapi_extra": struct_body("StopRequest"),
    }

    @router.post("/stop", summary="Stop all sending, or some channels, within two seconds", **doc)
    async def stop(request: Request, by: By) -> Response:
        asked = await _asked(request)
        stored = await definitions.amend(
            "workspace", workspace, _stopped(asked), by=by, action="stopped", note=asked.note
        )
        return answer(_stops_of(stored))

    @router.post("/resume", summary="Take stops away: sending goes on", **doc)
    async def resume(request: Request, by: By) -> Response:
        asked = await _asked(request)
        stored = await definitions.amend(
            "workspace", workspace, _resumed(asked), by=by, action="went_on", note=asked.note
        )
        return answer(_stops_of(stored))

    @router.get("/stops", summary="What is stopped", responses=shown("StopsResource"))
    async def stops() -> Response:
        return answer(_stops_of(await definitions.get("workspace", workspace)))

    return router


async def _asked(request: Request) -> StopRequest:
    asked = await read_struct(request, StopRequest)
    if asked.all == bool(asked.channels):
        raise WrongBody([("body", "either all, or channels")])
    return asked


def _stopped(asked: StopRequest) -> Callable[[Definition], Definition]:
    def edit(standing: Definition) -> Definition:
        assert isinstance(standing, Workspace)
        if asked.all:
            return msgspec.structs.replace(standing, stopped=True)
        channels = sorted({*standing.stopped_channels, *asked.channels})
        return msgspec.structs.replace(standing, stopped_channels=tuple(channels))

    return edit


def _resumed(asked: StopRequest) -> Callable[[Definition], Definition]:
    """Channels that were stopped by name stay so where everything goes on."""

    def edit(standing: Definition) -> Definition:
        assert isinstance(standing, Workspace)
        if asked.all:
            return msgspec.structs.replace(standing, stopped=False)
        left = [one for one in standing.stopped_channels if one not in asked.channels]
        return msgspec.structs.replace(standing, stopped_channels=tuple(left))

    return edit


def _stops_of(stored: Stored) -> StopsResource:
    assert isinstance(stored.published, Workspace)
    return StopsResource(
        all=stored.published.stopped,
        channels=stored.published.stopped_channels,
        version=stored.version,
        revision=stored.revision,
    )
