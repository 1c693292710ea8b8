"""Operations of the API on segments.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from services.client import models
from services.client.calling import Answer, Caller, segment


class Segments(Caller):
    """Operations on segments."""

    async def list_segments(
        self,
        *,
        status: Literal["draft", "live", "paused", "archived"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Answer[models.SegmentPage]:
        """List segments.

        Needs the role analyst.

        status: left out: all but the archived.
        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/segments",
            models.SegmentPage,
            query={"status": status, "limit": limit, "cursor": cursor},
        )

    async def create_segment(
        self, body: models.Segment | Mapping[str, Any], *, publish: bool | None = None
    ) -> Answer[models.SegmentResource]:
        """Create a segment.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        """
        return await self.call(
            "POST",
            "/v1/segments",
            models.SegmentResource,
            query={"publish": publish},
            body=body,
        )

    async def read_segment(self, id_: str) -> Answer[models.SegmentResource]:
        """Read a segment.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/segments/{segment(id_)}",
            models.SegmentResource,
        )

    async def replace_segment(
        self,
        id_: str,
        body: models.Segment | Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.SegmentResource]:
        """Replace the draft of a segment.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PUT",
            f"/v1/segments/{segment(id_)}",
            models.SegmentResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
        )

    async def patch_segment(
        self,
        id_: str,
        body: Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.SegmentResource]:
        """Change parts of a segment (JSON Merge Patch).

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PATCH",
            f"/v1/segments/{segment(id_)}",
            models.SegmentResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
            media="application/merge-patch+json",
        )

    async def archive_segment(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.SegmentResource]:
        """Archive a segment.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/segments/{segment(id_)}",
            models.SegmentResource,
            header={"If-Match": if_match},
        )

    async def publish_segment(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.SegmentResource]:
        """Put the draft of a segment in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            f"/v1/segments/{segment(id_)}/publish",
            models.SegmentResource,
            header={"If-Match": if_match},
        )
