"""What was decided of a person, and how often: the read API of the decision log."""

from base64 import b64decode, urlsafe_b64encode
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, Field

from services.contracts.conditions import ID_PATTERN
from services.contracts.decision import Decision
from services.contracts.errors import Malformed
from services.contracts.time import DAY, Micros, from_micros
from services.contracts.timestamp import parse_timestamp
from services.profile_store.decision_log import (
    COUNTS_MAX,
    DECISIONS_PAGE_MAX,
    DIGEST_BYTES,
    Count,
    DecisionLog,
    Place,
    hour_of,
)
from services.profile_store.limits import MICROS_MAX, TEXT_BYTES_MAX
from services.profile_store.profiles import Profiles, current
from services.profile_store.sensitive import Sensitive
from services.runtime.bearer import require_token

COUNTS_SPAN_MAX: Final = 92 * DAY
_CURSOR_CHARS_MAX: Final = 64


class DecisionOut(BaseModel):
    """One decision. `at` is engine time, RFC 3339; `now` the same in microseconds."""

    person: str
    trigger: str
    trigger_version: int
    step: int
    outcome: str
    event_id: str
    at: str = Field(examples=["2026-03-01T12:00:00.000000Z"])
    now: int
    revision: int
    run_id: str | None
    send_id: str | None
    details: dict[str, Any]


class DecisionPage(BaseModel):
    """A person's decisions, the newest first, and where to go on."""

    decisions: list[DecisionOut]
    next_cursor: str | None = Field(description="for the next page; null on the last")


class CountOut(BaseModel):
    """Decisions of one outcome and reason in one hour; `put_off`: each was decided again later."""

    hour: str = Field(examples=["2026-03-01T12:00:00Z"])
    trigger: str
    version: int
    outcome: str
    reason: str
    put_off: bool
    decisions: int


class Counts(BaseModel):
    """Counts by the hour. `more`: there are so many that not all of them are here."""

    counts: list[CountOut]
    more: bool


def decision_routes(decisions: DecisionLog, profiles: Profiles) -> APIRouter:
    """Routes over the log; `profiles` know who is whom after a merge."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_token)], tags=["decisions"])

    @router.get("/people/{person:path}/decisions", summary="What was decided of a person")
    async def decisions_of_person(
        request: Request,
        person: Annotated[str, Path(min_length=1, max_length=TEXT_BYTES_MAX)],
        trigger: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        limit: Annotated[int, Query(ge=1, le=DECISIONS_PAGE_MAX)] = 50,
        cursor: Annotated[str | None, Query(max_length=_CURSOR_CHARS_MAX)] = None,
    ) -> DecisionPage:
        """The newest first; under the id asked for, and that of whom it was merged into.

        What a clause found that is sensitive is masked.
        """
        sensitive: Sensitive = request.app.state.sensitive
        people = [person]
        merged = await current(profiles, person)
        if merged is not None and merged.person != person:
            people.append(merged.person)
        before = None if cursor is None else _place_of(cursor)
        found = await decisions.of_people(people, trigger=trigger, limit=limit + 1, before=before)
        page = found[:limit]
        return DecisionPage(
            decisions=[decision_out(sensitive.masked_decision(one)) for _, one in page],
            next_cursor=_cursor_of(page[-1][0]) if len(found) > limit else None,
        )

    @router.get("/decision-counts", summary="Decisions by outcome and reason, by the hour")
    async def decision_counts(
        trigger: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        from_: Annotated[str | None, Query(alias="from", description="ISO 8601")] = None,
        to: Annotated[str | None, Query(description="ISO 8601; left out: for ever")] = None,
    ) -> Counts:
        """Of the hours that begin in `[from, to)`, each decision counted once; at most 92 days."""
        end = None if to is None else _instant(to, "to")
        begin = None if from_ is None else hour_of(_instant(from_, "from"))
        begin, end = _span(begin, end)
        found = await decisions.counts(trigger=trigger, from_=begin, to=end)
        counts = [_count(one) for one in found]
        return Counts(counts=counts, more=len(counts) == COUNTS_MAX)

    return router


def _span(begin: Micros | None, end: Micros | None) -> tuple[Micros, Micros]:
    if begin is None and end is None:
        return 0, MICROS_MAX  # the newest there are, whatever the clock of the log says
    if begin is None:
        assert end is not None
        begin = max(0, end - COUNTS_SPAN_MAX)
    if end is None:
        end = begin + COUNTS_SPAN_MAX
    if not begin < end <= begin + COUNTS_SPAN_MAX:
        raise HTTPException(400, "from has to be before to, by 92 days at most")
    return begin, end


def _instant(text: str, name: str) -> Micros:
    try:
        return parse_timestamp(text)
    except Malformed as error:
        raise HTTPException(400, f"{name}: {error.message}") from error


def decision_out(decision: Decision) -> DecisionOut:
    """How a decision is shown."""
    fields = msgspec.structs.asdict(decision)
    del fields["v"]
    return DecisionOut(**fields, at=_written(decision.now))


def _count(one: Count) -> CountOut:
    fields = msgspec.structs.asdict(one)
    fields["hour"] = from_micros(one.hour).isoformat().replace("+00:00", "Z")
    return CountOut(**fields)


def _written(at: Micros) -> str:
    return from_micros(at).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _cursor_of(place: Place) -> str:
    return urlsafe_b64encode(place.digest + place.now.to_bytes(8, "big", signed=True)).decode()


def _place_of(cursor: str) -> Place:
    try:
        data = b64decode(cursor.encode(), altchars=b"-_", validate=True)
    except ValueError as error:
        raise HTTPException(400, "cursor is not one that a page gave") from error
    if len(data) != DIGEST_BYTES + 8:
        raise HTTPException(400, "cursor is not one that a page gave")
    now = int.from_bytes(data[DIGEST_BYTES:], "big", signed=True)
    return Place(now=now, digest=data[:DIGEST_BYTES])
