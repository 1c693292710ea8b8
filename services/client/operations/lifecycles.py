"""Operations of the API on lifecycles.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from services.client import models
from services.client.calling import Answer, Caller, segment


class Lifecycles(Caller):
    """Operations on lifecycles."""

    async def list_lifecycles(
        self,
        *,
        status: Literal["draft", "in_review", "live", "paused", "archived"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Answer[models.LifecyclePage]:
        """List lifecycles.

        Needs the role analyst.

        status: left out: all but the archived.
        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/lifecycles",
            models.LifecyclePage,
            query={"status": status, "limit": limit, "cursor": cursor},
        )

    async def create_lifecycle(
        self,
        body: models.Lifecycle | Mapping[str, Any],
        *,
        publish: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.LifecycleResource]:
        """Create a lifecycle.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/lifecycles",
            models.LifecycleResource,
            query={"publish": publish},
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def read_lifecycle(self, id_: str) -> Answer[models.LifecycleResource]:
        """Read a lifecycle.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/lifecycles/{segment(id_)}",
            models.LifecycleResource,
        )

    async def replace_lifecycle(
        self,
        id_: str,
        body: models.Lifecycle | Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.LifecycleResource]:
        """Replace the draft of a lifecycle.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PUT",
            f"/v1/lifecycles/{segment(id_)}",
            models.LifecycleResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
        )

    async def patch_lifecycle(
        self,
        id_: str,
        body: Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.LifecycleResource]:
        """Change parts of a lifecycle (JSON Merge Patch).

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PATCH",
            f"/v1/lifecycles/{segment(id_)}",
            models.LifecycleResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
            media="application/merge-patch+json",
        )

    async def archive_lifecycle(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.LifecycleResource]:
        """Archive a lifecycle.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/lifecycles/{segment(id_)}",
            models.LifecycleResource,
            header={"If-Match": if_match},
        )

    async def publish_lifecycle(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.LifecycleResource]:
        """Put the draft of a lifecycle in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/lifecycles/{segment(id_)}/publish",
            models.LifecycleResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def submit_lifecycle(
        self,
        id_: str,
        body: models.SubmitRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.LifecycleResource]:
        """Submit the draft of a lifecycle for review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/lifecycles/{segment(id_)}/submit",
            models.LifecycleResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def withdraw_lifecycle(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.LifecycleResource]:
        """Take the draft of a lifecycle back from review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/lifecycles/{segment(id_)}/withdraw",
            models.LifecycleResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def approve_lifecycle(
        self,
        id_: str,
        body: models.ApproveRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.LifecycleResource]:
        """Put the draft of a lifecycle in force that somebody else wrote.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/lifecycles/{segment(id_)}/approve",
            models.LifecycleResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reject_lifecycle(
        self,
        id_: str,
        body: models.RejectRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.LifecycleResource]:
        """Send the draft of a lifecycle back with a reason.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/lifecycles/{segment(id_)}/reject",
            models.LifecycleResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def discard_lifecycle_draft(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.LifecycleResource]:
        """Throw the draft of a lifecycle away; what is in force stays.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/lifecycles/{segment(id_)}/draft",
            models.LifecycleResource,
            header={"If-Match": if_match},
        )

    async def list_lifecycle_versions(
        self, id_: str, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.VersionPage]:
        """List the versions of a lifecycle, the newest first.

        Needs the role analyst.

        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            f"/v1/lifecycles/{segment(id_)}/versions",
            models.VersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def read_lifecycle_version(
        self, version: int, id_: str
    ) -> Answer[models.VersionResource]:
        """Read a version of a lifecycle.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/lifecycles/{segment(id_)}/versions/{segment(version)}",
            models.VersionResource,
        )

    async def rollback_lifecycle(
        self,
        id_: str,
        body: models.RollbackRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.LifecycleResource]:
        """Put an older version of a lifecycle in force again, as a new one.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/lifecycles/{segment(id_)}/rollback",
            models.LifecycleResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )
