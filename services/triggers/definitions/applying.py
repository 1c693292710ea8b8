"""What applying many definitions at once does to each: pure."""

from collections.abc import Sequence
from typing import Literal

from services.contracts.definitions import Trigger
from services.contracts.errors import DefinitionError
from services.contracts.time import Micros
from services.triggers.definitions.transitions import (
    archived,
    beside_draft,
    drafted,
    published,
    same,
    stands_so,
    submitted,
)
from services.triggers.definitions.values import (
    Change,
    Conflict,
    Definition,
    Stored,
    kind_of,
    place_of,
)


def applied(
    standing: Stored | None, definition: Definition, now: Micros
) -> tuple[Stored | None, Change]:
    """What applying makes of a definition; None where nothing changes."""
    before = standing.published if standing is not None and standing.in_force else None
    kind = kind_of(definition)
    stored: Stored | None
    action: Literal["create", "change", "archive", "none"]
    if isinstance(definition, Trigger) and definition.status == "archived":
        stored = archived(standing, now) if standing is not None and before else None
        action, after = ("archive" if stored is not None else "none"), None
    else:
        # A draft is somebody's unfinished work: a file does not throw it away.
        stored = beside_draft(standing, published(standing, definition, now))
        after = stored.published
        action = "create" if before is None else "change"
        if stands_so(standing, stored):
            stored, action = None, "none"
    version = stored.version if stored is not None else standing.version if standing else 0
    return stored, Change(
        kind=kind, id=definition.id, action=action, version=version, before=before, after=after
    )


def proposed(
    standing: Stored | None, definition: Definition, author: str, now: Micros
) -> Stored | None:
    """The definition as a draft in review; None where it is one already.

    Raises:
        Conflict: there is another draft, which is somebody's work; or it would be archived.
    """
    kind = kind_of(definition)
    if isinstance(definition, Trigger) and definition.status == "archived":
        raise Conflict(f"{kind} {definition.id}: archiving is not submitted, DELETE it")
    if standing is not None and standing.draft is not None:
        if not same(definition, standing.draft):
            raise Conflict(f"{kind} {definition.id} has another draft: publish or discard it first")
        if standing.review.submitted is not None:
            return None
    return submitted(drafted(standing, definition, author, now), author, "", now)


def refuse_doubles(definitions: Sequence[Definition]) -> None:
    """Refuse a definition that is given twice.

    Raises:
        DefinitionError: with the place of each.
    """
    seen: set[tuple[str, str]] = set()
    for definition in definitions:
        key = (kind_of(definition), definition.id)
        if key in seen:
            raise DefinitionError([(place_of(*key), "given twice")])
        seen.add(key)
