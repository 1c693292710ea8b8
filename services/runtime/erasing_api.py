"""Receipts of erasures over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from services.runtime.bearer import require_token
from services.runtime.erasing import Erasures

REQUEST_CHARS_MAX = 100


class ReceiptOut(BaseModel):
    """What was forgotten under one id of a person."""

    deleted: dict[str, int] = Field(description="rows by table")
    done_at: str
    swept_at: str | None = Field(description="from when on their id is not known either")


class ReceiptsOut(BaseModel):
    """What this store did for a request; empty while it has not come to it."""

    request: str
    receipts: list[ReceiptOut]


def erasure_routes(erasures: Erasures) -> APIRouter:
    """The route of receipts, for an application that has `state.tokens`."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_token)], tags=["privacy"])

    @router.get("/erasures/{request}", summary="What was forgotten, and when")
    async def receipts(
        request: Annotated[str, Path(pattern=f"^[A-Za-z0-9-]{{1,{REQUEST_CHARS_MAX}}}$")],
    ) -> ReceiptsOut:
        """One receipt for each id that a person had."""
        found = await erasures.receipts(request)
        return ReceiptsOut(
            request=request,
            receipts=[
                ReceiptOut(deleted=one.deleted, done_at=one.done_at, swept_at=one.swept_at)
                for one in found
            ],
        )

    return router
