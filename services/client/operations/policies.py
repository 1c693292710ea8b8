"""Operations of the API on policies.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from services.client import models
from services.client.calling import Answer, Caller, segment


class Policies(Caller):
    """Operations on policies."""

    async def list_policies(
        self,
        *,
        status: Literal["draft", "live", "paused", "archived"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Answer[models.PolicyPage]:
        """List policies.

        Needs the role analyst.

        status: left out: all but the archived.
        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/policies",
            models.PolicyPage,
            query={"status": status, "limit": limit, "cursor": cursor},
        )

    async def create_policy(
        self, body: models.Policy | Mapping[str, Any], *, publish: bool | None = None
    ) -> Answer[models.PolicyResource]:
        """Create a policy.

        Needs the role administrator.

        publish: put it in force at once, not as a draft.
        """
        return await self.call(
            "POST",
            "/v1/policies",
            models.PolicyResource,
            query={"publish": publish},
            body=body,
        )

    async def read_policy(self, id_: str) -> Answer[models.PolicyResource]:
        """Read a policy.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/policies/{segment(id_)}",
            models.PolicyResource,
        )

    async def replace_policy(
        self,
        id_: str,
        body: models.Policy | Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.PolicyResource]:
        """Replace the draft of a policy.

        Needs the role administrator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PUT",
            f"/v1/policies/{segment(id_)}",
            models.PolicyResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
        )

    async def patch_policy(
        self,
        id_: str,
        body: Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.PolicyResource]:
        """Change parts of a policy (JSON Merge Patch).

        Needs the role administrator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PATCH",
            f"/v1/policies/{segment(id_)}",
            models.PolicyResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
            media="application/merge-patch+json",
        )

    async def archive_policy(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.PolicyResource]:
        """Archive a policy.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/policies/{segment(id_)}",
            models.PolicyResource,
            header={"If-Match": if_match},
        )

    async def publish_policy(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.PolicyResource]:
        """Put the draft of a policy in force.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            f"/v1/policies/{segment(id_)}/publish",
            models.PolicyResource,
            header={"If-Match": if_match},
        )
