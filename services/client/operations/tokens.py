"""Operations of the API on tokens.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller, segment


class Tokens(Caller):
    """Operations on tokens."""

    async def list_tokens(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> Answer[models.TokenPage]:
        """List API tokens.

        Needs the role administrator.
        """
        return await self.call(
            "GET",
            "/v1/tokens",
            models.TokenPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def create_token(
        self, body: models.TokenRequest | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer[models.NewToken]:
        """Make an API token; its secret is shown this once.

        Needs the role administrator.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/tokens",
            models.NewToken,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def revoke_token(self, id_: str) -> Answer[models.TokenResource]:
        """Revoke an API token at once.

        Needs the role administrator.
        """
        return await self.call(
            "DELETE",
            f"/v1/tokens/{segment(id_)}",
            models.TokenResource,
        )
