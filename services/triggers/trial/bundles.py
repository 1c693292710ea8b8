"""The definitions of a trial: what is in force, and that with drafts among it."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from services.contracts.definitions import Bundle, Kind, Trigger
from services.contracts.errors import DefinitionError
from services.triggers.definitions.checking import Checker
from services.triggers.definitions.values import Definition, NotFound, Stored, make_bundle

_COME_ALONG: Final[frozenset[Kind]] = frozenset({"tag", "segment", "lifecycle", "template"})
"""Kinds whose drafts come along where nothing of theirs is in force yet: drafts refer to them."""


def in_force(current: Sequence[Stored], revision: int) -> Bundle:
    """The bundle that workers decide under."""
    return make_bundle(revision, [one.published for one in current if _is_published(one)])  # type: ignore[misc]


def with_drafts(
    current: Sequence[Stored], triggers: Collection[str], revision: int, check: Checker
) -> Bundle:
    """The same, and these triggers as their drafts say (or as they are), live.

    Raises:
        NotFound: there is no such trigger.
        DefinitionError: that would not be right.
    """
    together: dict[tuple[str, str], Definition] = {}
    for one in current:
        if one.published is not None and _is_published(one):
            together[one.kind, one.id] = one.published
        elif one.draft is not None and one.kind in _COME_ALONG:
            together[one.kind, one.id] = one.draft
    known = {one.id: one for one in current if one.kind == "trigger"}
    for id_ in triggers:
        if id_ not in known:
            raise NotFound(f"there is no trigger {id_}")
        together["trigger", id_] = live(known[id_])
    bundle = make_bundle(revision, list(together.values()))
    problems = list(check(bundle))
    if problems:
        raise DefinitionError(problems)
    return bundle


def live(stored: Stored) -> Trigger:
    """A trigger as its draft says, or as it is, taken for live, under the version it would get."""
    trigger = stored.draft or stored.published
    assert isinstance(trigger, Trigger)
    version = stored.version + (stored.draft is not None)
    return msgspec.structs.replace(trigger, status="live", version=max(1, version))


def _is_published(stored: Stored) -> bool:
    return stored.in_force and stored.published is not None
