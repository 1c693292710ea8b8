"""What becomes of a definition by each thing that may be done to it: pure."""

from typing import Any, cast

import msgspec

from services.contracts.definitions import Trigger, Workspace
from services.contracts.time import Micros
from services.triggers.definitions.values import (
    AUTHORS_MAX,
    Conflict,
    Definition,
    Rejection,
    Review,
    Status,
    Stored,
    Submission,
    kind_of,
)


def drafted(standing: Stored | None, definition: Definition, author: str, now: Micros) -> Stored:
    """`definition` written as the draft: what was in review is a draft again.

    Raises:
        Conflict: more than `AUTHORS_MAX` have written of it.
    """
    if standing is None:
        return Stored(
            kind=kind_of(definition), id=definition.id, status="draft", created_at=now,
            updated_at=now, draft=definition, review=Review(authors=(author,)),
        )  # fmt: skip
    authors = standing.review.authors if standing.draft is not None else ()
    if author not in authors:
        authors = (*authors, author)
    if len(authors) > AUTHORS_MAX:
        raise Conflict(f"more than {AUTHORS_MAX} have written this draft: publish or discard it")
    status = standing.status
    if status == "in_review" or (status == "archived" and not standing.version):
        status = "draft"
    return msgspec.structs.replace(
        standing,
        status=status,
        draft=definition,
        review=Review(authors=authors, rejected=standing.review.rejected),
        updated_at=now,
    )


def discarded(standing: Stored, now: Micros) -> Stored:
    """Without its draft; one that was never published leaves the list."""
    status: Status = standing.status if standing.version else "archived"
    return msgspec.structs.replace(
        standing, status=status, draft=None, review=Review(), updated_at=now
    )


def submitted(standing: Stored, by: str, note: str, now: Micros) -> Stored:
    """In review."""
    return msgspec.structs.replace(
        standing,
        status="in_review" if standing.status == "draft" else standing.status,
        review=Review(
            authors=standing.review.authors, submitted=Submission(by=by, at=now, note=note)
        ),
        updated_at=now,
    )


def returned(standing: Stored, rejected: Rejection | None, now: Micros) -> Stored:
    """A draft again: withdrawn, or rejected."""
    return msgspec.structs.replace(
        standing,
        status="draft" if standing.status == "in_review" else standing.status,
        review=Review(authors=standing.review.authors, rejected=rejected),
        updated_at=now,
    )


def published(standing: Stored | None, definition: Definition, now: Micros) -> Stored:
    """In force as the next version; the draft and its review are done with."""
    version = 1 if standing is None else standing.version + 1
    status: Status = "live"
    if isinstance(definition, Trigger):
        if definition.status == "draft":
            kept = standing is not None and standing.status == "paused"
            definition = msgspec.structs.replace(definition, status="paused" if kept else "live")
        status = cast("Status", definition.status)
    if isinstance(definition, Workspace):
        definition = with_stops_of(None if standing is None else standing.published, definition)
    return Stored(
        kind=kind_of(definition),
        id=definition.id,
        status=status,
        version=version,
        revision=0 if standing is None else standing.revision,
        edit=0 if standing is None else standing.edit,
        published=msgspec.structs.replace(definition, version=version),
        created_at=now if standing is None else standing.created_at,
        updated_at=now,
    )


def with_stops_of(standing: Definition | None, workspace: Workspace) -> Workspace:
    """The workspace with the stops that hold: no edit, file or older version takes them away."""
    held = standing if isinstance(standing, Workspace) else Workspace()
    return msgspec.structs.replace(
        workspace, stopped=held.stopped, stopped_channels=held.stopped_channels
    )


def beside_draft(standing: Stored | None, changed: Stored) -> Stored:
    """`changed`, with the unfinished draft of `standing` and how far it is."""
    if standing is None:
        return changed
    return msgspec.structs.replace(changed, draft=standing.draft, review=standing.review)


def archived(standing: Stored, now: Micros) -> Stored:
    """Out of force, which is a version too."""
    return msgspec.structs.replace(
        standing, status="archived", version=standing.version + 1, draft=None, review=Review(),
        updated_at=now,
    )  # fmt: skip


def same(one: Definition, other: Definition | None) -> bool:
    """Whether they say the same, whatever their versions.

    By kind and value: to Python 1 equals true, to a condition it does not. What is left out and
    what is given as it would be anyway are alike.
    """
    return other is not None and _alike(
        msgspec.structs.replace(one, version=0), msgspec.structs.replace(other, version=0)
    )


def _alike(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, msgspec.Struct):
        names = one.__struct_fields__
        return all(_alike(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


def stands_so(standing: Stored | None, changed: Stored) -> bool:
    """Whether `changed` would put in force what is in force already."""
    return (
        standing is not None
        and standing.in_force
        and changed.published is not None
        and same(changed.published, standing.published)
    )
