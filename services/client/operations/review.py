"""Operations of the API on review.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from services.client import models
from services.client.calling import Answer, Caller


class Review(Caller):
    """Operations on review."""

    async def list_reviews(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> Answer[models.ReviewPage]:
        """List what is in review.

        Needs the role analyst.

        cursor: a page's.
        """
        return await self.call(
            "GET",
            "/v1/reviews",
            models.ReviewPage,
            query={"limit": limit, "cursor": cursor},
        )
