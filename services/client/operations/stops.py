"""Operations of the API on stops.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller


class Stops(Caller):
    """Operations on stops."""

    async def stop(
        self, body: models.StopRequest | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer[models.StopsResource]:
        """Stop all sending, or some channels, within two seconds.

        Needs the role reviewer.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/stop",
            models.StopsResource,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def resume(
        self, body: models.StopRequest | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer[models.StopsResource]:
        """Take stops away: sending goes on.

        Needs the role reviewer.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/resume",
            models.StopsResource,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def stops(
        self,
    ) -> Answer[models.StopsResource]:
        """What is stopped.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            "/v1/stops",
            models.StopsResource,
        )
