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
        status: Literal["draft", "in_review", "live", "paused", "archived"] | None = None,
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
        self,
        body: models.Segment | Mapping[str, Any],
        *,
        publish: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.SegmentResource]:
        """Create a segment.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/segments",
            models.SegmentResource,
            query={"publish": publish},
            header={"Idempotency-Key": idempotency_key},
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
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.SegmentResource]:
        """Put the draft of a segment in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/segments/{segment(id_)}/publish",
            models.SegmentResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def submit_segment(
        self,
        id_: str,
        body: models.SubmitRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.SegmentResource]:
        """Submit the draft of a segment for review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/segments/{segment(id_)}/submit",
            models.SegmentResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def withdraw_segment(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.SegmentResource]:
        """Take the draft of a segment back from review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/segments/{segment(id_)}/withdraw",
            models.SegmentResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def approve_segment(
        self,
        id_: str,
        body: models.ApproveRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.SegmentResource]:
        """Put the draft of a segment in force that somebody else wrote.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/segments/{segment(id_)}/approve",
            models.SegmentResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reject_segment(
        self,
        id_: str,
        body: models.RejectRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.SegmentResource]:
        """Send the draft of a segment back with a reason.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/segments/{segment(id_)}/reject",
            models.SegmentResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def discard_segment_draft(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.SegmentResource]:
        """Throw the draft of a segment away; what is in force stays.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/segments/{segment(id_)}/draft",
            models.SegmentResource,
            header={"If-Match": if_match},
        )

    async def list_segment_versions(
        self, id_: str, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.VersionPage]:
        """List the versions of a segment, the newest first.

        Needs the role analyst.

        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            f"/v1/segments/{segment(id_)}/versions",
            models.VersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def read_segment_version(self, version: int, id_: str) -> Answer[models.VersionResource]:
        """Read a version of a segment.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/segments/{segment(id_)}/versions/{segment(version)}",
            models.VersionResource,
        )

    async def rollback_segment(
        self,
        id_: str,
        body: models.RollbackRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.SegmentResource]:
        """Put an older version of a segment in force again, as a new one.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/segments/{segment(id_)}/rollback",
            models.SegmentResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )
