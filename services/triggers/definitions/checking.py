"""What would be in force is checked whole, before it is."""

from collections.abc import Callable, Sequence

import msgspec

from services.contracts.definitions import Bundle, Trigger
from services.contracts.errors import DefinitionError
from services.triggers.definitions.store import Reader
from services.triggers.definitions.values import (
    DEFINITIONS_MAX,
    Conflict,
    Definition,
    Stored,
    make_bundle,
    place_of,
)

Checker = Callable[[Bundle], Sequence[tuple[str, str]]]
"""Gives place and reason of all that is wrong with a bundle (`services.triggers.engine.check`)."""


async def refuse_wrong(reader: Reader, check: Checker, changed: Sequence[Stored]) -> None:
    """Check what would be in force with these changed: a change can make its neighbours wrong.

    Raises:
        DefinitionError: with every problem.
        Conflict: more than `DEFINITIONS_MAX` would be in force.
    """
    in_force = {
        (one.kind, one.id): one.published
        for one in await reader.current()
        if one.in_force and one.published is not None
    }
    for one in changed:
        in_force.pop((one.kind, one.id), None)
        if one.in_force and one.published is not None:
            in_force[one.kind, one.id] = one.published
    if len(in_force) > DEFINITIONS_MAX:
        raise Conflict(f"more than {DEFINITIONS_MAX} definitions would be in force")
    revision = (await reader.revision()).revision + 1
    problems = list(check(make_bundle(revision, list(in_force.values()))))
    if problems:
        raise DefinitionError(problems)


async def refuse_wrong_draft(reader: Reader, check: Checker, stored: Stored) -> None:
    """Check a draft against what it may be published with: drafts come before what is in force,
    and problems of other definitions are their own business.

    Raises:
        DefinitionError: with every problem of this one.
    """
    everything = {(one.kind, one.id): _effective(one) for one in [*await reader.current(), stored]}
    revision = (await reader.revision()).revision + 1
    place = place_of(stored.kind, stored.id)
    problems = [
        (at, reason)
        for at, reason in check(
            make_bundle(revision, [one for one in everything.values() if one is not None])
        )
        if at == place or at.startswith((f"{place}.", f"{place}["))
    ]
    if problems:
        raise DefinitionError(problems)


def _effective(stored: Stored) -> Definition | None:
    definition = stored.draft if stored.draft is not None else stored.published
    if isinstance(definition, Trigger) and definition.status == "draft":
        return msgspec.structs.replace(definition, status="live")
    return definition
