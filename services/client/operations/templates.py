"""Operations of the API on templates.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any, Literal

from services.client import models
from services.client.calling import Answer, Caller, segment


class Templates(Caller):
    """Operations on templates."""

    async def list_templates(
        self,
        *,
        status: Literal["draft", "live", "paused", "archived"] | None = None,
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
        self, body: models.Template | Mapping[str, Any], *, publish: bool | None = None
    ) -> Answer[models.TemplateResource]:
        """Create a template.

        Needs the role operator.

        publish: put it in force at once, not as a draft.
        """
        return await self.call(
            "POST",
            "/v1/templates",
            models.TemplateResource,
            query={"publish": publish},
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
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.TemplateResource]:
        """Put the draft of a template in force.

        Needs the role reviewer.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "POST",
            f"/v1/templates/{segment(id_)}/publish",
            models.TemplateResource,
            header={"If-Match": if_match},
        )
