"""Segments, selections and histories over HTTP."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, Field

from services.contracts.conditions import ID_PATTERN, Condition
from services.contracts.errors import Malformed
from services.profile_store.api import CURSOR_CHARS_MAX, cursor_of, person_of
from services.profile_store.defined import Defined
from services.profile_store.limits import TEXT_BYTES_MAX
from services.profile_store.population import (
    HISTORY_PAGE_MAX,
    HistoryKind,
    Known,
    Population,
    remarks,
)
from services.profile_store.profiles import PAGE_MAX, Profiles, current
from services.profile_store.schemas import ProfilePage, written
from services.profile_store.sensitive import Sensitive, Show, Shown
from services.runtime.bearer import require_token

SEARCH_BYTES_MAX: Final = 64 * 1024
_HISTORY_CURSOR_MAX: Final = 2**62


class SegmentOut(BaseModel):
    """A segment and its size. `share` is of all people, from 0 to 1."""

    id: str
    name: str
    core: bool
    defined: bool = Field(description="false: people are in it still, and no definition is")
    people: int
    share: float


class RemarkOut(BaseModel):
    """Something worth a look; of all segments together where `segment` is null."""

    segment: str | None
    code: str = Field(examples=["too_small", "too_many_core"])
    message: str


class SegmentsOut(BaseModel):
    """All segments in order of id, and what is worth a look."""

    people: int
    segments: list[SegmentOut]
    remarks: list[RemarkOut]


class OverlapOut(BaseModel):
    """People in both of two segments; `jaccard` is their share of those in either."""

    one: str
    other: str
    people: int
    jaccard: float


class OverlapsOut(BaseModel):
    """Every two segments that share somebody."""

    overlaps: list[OverlapOut]


class SearchOut(ProfilePage):
    """People whom a condition holds for; `count` of them in all, null unless asked for."""

    count: int | None


class PointOut(BaseModel):
    """From `at` on there was this value."""

    at: str = Field(examples=["2026-03-01T12:00:00.000000Z"])
    value: Any


class HistoryOut(BaseModel):
    """What a tag or a segment became of a person, the newest first."""

    points: list[PointOut]
    next_cursor: str | None = Field(description="for the next page; null on the last")


class Search(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The body of a search. `where` as in a segment, and `segment: id` besides."""

    where: Condition
    limit: Annotated[int, msgspec.Meta(ge=0, le=PAGE_MAX)] = 50
    cursor: Annotated[str, msgspec.Meta(max_length=CURSOR_CHARS_MAX)] | None = None
    count: bool = False


_decoder: Final = msgspec.json.Decoder(Search)


def population_routes(population: Population, profiles: Profiles, defined: Defined) -> APIRouter:
    """Routes over all people; `profiles` know who is whom after a merge."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_token)], tags=["segments"])
    _add_segments(router, population, defined)
    _add_questions(router, population, profiles)
    return router


def _add_segments(router: APIRouter, population: Population, defined: Defined) -> None:
    @router.get("/segments", summary="Segments and their sizes")
    async def segments() -> SegmentsOut:
        """Sizes as they stand in the store now; `remarks` on the small and the many."""
        sizes, known = await population.sizes(), defined.segments()
        of_known = {one.id: one for one in known}
        return SegmentsOut(
            people=sizes.people,
            segments=[
                _segment(id_, of_known.get(id_), sizes.segments.get(id_, 0), sizes.people)
                for id_ in sorted({*of_known, *sizes.segments})
            ],
            remarks=[
                RemarkOut(segment=segment, code=code, message=message)
                for segment, code, message in remarks(sizes, known)
            ],
        )

    @router.get("/segments/overlap", summary="How much segments overlap")
    async def overlap() -> OverlapsOut:
        """Every two segments that share somebody, in order of id."""
        sizes = (await population.sizes()).segments
        found = []
        for one in await population.overlap():
            either = sizes.get(one.one, 0) + sizes.get(one.other, 0) - one.people
            jaccard = round(one.people / either, 6) if either > 0 else 1.0
            found.append(OverlapOut(**msgspec.structs.asdict(one), jaccard=jaccard))
        return OverlapsOut(overlaps=found)

    @router.get("/segments/{id}/members", summary="Who is in a segment")
    async def members(
        id_: Annotated[str, Path(alias="id", pattern=ID_PATTERN)],
        show: Shown,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        cursor: Annotated[str | None, Query(max_length=CURSOR_CHARS_MAX)] = None,
    ) -> ProfilePage:
        """Profiles, by person; nobody where nobody is in it."""
        where = Condition(segment=id_)
        return await _page(population, show, where, limit, cursor)


def _add_questions(router: APIRouter, population: Population, profiles: Profiles) -> None:
    @router.post("/search", summary="Whom a condition holds for", openapi_extra=_SEARCH_BODY)
    async def search(request: Request, show: Shown) -> SearchOut:
        """A page of profiles by person and, where asked for, how many there are in all."""
        asked = await _asked(request)
        _refuse_sensitive(asked.where, request.app.state.sensitive)
        try:
            count = await population.count(asked.where) if asked.count else None
            page = ProfilePage(profiles=[], next_cursor=None)
            if asked.limit:
                page = await _page(population, show, asked.where, asked.limit, asked.cursor)
        except Malformed as error:
            raise HTTPException(422, error.message) from error
        return SearchOut(profiles=page.profiles, next_cursor=page.next_cursor, count=count)

    @router.get("/people/{person:path}/history", summary="What became of a tag or a segment")
    async def history(
        person: Annotated[str, Path(min_length=1, max_length=TEXT_BYTES_MAX)],
        tag: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        segment: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        consent: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=HISTORY_PAGE_MAX)] = 50,
        cursor: Annotated[int | None, Query(ge=0, le=_HISTORY_CURSOR_MAX)] = None,
    ) -> HistoryOut:
        """The newest first, of one tag, one segment or one question of consent. Kept of tags with
        few values: labels, scores, states. What a person began with is no change, and not among
        them; of consents each answer is there, with its proof."""
        kind, name = _asked_of({"tag": tag, "segment": segment, "consent": consent})
        found = await current(profiles, person)
        who = person if found is None else found.person
        points = await population.history(
            who,
            kind,
            name,
            limit=limit + 1,
            before=cursor,
        )
        page = points[:limit]
        return HistoryOut(
            points=[PointOut(at=written(one.at), value=one.value) for one in page],
            next_cursor=str(page[-1].at) if len(points) > limit else None,
        )


_SEARCH_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["where"],
                    "properties": {
                        "where": {"type": "object", "description": "a condition"},
                        "limit": {"type": "integer", "minimum": 0, "maximum": PAGE_MAX},
                        "cursor": {"type": "string"},
                        "count": {"type": "boolean"},
                    },
                },
                "example": {
                    "where": {"tag": "orders_30d", "op": "gte", "value": 2},
                    "count": True,
                },
            }
        },
    }
}


async def _asked(request: Request) -> Search:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > SEARCH_BYTES_MAX:
            raise HTTPException(413, f"a search has at most {SEARCH_BYTES_MAX} bytes")
    try:
        return _decoder.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(422, f"not a search: {error}") from error


def _asked_of(names: dict[HistoryKind, str | None]) -> tuple[HistoryKind, str]:
    given = [(kind, name) for kind, name in names.items() if name is not None]
    if len(given) != 1:
        raise HTTPException(400, "one of tag, segment and consent is needed")
    return given[0]


def _refuse_sensitive(where: Condition, sensitive: Sensitive) -> None:
    for inner in (*(where.all_ or ()), *(where.any_ or ()), where.not_):
        if inner is not None:
            _refuse_sensitive(inner, sensitive)
    sensitive.refuse_search(trait=where.trait, tag=where.tag)


async def _page(
    population: Population, show: Show, where: Condition, limit: int, cursor: str | None
) -> ProfilePage:
    after = None if cursor is None else person_of(cursor)
    found = await population.select(where, limit=limit + 1, after=after)
    page = found[:limit]
    return ProfilePage(
        profiles=[show(profile) for profile in page],
        next_cursor=cursor_of(page[-1].person) if len(found) > limit else None,
    )


def _segment(id_: str, known: Known | None, people: int, all_: int) -> SegmentOut:
    return SegmentOut(
        id=id_,
        name="" if known is None else known.name,
        core=known is not None and known.core,
        defined=known is not None,
        people=people,
        share=round(people / all_, 6) if all_ else 0.0,
    )
