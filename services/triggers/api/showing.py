"""Answering with one definition, its warnings beside it."""

from starlette.responses import Response

from services.triggers.api.resources import answer_stored
from services.triggers.definitions.reading import Reading
from services.triggers.definitions.values import Stored


async def show(
    reading: Reading, stored: Stored, status: int = 200, location: str | None = None
) -> Response:
    """One definition with its ETag, and what is worth another look about its draft, or about
    what is in force where there is none.
    """
    subject = stored.draft
    if subject is None and stored.in_force:
        subject = stored.published
    told = [] if subject is None else await reading.warnings([subject])
    return answer_stored(stored, status, location, told)
