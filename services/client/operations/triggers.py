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
        status: Literal["draft", "in_review", "live", "paused", "archived"] | None = None,
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
        self,
        body: models.Trigger | Mapping[str, Any],
        *,
        publish: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TriggerResource]:
        """Create a trigger.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/triggers",
            models.TriggerResource,
            query={"publish": publish},
            header={"Idempotency-Key": idempotency_key},
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
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Put the draft of a trigger in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/publish",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def submit_trigger(
        self,
        id_: str,
        body: models.SubmitRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TriggerResource]:
        """Submit the draft of a trigger for review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/submit",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def withdraw_trigger(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Take the draft of a trigger back from review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/withdraw",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def approve_trigger(
        self,
        id_: str,
        body: models.ApproveRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TriggerResource]:
        """Put the draft of a trigger in force that somebody else wrote.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/approve",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reject_trigger(
        self,
        id_: str,
        body: models.RejectRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TriggerResource]:
        """Send the draft of a trigger back with a reason.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/reject",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def discard_trigger_draft(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Throw the draft of a trigger away; what is in force stays.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/triggers/{segment(id_)}/draft",
            models.TriggerResource,
            header={"If-Match": if_match},
        )

    async def list_trigger_versions(
        self, id_: str, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.VersionPage]:
        """List the versions of a trigger, the newest first.

        Needs the role analyst.

        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            f"/v1/triggers/{segment(id_)}/versions",
            models.VersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def read_trigger_version(self, version: int, id_: str) -> Answer[models.VersionResource]:
        """Read a version of a trigger.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/triggers/{segment(id_)}/versions/{segment(version)}",
            models.VersionResource,
        )

    async def rollback_trigger(
        self,
        id_: str,
        body: models.RollbackRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TriggerResource]:
        """Put an older version of a trigger in force again, as a new one.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/rollback",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def pause_trigger(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Pause a trigger at once.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/pause",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def resume_trigger(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TriggerResource]:
        """Resume a paused trigger.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/resume",
            models.TriggerResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )
