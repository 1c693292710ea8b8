"""What the API answers: definitions with their state, pages, revisions, applied changes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from starlette.responses import Response

from services.contracts.definitions import Kind, Policy, Tag, Trigger, Workspace
from services.contracts.groups import Lifecycle, Segment
from services.contracts.templates import Template
from services.contracts.time import Micros, from_micros
from services.triggers.api.requests import etag
from services.triggers.definitions.values import (
    Applied,
    Definition,
    Review,
    Revision,
    Status,
    Stored,
)


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A definition and where it stands.

    `draft` is what was written since and is not published; `published` is what is in force
    (of an archived one: what was). `version` counts its publications, `revision` is the
    workspace-wide number of the last one. The ETag header is for `If-Match`. `review` is null
    without a draft; `warnings` stand only where one definition is shown, not in lists.
    """

    kind: Kind
    id: str
    status: Status
    version: int
    revision: int | None
    created_at: datetime
    updated_at: datetime
    draft: Definition | None
    published: Definition | None
    review: "ReviewState | None"
    warnings: tuple["ProblemError", ...]


class SubmissionState(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked to have the draft put in force."""

    by: str
    at: datetime
    note: str


class RejectionState(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent the draft back, and why."""

    by: str
    at: datetime
    reason: str


class ReviewState(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote of the draft, and whether it is in review or was sent back."""

    authors: tuple[str, ...]
    submitted: SubmissionState | None
    rejected: RejectionState | None


class TriggerResource(Resource, frozen=True, kw_only=True):
    """A trigger and where it stands."""

    draft: Trigger | None
    published: Trigger | None


class TagResource(Resource, frozen=True, kw_only=True):
    """A tag and where it stands."""

    draft: Tag | None
    published: Tag | None


class PolicyResource(Resource, frozen=True, kw_only=True):
    """A frequency cap and where it stands."""

    draft: Policy | None
    published: Policy | None


class SegmentResource(Resource, frozen=True, kw_only=True):
    """A segment and where it stands."""

    draft: Segment | None
    published: Segment | None


class LifecycleResource(Resource, frozen=True, kw_only=True):
    """A life cycle and where it stands."""

    draft: Lifecycle | None
    published: Lifecycle | None


class TemplateResource(Resource, frozen=True, kw_only=True):
    """A template and where it stands."""

    draft: Template | None
    published: Template | None


class WorkspaceResource(Resource, frozen=True, kw_only=True):
    """The workspace's settings and where they stand."""

    draft: Workspace | None
    published: Workspace | None


class TriggerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Triggers in order of id; `next_cursor` is null on the last page."""

    items: tuple[TriggerResource, ...]
    next_cursor: str | None


class TagPage(msgspec.Struct, frozen=True, kw_only=True):
    """Tags in order of id; `next_cursor` is null on the last page."""

    items: tuple[TagResource, ...]
    next_cursor: str | None


class PolicyPage(msgspec.Struct, frozen=True, kw_only=True):
    """Policies in order of id; `next_cursor` is null on the last page."""

    items: tuple[PolicyResource, ...]
    next_cursor: str | None


class SegmentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Segments in order of id; `next_cursor` is null on the last page."""

    items: tuple[SegmentResource, ...]
    next_cursor: str | None


class LifecyclePage(msgspec.Struct, frozen=True, kw_only=True):
    """Life cycles in order of id; `next_cursor` is null on the last page."""

    items: tuple[LifecycleResource, ...]
    next_cursor: str | None


class TemplatePage(msgspec.Struct, frozen=True, kw_only=True):
    """Templates in order of id; `next_cursor` is null on the last page."""

    items: tuple[TemplateResource, ...]
    next_cursor: str | None


class RevisionState(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revision, and how many have not reached Kafka yet.

    `relay_problem` says why the relay of this process cannot work, null while it can.
    """

    revision: int
    published_at: datetime | None
    pending: int
    relay_problem: str | None


class AppliedChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became (or would become) of one definition, from `before` to `after` (null: none in
    force).
    """

    kind: Kind
    id: str
    action: Literal["create", "change", "archive", "none"]
    version: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ProblemError(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, or worth another look, and where."""

    place: str
    reason: str


class ApplyResult(msgspec.Struct, frozen=True, kw_only=True):
    """`revision` is null where nothing changed or it was a dry run.

    `warnings` are of the triggers that changed: right, and yet worth another look.
    """

    revision: int | None
    changes: tuple[AppliedChange, ...]
    warnings: tuple[ProblemError, ...]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457; `code` is for programs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[ProblemError, ...] = ()


def resource_of(stored: Stored, told: Sequence[tuple[str, str]] = ()) -> Resource:
    """How a definition is shown, with the warnings `told`."""
    return Resource(
        kind=stored.kind,
        id=stored.id,
        status=stored.status,
        version=stored.version,
        revision=stored.revision or None,
        created_at=from_micros(stored.created_at),
        updated_at=from_micros(stored.updated_at),
        draft=stored.draft,
        published=stored.published,
        review=None if stored.draft is None else _review_of(stored.review),
        warnings=tuple(ProblemError(place=place, reason=reason) for place, reason in told),
    )


def _review_of(review: Review) -> ReviewState:
    asked, said = review.submitted, review.rejected
    submitted, rejected = None, None
    if asked is not None:
        submitted = SubmissionState(by=asked.by, at=from_micros(asked.at), note=asked.note)
    if said is not None:
        rejected = RejectionState(by=said.by, at=from_micros(said.at), reason=said.reason)
    return ReviewState(authors=review.authors, submitted=submitted, rejected=rejected)


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON by msgspec."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def answer_stored(
    stored: Stored,
    status: int = 200,
    location: str | None = None,
    told: Sequence[tuple[str, str]] = (),
) -> Response:
    """One definition, with its ETag."""
    headers = {"ETag": etag(stored.edit)}
    if location is not None:
        headers["Location"] = location
    return answer(resource_of(stored, told), status, headers)


def answer_page(stored: Sequence[Stored], limit: int) -> Response:
    """A page; `stored` holds one more than `limit` where there is a next one."""
    more = len(stored) > limit
    return answer(
        {
            "items": [resource_of(one) for one in stored[:limit]],
            "next_cursor": stored[limit - 1].id if more else None,
        }
    )


def answer_revision(revision: Revision, relay_problem: str | None) -> Response:
    """The state of publishing."""
    at: Micros | None = revision.published_at
    return answer(
        RevisionState(
            revision=revision.revision,
            published_at=None if at is None else from_micros(at),
            pending=revision.pending,
            relay_problem=relay_problem,
        )
    )


def answer_applied(applied: Applied, told: Sequence[tuple[str, str]]) -> Response:
    """What applying did, and what to think of."""
    return answer(
        {
            "revision": applied.revision,
            "changes": applied.changes,
            "warnings": [ProblemError(place=place, reason=reason) for place, reason in told],
        }
    )
