"""A template as a person would get it."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.contracts.conditions import ID_PATTERN
from services.contracts.definitions import Tag
from services.contracts.errors import Malformed
from services.contracts.templates import Template
from services.runtime.templates import render
from services.triggers.api.access import needs
from services.triggers.api.openapi import shown, struct_body
from services.triggers.api.profiles_client import People
from services.triggers.api.requests import WrongBody, read_struct
from services.triggers.api.resources import ProblemError, answer
from services.triggers.api.template_resources import Preview, PreviewRequest
from services.triggers.definitions.reading import Reading
from services.triggers.definitions.store import PAGE_MAX
from services.triggers.definitions.values import NotFound
from services.triggers.engine.contents import fill, gaps_of

UNSUBSCRIBE_URL: Final = "https://unsubscribe.example/"
"""In place of the address that leads back to us, which only a real send has."""


_EMPTY: Final = {"count": 0, "sum": 0, "distinct": 0, "top_k": []}


def template_routes(reading: Reading, people: People) -> APIRouter:
    """Previews, on a profile of the store or on one made up."""
    router = APIRouter(prefix="/v1/templates", tags=["templates"])

    @router.post(
        "/{id}/preview", summary="Fill a template in for a person",
        responses=shown("Preview"), dependencies=[needs("analyst")],
        openapi_extra=struct_body("PreviewRequest"),
    )  # fmt: skip
    async def preview(
        request: Request, id_: Annotated[str, Path(alias="id", pattern=ID_PATTERN)]
    ) -> Response:
        asked = await read_struct(request, PreviewRequest)
        subjects = await _subjects(asked, people, reading)
        stored = await reading.get("template", id_)
        found = stored.published if asked.published else stored.draft or stored.published
        if not isinstance(found, Template):
            raise NotFound(f"template {id_} has never been published")
        # Filling in is bounded, but not short: nobody else shall wait for it.
        return answer(await asyncio.to_thread(preview_of, found, subjects))

    return router


async def _subjects(asked: PreviewRequest, people: People, reading: Reading) -> dict[str, Any]:
    if (asked.person is None) == (asked.profile is None):
        raise WrongBody([("body", "exactly one of person, profile is needed")])
    if asked.profile is not None:
        traits, tags = asked.profile.traits, asked.profile.tags
    else:
        assert asked.person is not None
        known = await people.profile(asked.person)
        if known is None:
            raise NotFound("nobody is known by this id")
        traits, tags = known.traits, known.tags
    # A send has every tag, and of a profile only those are known that it was made with.
    tags = {**await _empty_tags(reading), **tags}
    return {"event": asked.event, "person": traits, "tags": tags}


async def _empty_tags(reading: Reading) -> dict[str, Any]:
    """Every tag in force, with the value of somebody who did nothing."""
    found: dict[str, Any] = {}
    after = ""
    while stored := await reading.page("tag", status="live", after=after, limit=PAGE_MAX):
        for one in stored:
            assert isinstance(one.published, Tag)
            found[one.id] = _EMPTY.get(one.published.aggregate or "")
        after = stored[-1].id
    return found


def preview_of(template: Template, subjects: Mapping[str, Any]) -> Preview:
    """What the dispatcher would send for a person and an event, part by part."""
    gaps = gaps_of(template)
    alone = [msgspec.structs.replace(gap, fallback=None, required=True) for gap in gaps]
    known = fill(alone, subjects)
    values = fill(gaps, subjects)
    variables = {**subjects, "unsubscribe_url": UNSUBSCRIBE_URL, **values}
    parts: dict[str, str | None] = {}
    problems: list[ProblemError] = []
    for name in ("subject", "body", "html"):
        try:
            source = getattr(template.content, name)
            parts[name] = render(source, variables, html=name == "html")
        except Malformed as error:
            parts[name] = None
            problems.append(ProblemError(place=f"content.{name}", reason=error.message))
    return Preview(
        version=template.version,
        subject=parts["subject"],
        body=parts["body"],
        html=parts["html"],
        variables=values,
        fallbacks=tuple(
            gap.name for gap in gaps if gap.fallback is not None and gap.name not in known
        ),
        problems=tuple(problems),
    )
