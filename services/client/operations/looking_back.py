"""Operations of the API on looking back.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from services.client import models
from services.client.calling import Answer, Caller, segment


class LookingBack(Caller):
    """Operations on looking back."""

    async def counts_trigger(
        self, id_: str, *, from_: str | None = None, to: str | None = None
    ) -> Answer[models.HourCounts]:
        """Decisions by outcome and reason, by the hour, live.

        Needs the role analyst.

        from_: RFC 3339, with its zone.
        to: RFC 3339, with its zone.
        """
        return await self.call(
            "GET",
            f"/v1/triggers/{segment(id_)}/counts",
            models.HourCounts,
            query={"from": from_, "to": to},
        )

    async def decisions_person(
        self,
        person: str,
        *,
        trigger: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Answer[models.PersonDecisions]:
        """What was decided of a person.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/people/{segment(person)}/decisions",
            models.PersonDecisions,
            query={"trigger": trigger, "limit": limit, "cursor": cursor},
        )

    async def why_person(
        self, person: str, *, trigger: str, step: int | None = None
    ) -> Answer[models.Explanation]:
        """Why a person did or did not get a trigger.

        Needs the role analyst.
        """
        return await self.call(
            "GET",
            f"/v1/people/{segment(person)}/why",
            models.Explanation,
            query={"trigger": trigger, "step": step},
        )
