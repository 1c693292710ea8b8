"""The read API of profiles."""

import math
from base64 import b64decode, urlsafe_b64encode
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response

from services.contracts.conditions import ID_PATTERN
from services.profile_store.profiles import PAGE_MAX, Profiles, TagFilter, TagOp, current
from services.profile_store.schemas import ProfileOut, ProfilePage
from services.profile_store.sensitive import Sensitive, Shown
from services.runtime.bearer import BearerTokens, require_token
from services.runtime.health import Health, health_routes
from services.runtime.metrics import Metrics
from services.runtime.problems import install_problems

VALUE_CHARS_MAX: Final = 1_000
CURSOR_CHARS_MAX: Final = 4_096

router = APIRouter(prefix="/v1/profiles", dependencies=[Depends(require_token)])


async def _profiles(request: Request) -> Profiles:
    profiles: Profiles = request.app.state.profiles
    return profiles


Store = Annotated[Profiles, Depends(_profiles)]


@router.get("", summary="Profiles by the value of a tag")
async def find_profiles(
    request: Request,
    store: Store,
    show: Shown,
    tag: Annotated[str, Query(pattern=ID_PATTERN)],
    value: Annotated[str, Query(max_length=VALUE_CHARS_MAX)],
    op: TagOp = "eq",
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: Annotated[str | None, Query(max_length=CURSOR_CHARS_MAX)] = None,
) -> ProfilePage:
    """Profiles whose tag compares with the value, by person; `gte` and `lte` take numbers.

    A value that reads as a JSON number, boolean or null matches that and the same text. A
    page shows each profile as it is when the page is asked for.
    """
    request.app.state.sensitive.refuse_search(tag=tag)
    where = TagFilter(tag=tag, op=op, values=_values(op, value))
    after = None if cursor is None else person_of(cursor)
    found = await store.find(where, limit=limit + 1, after=after)
    page = found[:limit]
    return ProfilePage(
        profiles=[show(profile) for profile in page],
        next_cursor=cursor_of(page[-1].person) if len(found) > limit else None,
    )


# `path`: an id may hold slashes.
@router.get("/{user_id:path}", summary="One profile", response_model=ProfileOut)
async def read_profile(store: Store, show: Shown, user_id: str) -> Response:
    """The profile of a user id, or of an anonymous id (its newest profile).

    The id of somebody who was merged into another person gives that person's profile, under
    their id. While that is still on its way here the answer is 404.
    """
    profile = await current(store, user_id)
    if profile is None:
        raise HTTPException(404, "no profile has this id")
    if profile.merged_into is not None:
        raise HTTPException(404, "merged into a person whose profile is not here yet")
    # Written here: what is right by construction need not be checked once more.
    return Response(show(profile).model_dump_json(), media_type="application/json")


def make_app(
    profiles: Profiles,
    tokens: BearerTokens,
    metrics: Metrics,
    health: Health,
    *routers: APIRouter,
    sensitive: Sensitive | None = None,
) -> FastAPI:
    """The application with everything it needs; `routers` are those of the other parts.

    Without `sensitive` the usual traits are masked, for everybody.
    """
    app = FastAPI(title="cuestream profile store", version="1", docs_url=None, redoc_url=None)
    app.state.profiles = profiles
    app.state.tokens = tokens
    app.state.sensitive = Sensitive() if sensitive is None else sensitive
    app.include_router(router)
    for further in routers:
        app.include_router(further)
    app.router.routes.extend(health_routes(metrics, health))
    install_problems(app)
    return app


def _values(op: TagOp, text: str) -> tuple[str | int | float | bool | None, ...]:
    parsed = _scalar(text)
    if op == "eq":
        return (text,) if isinstance(parsed, str) else (parsed, text)
    if isinstance(parsed, bool) or not isinstance(parsed, int | float):
        raise HTTPException(400, f"{op} compares numbers: value is none")
    return (parsed,)


def _scalar(text: str) -> str | int | float | bool | None:
    """What the text is as a JSON scalar, else the text itself."""
    try:
        parsed = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    if isinstance(parsed, float) and not math.isfinite(parsed):
        return text
    return parsed if parsed is None or isinstance(parsed, int | float) else text


def cursor_of(person: str) -> str:
    """Where a page behind this person goes on."""
    return urlsafe_b64encode(person.encode()).decode()


def person_of(cursor: str) -> str:
    """The person whom a page ended with; 400 for what no page gave."""
    try:
        return b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise HTTPException(400, "cursor is not one that a page gave") from error
