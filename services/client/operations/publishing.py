"""Operations of the API on publishing.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller


class Publishing(Caller):
    """Operations on publishing."""

    async def apply(
        self, body: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer[models.ApplyResult]:
        """Put many definitions in force in one revision, or submit them.

        Needs the role operator.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/apply",
            models.ApplyResult,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def current_revision(
        self,
    ) -> Answer[models.RevisionState]:
        """The newest revision and whether it has reached the log.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            "/v1/revisions/current",
            models.RevisionState,
        )
