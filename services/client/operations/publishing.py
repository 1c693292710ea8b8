"""Operations of the API on publishing.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller


class Publishing(Caller):
    """Operations on publishing."""

    async def apply(self, body: Mapping[str, Any]) -> Answer[models.ApplyResult]:
        """Put many definitions in force in one revision.

        Needs the role operator.
        """
        return await self.call(
            "POST",
            "/v1/apply",
            models.ApplyResult,
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
