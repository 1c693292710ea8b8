"""Operations of the API on before publishing.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller, segment


class BeforePublishing(Caller):
    """Operations on before publishing."""

    async def validate(
        self,
        body: models.ValidateRequest | Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Answer[models.Validation]:
        """Say what is wrong with definitions, and what is worth a look.

        Needs the role analyst.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/validate",
            models.Validation,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def dry_run_trigger(
        self,
        id_: str,
        body: models.DryRunRequest | Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Answer[models.DryRun]:
        """Say what would be decided of a person, and sent.

        Needs the role analyst.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/dry-run",
            models.DryRun,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def test_send_trigger(
        self,
        id_: str,
        body: models.TestSendRequest | Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Answer[models.TestSends]:
        """Send a trigger's messages to test people.

        Needs the role operator.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/triggers/{segment(id_)}/test-send",
            models.TestSends,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def reach_trigger(self, id_: str) -> Answer[models.Reach]:
        """How many people fulfil the audience, and sends a day.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/triggers/{segment(id_)}/reach",
            models.Reach,
        )
