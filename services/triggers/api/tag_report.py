"""Tags that nobody uses and tags that went stale: the report over HTTP."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, Protocol

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from services.contracts.errors import Transient
from services.contracts.time import Micros, from_micros, to_micros
from services.triggers.api.access import needs
from services.triggers.api.openapi import shown
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.resources import answer
from services.triggers.api.tag_resources import ReportedTag, TagReport
from services.triggers.definitions.reading import Reading
from services.triggers.definitions.values import make_bundle
from services.triggers.engine.usage import STALE_AFTER_DAYS, Seen, TagFinding, tag_report

DAYS_MAX: Final = 3_650
CHANGES_PATH: Final = "/v1/tags/changes"


class TagChange(msgspec.Struct, frozen=True, kw_only=True):
    """When a tag last changed in anybody, as the profile store says."""

    id: str
    changed_at: datetime


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What the profile store noticed, since when."""

    watched_since: datetime | None
    tags: tuple[TagChange, ...]


class Noticing(Protocol):
    """Where it is known which tags still change."""

    async def changes(self) -> Changes:
        """What was noticed.

        Raises:
            Transient: nobody can be asked now.
        """


class StoreNotices:
    """`Noticing` over the profile store's HTTP API."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store

    async def changes(self) -> Changes:
        """See the port."""
        found = await self._store.fetch(CHANGES_PATH, Changes)
        if found is None:
            raise Transient("the profile store: it does not know of changes")
        return found


def tag_report_routes(reading: Reading, noticing: Noticing, now: Callable[[], Micros]) -> APIRouter:
    """The route of the report; its address stands before that of a tag called `report`."""
    router = APIRouter(prefix="/v1/tags", tags=["tags"])

    @router.get(
        "/report", summary="Tags that nobody uses, and tags that went stale",
        responses=shown("TagReport"), dependencies=[needs("analyst")],
    )  # fmt: skip
    async def report(
        days: Annotated[int, Query(ge=1, le=DAYS_MAX)] = STALE_AFTER_DAYS,
        all_: Annotated[bool, Query(alias="all", description="in-order tags too")] = False,
    ) -> Response:
        stored = [one for one in await reading.current() if one.in_force]
        bundle = make_bundle(0, [one.published for one in stored if one.published is not None])
        try:
            changes = await noticing.changes()
        except Transient:
            # What is used can be told without: nothing is called unchanged then.
            changes = Changes(watched_since=None, tags=())
        changed_at = {one.id: to_micros(one.changed_at) for one in changes.tags}
        seen = {
            one.id: Seen(in_force_since=one.created_at, changed_at=changed_at.get(one.id))
            for one in stored
            if one.kind == "tag"
        }
        since = changes.watched_since
        found = tag_report(
            bundle,
            seen,
            now=now(),
            watched_since=None if since is None else to_micros(since),
            stale_after_days=days,
        )
        return answer(
            TagReport(
                tags_in_force=len(found),
                stale_after_days=days,
                watched_since=since,
                tags=tuple(_told(one) for one in found if all_ or one.unused or one.stale),
            )
        )

    return router


def _told(found: TagFinding) -> ReportedTag:
    fields = msgspec.structs.asdict(found)
    changed_at = None if found.changed_at is None else from_micros(found.changed_at)
    return ReportedTag(**{**fields, "changed_at": changed_at})
