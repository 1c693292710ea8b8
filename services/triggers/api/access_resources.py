"""What the API takes and answers about reviews, versions, tokens and the audit log."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from starlette.responses import Response

from services.contracts.time import from_micros
from services.triggers.api.resources import Resource, answer, resource_of
from services.triggers.definitions.actors import Role
from services.triggers.definitions.auditing import Action, Entry
from services.triggers.definitions.rows import to_body
from services.triggers.definitions.tokens import (
    TOKEN_DAYS_DEFAULT,
    TOKEN_DAYS_MAX,
    Token,
    TokenUse,
)
from services.triggers.definitions.values import Stored, Version

Note = Annotated[str, Meta(max_length=2000)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A word to the reviewer."""

    note: Note = ""


class ApproveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A word for the audit log."""

    note: Note = ""


class RejectRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why not, for the authors."""

    reason: Annotated[str, Meta(min_length=1, max_length=2000)]


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version whose content shall be in force again."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token for a person, or with `person` false for a program.

    `owner` is who they are: tokens of the same owner are the same person to the two-person
    rule. For people who also come by OIDC it is the id that their issuer gives.
    """

    name: Text
    owner: Text
    role: Role
    person: bool = True
    expires_in_days: Annotated[int, Meta(ge=1, le=TOKEN_DAYS_MAX)] = TOKEN_DAYS_DEFAULT


class TokenResource(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it can be shown: its `prefix` is to recognise it by."""

    id: str
    name: str
    owner: str
    person: bool
    role: Role
    prefix: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token and, this once, its secret."""

    token: TokenResource
    secret: str


class TokenPage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens in order of id; `next_cursor` is null on the last page."""

    items: tuple[TokenResource, ...]
    next_cursor: str | None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when, in which request; the whole of its target before and after.

    `version` and `revision` are those that the change put in force.
    """

    number: int
    at: datetime
    actor_id: str
    actor_name: str
    actor_role: str
    actor_kind: str
    credential: str | None
    request_id: str
    action: Action
    kind: str
    id: str
    version: int | None
    revision: int | None
    note: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the newest first; `next_cursor` is null on the last page."""

    items: tuple[AuditEntry, ...]
    next_cursor: str | None


class VersionResource(msgspec.Struct, frozen=True, kw_only=True):
    """One publication; `definition` is null where it was an archiving, `by` says who."""

    version: int
    revision: int
    published_at: datetime
    by: str | None
    definition: dict[str, Any] | None


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Versions, the newest first; `next_cursor` is null on the last page."""

    items: tuple[VersionResource, ...]
    next_cursor: str | None


class AnyResource(Resource, frozen=True, kw_only=True):
    """A definition of any kind and where it stands."""

    # As JSON: the document cannot show a choice of kinds that no field tells apart.
    draft: dict[str, Any] | None  # type: ignore[assignment]
    published: dict[str, Any] | None  # type: ignore[assignment]


class ReviewPage(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a reviewer, in order of kind and id; `next_cursor` is null on the last."""

    items: tuple[AnyResource, ...]
    next_cursor: str | None


STRUCTS: Final[tuple[type[msgspec.Struct], ...]] = (
    SubmitRequest, ApproveRequest, RejectRequest, RollbackRequest, TokenRequest, TokenResource,
    NewToken, TokenPage, AuditEntry, AuditPage, VersionResource, VersionPage, ReviewPage,
)  # fmt: skip
"""Components of the OpenAPI document."""

T = TypeVar("T")


def page_of(
    found: Sequence[T], limit: int, shown: Callable[[T], object], cursor: Callable[[T], str]
) -> Response:
    """A page; `found` holds one more than `limit` where there is a next one."""
    more = len(found) > limit
    items = [shown(one) for one in found[:limit]]
    return answer({"items": items, "next_cursor": cursor(found[limit - 1]) if more else None})


def answer_reviews(found: Sequence[Stored], limit: int) -> Response:
    """A page of what is in review."""
    return page_of(found, limit, resource_of, lambda one: f"{one.kind}/{one.id}")


def version_of(version: Version) -> VersionResource:
    """How a version is shown."""
    return VersionResource(
        version=version.version,
        revision=version.revision,
        published_at=from_micros(version.published_at),
        by=version.by,
        definition=to_body(version.definition),
    )


def token_of(token: Token, use: TokenUse | None = None) -> TokenResource:
    """How a token is shown."""
    used_at = None if use is None else use.last_used_at
    shown = msgspec.structs.asdict(token)
    for name in ("created_at", "expires_at", "revoked_at"):
        shown[name] = None if shown[name] is None else from_micros(shown[name])
    return TokenResource(**shown, last_used_at=None if used_at is None else from_micros(used_at))


def entry_of(entry: Entry) -> AuditEntry:
    """How an entry of the log is shown."""
    return AuditEntry(**{**msgspec.structs.asdict(entry), "at": from_micros(entry.at)})
