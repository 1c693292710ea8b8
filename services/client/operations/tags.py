"""Operations of the API on tags.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from services.client import models
from services.client.calling import Answer, Caller, segment


class Tags(Caller):
    """Operations on tags."""

    async def report_tag(
        self, *, days: int | None = None, all_: bool | None = None
    ) -> Answer[models.TagReport]:
        """Tags that nobody uses, and tags that went stale.

        Needs the role analyst.

        all_: in-order tags too.
        """
        return await self.call(
            "GET",
            "/v1/tags/report",
            models.TagReport,
            query={"days": days, "all": all_},
        )

    async def list_tags(
        self,
        *,
        status: Literal["draft", "in_review", "live", "paused", "archived"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Answer[models.TagPage]:
        """List tags.

        Needs the role analyst.

        status: left out: all but the archived.
        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/tags",
            models.TagPage,
            query={"status": status, "limit": limit, "cursor": cursor},
        )

    async def create_tag(
        self,
        body: models.Tag | Mapping[str, Any],
        *,
        publish: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TagResource]:
        """Create a tag.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/tags",
            models.TagResource,
            query={"publish": publish},
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def read_tag(self, id_: str) -> Answer[models.TagResource]:
        """Read a tag.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/tags/{segment(id_)}",
            models.TagResource,
        )

    async def replace_tag(
        self,
        id_: str,
        body: models.Tag | Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.TagResource]:
        """Replace the draft of a tag.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PUT",
            f"/v1/tags/{segment(id_)}",
            models.TagResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
        )

    async def patch_tag(
        self,
        id_: str,
        body: Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.TagResource]:
        """Change parts of a tag (JSON Merge Patch).

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PATCH",
            f"/v1/tags/{segment(id_)}",
            models.TagResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
            media="application/merge-patch+json",
        )

    async def archive_tag(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TagResource]:
        """Archive a tag.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/tags/{segment(id_)}",
            models.TagResource,
            header={"If-Match": if_match},
        )

    async def publish_tag(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TagResource]:
        """Put the draft of a tag in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/tags/{segment(id_)}/publish",
            models.TagResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def submit_tag(
        self,
        id_: str,
        body: models.SubmitRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TagResource]:
        """Submit the draft of a tag for review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/tags/{segment(id_)}/submit",
            models.TagResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def withdraw_tag(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TagResource]:
        """Take the draft of a tag back from review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/tags/{segment(id_)}/withdraw",
            models.TagResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def approve_tag(
        self,
        id_: str,
        body: models.ApproveRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TagResource]:
        """Put the draft of a tag in force that somebody else wrote.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/tags/{segment(id_)}/approve",
            models.TagResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reject_tag(
        self,
        id_: str,
        body: models.RejectRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TagResource]:
        """Send the draft of a tag back with a reason.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/tags/{segment(id_)}/reject",
            models.TagResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def discard_tag_draft(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TagResource]:
        """Throw the draft of a tag away; what is in force stays.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/tags/{segment(id_)}/draft",
            models.TagResource,
            header={"If-Match": if_match},
        )

    async def list_tag_versions(
        self, id_: str, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.VersionPage]:
        """List the versions of a tag, the newest first.

        Needs the role analyst.

        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            f"/v1/tags/{segment(id_)}/versions",
            models.VersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def read_tag_version(self, version: int, id_: str) -> Answer[models.VersionResource]:
        """Read a version of a tag.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/tags/{segment(id_)}/versions/{segment(version)}",
            models.VersionResource,
        )

    async def rollback_tag(
        self,
        id_: str,
        body: models.RollbackRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TagResource]:
        """Put an older version of a tag in force again, as a new one.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/tags/{segment(id_)}/rollback",
            models.TagResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )
