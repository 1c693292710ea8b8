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
        status: Literal["draft", "in_review", "live", "paused", "archived"] | None = None,
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
        self,
        body: models.Policy | Mapping[str, Any],
        *,
        publish: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.PolicyResource]:
        """Create a policy.

        Needs the role administrator.

        publish: put it in force at once, not as a draft.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/policies",
            models.PolicyResource,
            query={"publish": publish},
            header={"Idempotency-Key": idempotency_key},
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
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.PolicyResource]:
        """Put the draft of a policy in force.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/policies/{segment(id_)}/publish",
            models.PolicyResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def submit_policy(
        self,
        id_: str,
        body: models.SubmitRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.PolicyResource]:
        """Submit the draft of a policy for review.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/policies/{segment(id_)}/submit",
            models.PolicyResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def withdraw_policy(
        self, id_: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> Answer[models.PolicyResource]:
        """Take the draft of a policy back from review.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/policies/{segment(id_)}/withdraw",
            models.PolicyResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
        )

    async def approve_policy(
        self,
        id_: str,
        body: models.ApproveRequest | Mapping[str, Any] | None,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.PolicyResource]:
        """Put the draft of a policy in force that somebody else wrote.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/policies/{segment(id_)}/approve",
            models.PolicyResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reject_policy(
        self,
        id_: str,
        body: models.RejectRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.PolicyResource]:
        """Send the draft of a policy back with a reason.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/policies/{segment(id_)}/reject",
            models.PolicyResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )

    async def discard_policy_draft(
        self, id_: str, *, if_match: str | None = None
    ) -> Answer[models.PolicyResource]:
        """Throw the draft of a policy away; what is in force stays.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        """
        return await self.call(
            "DELETE",
            f"/v1/policies/{segment(id_)}/draft",
            models.PolicyResource,
            header={"If-Match": if_match},
        )

    async def list_policy_versions(
        self, id_: str, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.VersionPage]:
        """List the versions of a policy, the newest first.

        Needs the role analyst.

        cursor: `next_cursor` of a page.
        """
        return await self.call(
            "GET",
            f"/v1/policies/{segment(id_)}/versions",
            models.VersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def read_policy_version(self, version: int, id_: str) -> Answer[models.VersionResource]:
        """Read a version of a policy.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/policies/{segment(id_)}/versions/{segment(version)}",
            models.VersionResource,
        )

    async def rollback_policy(
        self,
        id_: str,
        body: models.RollbackRequest | Mapping[str, Any],
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[models.PolicyResource]:
        """Put an older version of a policy in force again, as a new one.

        Needs the role administrator.

        if_match: the ETag that was read; `*` overwrites anything.
        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/policies/{segment(id_)}/rollback",
            models.PolicyResource,
            header={"If-Match": if_match, "Idempotency-Key": idempotency_key},
            body=body,
        )
