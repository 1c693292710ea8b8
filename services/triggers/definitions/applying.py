"""What applying many definitions at once does to each: pure."""

from collections.abc import Sequence
from typing import Literal

from services.contracts.definitions import Trigger
from services.contracts.errors import DefinitionError
from services.contracts.time import Micros
from services.triggers.definitions.transitions import archived, beside_draft, published, stands_so
from services.triggers.definitions.values import Change, Definition, Stored, kind_of, place_of


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


def refuse_doubles(definitions: Sequence[Definition]) -> None:
    seen: set[tuple[str, str]] = set()
    for definition in definitions:
        key = (kind_of(definition), definition.id)
        if key in seen:
            raise DefinitionError([(place_of(*key), "given twice")])
        seen.add(key)
