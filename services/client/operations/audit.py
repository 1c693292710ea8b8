"""Operations of the API on audit.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from typing import Literal

from services.client import models
from services.client.calling import Answer, Caller


class Audit(Caller):
    """Operations on audit."""

    async def list_audit(
        self,
        *,
        kind: str | None = None,
        id_: str | None = None,
        actor: str | None = None,
        action: Literal[
            "bootstrapped",
            "adopted",
            "created",
            "edited",
            "discarded",
            "submitted",
            "withdrawn",
            "rejected",
            "approved",
            "published",
            "paused",
            "resumed",
            "rolled_back",
            "applied",
            "archived",
            "token_created",
            "token_revoked",
            "stopped",
            "went_on",
            "rollout",
        ]
        | None = None,
        request_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        cursor: int | None = None,
    ) -> Answer[models.AuditPage]:
        """Read the audit log, the newest first.

        Needs the role analyst.

        since: RFC 3339, with its zone.
        until: RFC 3339, with its zone.
        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            "/v1/audit",
            models.AuditPage,
            query={
                "kind": kind,
                "id": id_,
                "actor": actor,
                "action": action,
                "request_id": request_id,
                "since": since,
                "until": until,
                "limit": limit,
                "cursor": cursor,
            },
        )
