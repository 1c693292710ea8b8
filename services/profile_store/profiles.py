"""The port to stored profiles, and what is asked of it."""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec

from services.contracts.profile import Profile

PAGE_MAX: Final = 500
MERGES_FOLLOWED_MAX: Final = 8
"""Merges from one person into the next; no log makes many, and a ring has to end."""

TagOp = Literal["eq", "gte", "lte"]


class TagFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A tag compared with a value.

    `eq` holds for any of `values` (numbers compare by value, so 5 equals 5.0); `gte` and
    `lte` compare numbers, with the only one of `values`. A profile without the tag, or with
    another type in it, does not match.
    """

    tag: str
    op: TagOp
    values: tuple[str | int | float | bool | None, ...]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: rows written, and snapshots a newer one stood before."""

    written: int
    stale: int


class Profiles(Protocol):
    """Stored profiles, one a person: the newest by `(as_of, source_offset)`.

    The adapters pass one conformance suite (tests/profile_store/test_profiles.py).
    """

    async def put(self, batch: Sequence[Profile]) -> Written:
        """Store each snapshot unless the stored one is as new or newer; all or nothing.

        The batch may hold several snapshots of a person, in any order. Putting it again
        changes nothing.

        Raises:
            Malformed: `unstorable`, something in the batch cannot be stored; nothing was.
            Transient: the database is away or busy; whether it was stored is unknown.
        """

    async def get(self, id_: str) -> Profile | None:
        """The profile of this person, else the newest one with this anonymous id.

        Of somebody who was merged into another this is the row that says so: see `current`.

        Raises:
            Transient: the database is away or busy.
        """

    async def find(self, where: TagFilter, *, limit: int, after: str | None) -> list[Profile]:
        """Up to `limit` profiles that match, by person, from the one behind `after` on.

        The order is the same in every call and no other order is promised.

        Raises:
            Transient: the database is away or busy.
        """


async def current(profiles: Profiles, id_: str) -> Profile | None:
    """The profile behind an id, whoever that was merged into.

    None where nobody has the id. Two merges at once, or a profile that is still on its way,
    can for a moment lead to nobody too: then the last row that was found is the answer, and
    its `merged_into` says where it leads.

    Raises:
        Transient: the database is away or busy.
    """
    found = await profiles.get(id_)
    for _ in range(MERGES_FOLLOWED_MAX):
        if found is None or found.merged_into is None:
            break
        into = await profiles.get(found.merged_into)
        if into is None:
            break
        found = into
    return found


def newest(batch: Sequence[Profile]) -> list[Profile]:
    """One snapshot a person, the newest, in the order of person.

    Writers that take rows in the same order cannot wait for each other in a ring.
    """
    best: dict[str, Profile] = {}
    for profile in batch:
        known = best.get(profile.person)
        if known is None or _age(profile) > _age(known):
            best[profile.person] = profile
    return [best[person] for person in sorted(best)]


def _age(profile: Profile) -> tuple[int, int]:
    return profile.as_of, profile.source_offset
