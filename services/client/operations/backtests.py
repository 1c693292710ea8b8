"""Operations of the API on backtests.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from collections.abc import Mapping
from typing import Any

from services.client import models
from services.client.calling import Answer, Caller, segment


class Backtests(Caller):
    """Operations on backtests."""

    async def list_backtests(
        self, *, limit: int | None = None, cursor: int | None = None
    ) -> Answer[models.BacktestPage]:
        """List backtests.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            "/v1/backtests",
            models.BacktestPage,
            query={"limit": limit, "cursor": cursor},
        )

    async def create_backtest(
        self,
        body: models.BacktestRequest | Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Answer[models.BacktestResource]:
        """Play history with drafts among what is in force.

        Needs the role operator.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            "/v1/backtests",
            models.BacktestResource,
            header={"Idempotency-Key": idempotency_key},
            body=body,
        )

    async def read_backtest(self, id_: str) -> Answer[models.BacktestResource]:
        """How far a backtest is.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/backtests/{segment(id_)}",
            models.BacktestResource,
        )

    async def cancel_backtest(
        self, id_: str, *, idempotency_key: str | None = None
    ) -> Answer[models.BacktestResource]:
        """End a backtest.

        Needs the role operator.

        idempotency_key: a POST repeated with its key within 24 hours is done once.
        """
        return await self.call(
            "POST",
            f"/v1/backtests/{segment(id_)}/cancel",
            models.BacktestResource,
            header={"Idempotency-Key": idempotency_key},
        )
