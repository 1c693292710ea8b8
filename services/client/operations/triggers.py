"""Operations of the API on triggers.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from services.client import models
from services.client.calling import Answer, Caller, segment


class Triggers(Caller):
    """Operations on triggers."""

    async def list_triggers(
        self,
        *,
        status: Literal["draft", "live", "paused", "archived"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Answer[models.TriggerPage]:
        """List triggers.

        Needs the role analyst.

        status: left out: all but the archived.
        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/triggers",
            models.TriggerPage,
            query={"status": status, "limit": limit, "cursor": cursor},
        )

    async def create_trigger(
        self, body: models.Trigger | Mapping[str, Any], *, publish: bool | None = None
    ) -> Answer[models.TriggerResource]:
        """Create a trigger.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        """
        return await self.call(
            "POST",
            "/v1/triggers",
            models.TriggerResource,
            query={"publish": publish},
            body=body,
        )

    async def read_trigger(self, id_: str) -> Answer[models.TriggerResource]:
        """Read a trigger.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/triggers/{segment(id_)}",
            models.TriggerResource,
        )

    async def replace_trigger(
        self,
        id_: str,
        body: models.Trigger | Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.TriggerResource]:
        """Replace the draft of a trigger.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PUT",
            f"/v1/triggers/{segment(id_)}",
            models.TriggerResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
        )

    async def patch_trigger(
        self,
        id_: str,
        body: Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.TriggerResource]:
        """Change parts of a trigger (JSON Merge Patch).

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PATCH",
            f"/v1/triggers/{segment(id_)}",
            models.TriggerResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
            media="application/merge-patch+json",
        )

    async def archive_trigger(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Archive a trigger.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/triggers/{segment(id_)}",
            models.TriggerResource,
            header={"If-Match": if_match},
        )

    async def publish_trigger(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Put the draft of a trigger in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/publish",
            models.TriggerResource,
            header={"If-Match": if_match},
        )

    async def pause_trigger(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Pause a trigger at once.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/pause",
            models.TriggerResource,
            header={"If-Match": if_match},
        )

    async def resume_trigger(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Resume a paused trigger.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/resume",
            models.TriggerResource,
            header={"If-Match": if_match},
        )
