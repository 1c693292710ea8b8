"""Operations of the API on workspace.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller


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
        self, *, if_match: str | None = None
    ) -> Answer[models.WorkspaceResource]:
        """Put the workspace's draft in force.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            "/v1/workspace/publish",
            models.WorkspaceResource,
            header={"If-Match": if_match},
        )
