"""When tags last changed, over HTTP."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.profile_store.schemas import written
from services.profile_store.tag_changes import TagChanges
from services.runtime.bearer import require_token


class TagChangeOut(BaseModel):
    """A tag, and when it last became another value in anybody (to the hour)."""

    id: str
    changed_at: str = Field(examples=["2026-03-01T12:00:00.000000Z"])


class TagChangesOut(BaseModel):
    """Tags of which a change was noticed, in order of id, since any was."""

    watched_since: str | None = Field(description="null: nothing was noticed yet")
    tags: list[TagChangeOut]


def tag_changes_routes(changes: TagChanges) -> APIRouter:
    """The route over what was noticed."""
    router = APIRouter(prefix="/v1/tags", dependencies=[Depends(require_token)], tags=["tags"])

    @router.get("/changes", summary="When tags last changed")
    async def latest() -> TagChangesOut:
        """The writer looks at a few profiles of each batch: a rare change may be missed."""
        found = await changes.latest()
        since = min((one.since for one in found), default=None)
        return TagChangesOut(
            watched_since=None if since is None else written(since),
            tags=[TagChangeOut(id=one.tag, changed_at=written(one.at)) for one in found],
        )

    return router
