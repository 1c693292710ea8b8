"""What a preview of a template takes and answers."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from services.contracts.event import PERSON_CHARS_MAX
from services.triggers.api.resources import ProblemError

Person = Annotated[str, Meta(min_length=1, max_length=PERSON_CHARS_MAX, pattern="^[^\x00]*$")]


class ProfileGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person made up for a preview."""

    traits: dict[str, Any] = {}
    tags: dict[str, Any] = {}


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom to fill a template in: a `person` whom the profile store knows, or a `profile`.

    `event` are the properties of the entry's event. The draft is shown where there is one,
    unless `published` asks for what is in force.
    """

    person: Person | None = None
    profile: ProfileGiven | None = None
    event: dict[str, Any] = {}
    published: bool = False


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A template as it would be sent. A part that would fail is null, and `problems` say why.

    `variables` are the values of the template's variables, `fallbacks` names those for which
    theirs stood in. `version` is that of the template shown, 0 of a draft.
    """

    version: int
    subject: str | None
    body: str | None
    html: str | None
    variables: dict[str, Any]
    fallbacks: tuple[str, ...]
    problems: tuple[ProblemError, ...]


STRUCTS: Final = (PreviewRequest, Preview)

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "PreviewRequest": {
        "profile": {"traits": {"city": "Berlin"}, "tags": {"orders_30d": 2}},
        "event": {"order_id": "o-17"},
    },
    "Preview": {
        "version": 1,
        "subject": "Thank you, dear customer",
        "body": "Order o-17 is packed. It is your number 2.",
        "html": "",
        "variables": {"first_name": "dear customer", "order_id": "o-17"},
        "fallbacks": ["first_name"],
        "problems": [],
    },
}
