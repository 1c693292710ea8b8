"""The profile card: what a marketer reads of a person before writing to them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from pydantic import BaseModel, Field

from services.contracts.profile import Profile
from services.profile_store.decision_api import DecisionOut, decision_out
from services.profile_store.decision_log import DecisionLog
from services.profile_store.defined import Defined
from services.profile_store.limits import TEXT_BYTES_MAX
from services.profile_store.profiles import Profiles, current
from services.profile_store.schemas import ConsentOut, ProfileOut
from services.profile_store.sensitive import Sensitive, Shown
from services.runtime.bearer import require_token

DECISIONS_SHOWN_MAX: Final = 20
_BEHAVIOUR: Final = ("behaviour", "preference", "value")
_PREDICTED: Final = "predicted"


class TagOut(BaseModel):
    """A tag with what marketers call it. `layer` is null where its definition says none."""

    id: str
    name: str
    layer: str | None
    meaning: str
    unit: str | None
    value: Any
    approximate: bool = Field(description="whether the value is an estimate")


class CoreOut(BaseModel):
    """Who it is: ids, traits, basic tags, the states of life cycles, segments."""

    person: str
    user_id: str | None
    anonymous_id: str | None
    traits: dict[str, Any]
    tags: list[TagOut]
    lifecycles: list[TagOut]
    segments: list[str]
    first_seen_at: str
    last_seen_at: str


class ContactsOut(BaseModel):
    """What was sent and what was not, the newest first, and what the person agreed to."""

    messages_accepted: int
    messages_failed: int
    last_message_at: str | None
    decisions: list[DecisionOut] = Field(description="with the reason of each in `details`")
    consents: dict[str, ConsentOut]


class CardOut(BaseModel):
    """The four parts of a card. Tags that the person has no value of are left out."""

    as_of: str
    core: CoreOut
    behaviour: list[TagOut] = Field(description="behaviour, preferences and value")
    predicted: list[TagOut] = Field(description="needs and risks to be expected")
    contacts: ContactsOut


def card_routes(profiles: Profiles, decisions: DecisionLog, defined: Defined) -> APIRouter:
    """The route of the card."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_token)], tags=["profiles"])

    @router.get("/people/{person:path}/card", summary="A person's profile card")
    async def card(
        request: Request,
        show: Shown,
        person: Annotated[str, Path(min_length=1, max_length=TEXT_BYTES_MAX)],
    ) -> CardOut:
        """Core features, behaviour and preferences, predicted needs, contacts and decisions."""
        profile = await current(profiles, person)
        if profile is None or profile.merged_into is not None:
            raise HTTPException(404, "no profile has this id")
        people = list(dict.fromkeys((person, profile.person)))
        found = await decisions.of_people(
            people, trigger=None, limit=DECISIONS_SHOWN_MAX, before=None
        )
        sensitive: Sensitive = request.app.state.sensitive
        recent = [decision_out(sensitive.masked_decision(one)) for _, one in found]
        return card_of(profile, show(profile), recent, defined)

    return router


def card_of(
    profile: Profile, shown: ProfileOut, recent: list[DecisionOut], defined: Defined
) -> CardOut:
    """The card of a profile, which `shown` says as this reader may see it."""
    known = defined.tags()
    tags = [
        _tag(id_, value, known.get(id_, {}), id_ in profile.approximate)
        for id_, value in sorted(shown.tags.items())
        if value is not None and value != []
    ]
    stages = [one for one in tags if defined.is_lifecycle(one.id)]
    others = [one for one in tags if not defined.is_lifecycle(one.id)]
    return CardOut(
        as_of=shown.as_of,
        core=CoreOut(
            person=shown.person,
            user_id=shown.user_id,
            anonymous_id=shown.anonymous_id,
            traits=shown.traits,
            tags=[one for one in others if one.layer not in (*_BEHAVIOUR, _PREDICTED, None)],
            lifecycles=stages,
            segments=shown.segments,
            first_seen_at=shown.first_seen_at,
            last_seen_at=shown.last_seen_at,
        ),
        # What no layer was given for is what the person does: a tag aggregates events.
        behaviour=[one for one in others if one.layer in (*_BEHAVIOUR, None)],
        predicted=[one for one in others if one.layer == _PREDICTED],
        contacts=ContactsOut(
            messages_accepted=shown.messages_accepted,
            messages_failed=shown.messages_failed,
            last_message_at=shown.last_message_at,
            decisions=recent,
            consents=shown.consents,
        ),
    )


def _tag(id_: str, value: Any, definition: Mapping[str, Any], approximate: bool) -> TagOut:
    name = definition.get("name")
    return TagOut(
        id=id_,
        name=name if isinstance(name, str) and name != "unnamed" else id_,
        layer=definition.get("layer"),
        meaning=definition.get("description", ""),
        unit=definition.get("unit"),
        value=value,
        approximate=approximate,
    )
