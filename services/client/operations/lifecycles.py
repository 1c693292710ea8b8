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
        status: Literal["draft", "live", "paused", "archived"] | None = None,
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
        self, body: models.Lifecycle | Mapping[str, Any], *, publish: bool | None = None
    ) -> Answer[models.LifecycleResource]:
        """Create a lifecycle.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        """
        return await self.call(
            "POST",
            "/v1/lifecycles",
            models.LifecycleResource,
            query={"publish": publish},
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
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.LifecycleResource]:
        """Put the draft of a lifecycle in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            f"/v1/lifecycles/{segment(id_)}/publish",
            models.LifecycleResource,
            header={"If-Match": if_match},
        )
