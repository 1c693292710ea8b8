"""Operations of the API on templates.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from services.client import models
from services.client.calling import Answer, Caller, segment


class Templates(Caller):
    """Operations on templates."""

    async def preview_template(
        self,
        id_: str,
        body: models.PreviewRequest | Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Answer[models.Preview]:
        """Fill a template in for a person.

        Needs the role analyst.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/preview",
            models.Preview,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def list_templates(
        self,
        *,
        status: Literal["draft", "in_review", "live", "paused", "archived"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Answer[models.TemplatePage]:
        """List templates.

        Needs the role analyst.

        status: left out: all but the archived.
        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/templates",
            models.TemplatePage,
            query={"status": status, "limit": limit, "cursor": cursor},
        )

    async def create_template(
        self,
        body: models.Template | Mapping[str, Any],
        *,
        publish: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TemplateResource]:
        """Create a template.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/templates",
            models.TemplateResource,
            query={"publish": publish},
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def read_template(self, id_: str) -> Answer[models.TemplateResource]:
        """Read a template.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/templates/{segment(id_)}",
            models.TemplateResource,
        )

    async def replace_template(
        self,
        id_: str,
        body: models.Template | Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.TemplateResource]:
        """Replace the draft of a template.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PUT",
            f"/v1/templates/{segment(id_)}",
            models.TemplateResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
        )

    async def patch_template(
        self,
        id_: str,
        body: Mapping[str, Any],
        *,
        publish: bool | None = None,
        if_match: str | None = None,
    ) -> Answer[models.TemplateResource]:
        """Change parts of a template (JSON Merge Patch).

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "PATCH",
            f"/v1/templates/{segment(id_)}",
            models.TemplateResource,
            query={"publish": publish},
            header={"If-Match": if_match},
            body=body,
            media="application/merge-patch+json",
        )

    async def archive_template(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TemplateResource]:
        """Archive a template.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/templates/{segment(id_)}",
            models.TemplateResource,
            header={"If-Match": if_match},
        )

    async def publish_template(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TemplateResource]:
        """Put the draft of a template in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/publish",
            models.TemplateResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def submit_template(
        self,
        id_: str,
        body: models.SubmitRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TemplateResource]:
        """Submit the draft of a template for review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/submit",
            models.TemplateResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def withdraw_template(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.TemplateResource]:
        """Take the draft of a template back from review.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/withdraw",
            models.TemplateResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def approve_template(
        self,
        id_: str,
        body: models.ApproveRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TemplateResource]:
        """Put the draft of a template in force that somebody else wrote.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/approve",
            models.TemplateResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reject_template(
        self,
        id_: str,
        body: models.RejectRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TemplateResource]:
        """Send the draft of a template back with a reason.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/reject",
            models.TemplateResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def discard_template_draft(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TemplateResource]:
        """Throw the draft of a template away; what is in force stays.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/templates/{segment(id_)}/draft",
            models.TemplateResource,
            header={"If-Match": if_match},
        )

    async def list_template_versions(
        self, id_: str, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.VersionPage]:
        """List the versions of a template, the newest first.

        Needs the role analyst.

        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            f"/v1/templates/{segment(id_)}/versions",
            models.VersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def read_template_version(self, version: int, id_: str) -> Answer[models.VersionResource]:
        """Read a version of a template.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/templates/{segment(id_)}/versions/{segment(version)}",
            models.VersionResource,
        )

    async def rollback_template(
        self,
        id_: str,
        body: models.RollbackRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.TemplateResource]:
        """Put an older version of a template in force again, as a new one.

        Needs the role operator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/rollback",
            models.TemplateResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )
