"""What would be in force is checked whole, before it is."""

from collections.abc import Callable, Sequence

import msgspec

from services.contracts.definitions import Bundle, Trigger
from services.contracts.errors import DefinitionError
from services.triggers.definitions.store import Reader
from services.triggers.definitions.values import (
    DEFINITIONS_MAX,
    UNNAMED,
    Conflict,
    Definition,
    Stored,
    Taken,
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


async def refuse_taken(reader: Reader, changes: Sequence[tuple[Stored | None, Stored]]) -> None:
    """Refuse a name, new to its definition, that another one of the kind has already.

    Raises:
        Taken: with the place of each; case and blanks around it make no other name.
    """
    changed = {(after.kind, after.id) for _, after in changes}
    owners = {
        (one.kind, name): one.id
        for one in await reader.current()
        if (one.kind, one.id) not in changed
        for name in names_of(one)
    }
    problems: list[tuple[str, str]] = []
    for before, after in changes:
        kept = names_of(before) if before is not None else set()
        for name in sorted(names_of(after)):
            owner = owners.setdefault((after.kind, name), after.id)
            if owner != after.id and name not in kept:
                place = f"{place_of(after.kind, after.id)}.name"
                problems.append((place, f"{after.kind} {owner} has this name already"))
    if problems:
        raise Taken(problems)


def names_of(stored: Stored) -> set[str]:
    """The names it has, or would have once published; without those that say nothing."""
    if stored.status == "archived" and stored.draft is None:
        return set()
    in_force = stored.published if stored.in_force else None
    found = {one.name.strip().casefold() for one in (stored.draft, in_force) if one is not None}
    return found - {UNNAMED, ""}


def _effective(stored: Stored) -> Definition | None:
    definition = stored.draft if stored.draft is not None else stored.published
    if isinstance(definition, Trigger) and definition.status == "draft":
        return msgspec.structs.replace(definition, status="live")
    return definition
