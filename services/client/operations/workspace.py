"""Operations of the API on workspace.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller, segment


class Workspace(Caller):
    """Operations on workspace."""

    async def read_workspace(
        self,
    ) -> Answer[models.WorkspaceResource]:
        """Read the workspace.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            "/v1/workspace",
            models.WorkspaceResource,
        )

    async def replace_workspace(
        self,
        body: models.Workspace | Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.WorkspaceResource]:
        """Replace the workspace's draft.

        Needs the role administrator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PUT",
            "/v1/workspace",
            models.WorkspaceResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
        )

    async def patch_workspace(
        self, body: Mapping[str, Any], *, publish: bool | None = None, if_match: str | None = None
    ) -> Answer[models.WorkspaceResource]:
        """Change parts of the workspace (JSON Merge Patch).

        Needs the role administrator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PATCH",
            "/v1/workspace",
            models.WorkspaceResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
            media="application/merge-patch+json",
        )

    async def publish_workspace(
        self, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.WorkspaceResource]:
        """Put the workspace's draft in force.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/workspace/publish",
            models.WorkspaceResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def submit_workspace(
        self,
        body: models.SubmitRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.WorkspaceResource]:
        """Submit the draft of a workspace for review.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/workspace/submit",
            models.WorkspaceResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def withdraw_workspace(
        self, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.WorkspaceResource]:
        """Take the draft of a workspace back from review.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/workspace/withdraw",
            models.WorkspaceResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def approve_workspace(
        self,
        body: models.ApproveRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.WorkspaceResource]:
        """Put the draft of a workspace in force that somebody else wrote.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/workspace/approve",
            models.WorkspaceResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reject_workspace(
        self,
        body: models.RejectRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.WorkspaceResource]:
        """Send the draft of a workspace back with a reason.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/workspace/reject",
            models.WorkspaceResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def discard_workspace_draft(
        self, *, if_match: str | None = None
    ) -> Answer[models.WorkspaceResource]:
        """Throw the draft of a workspace away; what is in force stays.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            "/v1/workspace/draft",
            models.WorkspaceResource,
            header={"If-Match": if_match},
        )

    async def list_workspace_versions(
        self, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.VersionPage]:
        """List the versions of a workspace, the newest first.

        Needs the role analyst.

        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/workspace/versions",
            models.VersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def read_workspace_version(self, version: int) -> Answer[models.VersionResource]:
        """Read a version of a workspace.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/workspace/versions/{segment(version)}",
            models.VersionResource,
        )

    async def rollback_workspace(
        self,
        body: models.RollbackRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.WorkspaceResource]:
        """Put an older version of a workspace in force again, as a new one.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/workspace/rollback",
            models.WorkspaceResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )
