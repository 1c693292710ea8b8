"""After publishing: what was decided, how often, and why somebody did not get it."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from services.contracts.conditions import ID_PATTERN
from services.contracts.definitions import Tag
from services.contracts.event import PERSON_CHARS_MAX
from services.contracts.time import DAY, from_micros, to_micros
from services.runtime.moments import Moment
from services.triggers.api.openapi import shown
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.resources import answer
from services.triggers.api.trial_resources import HourCounts, PersonDecisions
from services.triggers.definitions.reading import Reading
from services.triggers.engine.explain import Explanation
from services.triggers.trial.masking import masked_answer
from services.triggers.trial.people import Lookup

PAGE_MAX: Final = 200
SPAN_MAX: Final = 92 * DAY
CURSOR_PATTERN: Final = "^[A-Za-z0-9_=-]{1,64}$"

Id = Annotated[str, Path(alias="id", pattern=ID_PATTERN)]
Person = Annotated[str, Path(min_length=1, max_length=PERSON_CHARS_MAX, pattern=r"^[^\x00]*$")]
_Moment = Annotated[Moment | None, Query(description="RFC 3339, with its zone")]


def looking_back_routes(
    reading: Reading, store: ProfileStore, people: Lookup, sensitive: Collection[str]
) -> APIRouter:
    """Counts of a trigger; decisions about a person, and why not, with traits named as `sensitive`
    masked.
    """
    router = APIRouter(prefix="/v1", tags=["looking back"])

    @router.get(
        "/triggers/{id}/counts", summary="Decisions by outcome and reason, by the hour, live",
        responses=shown("HourCounts"),
    )  # fmt: skip
    async def counts(
        id_: Id,
        from_: Annotated[
            Moment | None, Query(alias="from", description="RFC 3339, with its zone")
        ] = None,
        to: _Moment = None,
    ) -> Response:
        await reading.get("trigger", id_)
        query: dict[str, str | int] = {"trigger": id_}
        for name, moment in (("from", from_), ("to", to)):
            if moment is not None:
                query[name] = from_micros(to_micros(moment)).isoformat()
        if from_ is not None and to is not None and not _orderly(from_, to):
            raise HTTPException(422, "from has to be before to, by 92 days at most")
        found = await store.fetch("/v1/decision-counts", HourCounts, query)
        return answer(found or HourCounts(counts=(), more=False))

    @router.get(
        "/people/{person:path}/decisions", summary="What was decided of a person",
        responses=shown("PersonDecisions"),
    )  # fmt: skip
    async def decisions(
        person: Person,
        trigger: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        cursor: Annotated[str | None, Query(pattern=CURSOR_PATTERN)] = None,
    ) -> Response:
        query = _given({"trigger": trigger, "limit": limit, "cursor": cursor})
        path = f"/v1/people/{quote(person, safe='')}/decisions"
        found = await store.fetch(path, PersonDecisions, query)
        return answer(found or PersonDecisions(decisions=(), next_cursor=None))

    @router.get(
        "/people/{person:path}/why", summary="Why a person did or did not get a trigger",
        responses=shown(Explanation.__name__),
    )  # fmt: skip
    async def why(
        person: Person,
        trigger: Annotated[str, Query(pattern=ID_PATTERN)],
        step: Annotated[int | None, Query(ge=0, le=1000)] = None,
    ) -> Response:
        found = await people.why(person, trigger, step)
        current = await reading.current()
        tags = [one.published for one in current if isinstance(one.published, Tag)]
        return answer(masked_answer(found, sensitive, tags))

    return router


def _orderly(from_: AwareDatetime, to: AwareDatetime) -> bool:
    return 0 < to_micros(to) - to_micros(from_) <= SPAN_MAX


def _given(query: Mapping[str, Any]) -> dict[str, str | int]:
    return {name: value for name, value in query.items() if value is not None}
