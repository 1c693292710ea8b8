"""Operations of the API on rollouts.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller, segment


class Rollouts(Caller):
    """Operations on rollouts."""

    async def read_trigger_rollout(self, id_: str) -> Answer[models.RolloutResource]:
        """How far a rollout is.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/triggers/{segment(id_)}/rollout",
            models.RolloutResource,
        )

    async def begin_trigger_rollout(
        self,
        id_: str,
        body: models.RolloutRequest | Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Answer[models.RolloutResource]:
        """Let a live trigger reach more and more people.

        Needs the role reviewer.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/rollout",
            models.RolloutResource,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def end_trigger_rollout(
        self, id_: str, *, idempotency_key: str | None = None
    ) -> Answer[models.RolloutResource]:
        """Leave a rollout at the stage it has come to.

        Needs the role reviewer.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/rollout/end",
            models.RolloutResource,
            header={"Idempotency-Key": idempotency_key},
        )
