"""The port to what is asked of all stored people: segments, selections, histories."""

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from services.contracts.conditions import Condition
from services.contracts.profile import Profile
from services.contracts.time import Micros

HISTORY_PAGE_MAX: Final = 500
SHARE_SMALL: Final = 0.05
"""A segment of fewer is hard to learn anything from."""
CORE_MAX: Final = 8
"""More core segments than a team keeps in mind."""

HistoryKind = Literal["tag", "segment", "consent"]


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How many people there are, and how many in each segment that anybody is in."""

    people: int
    segments: dict[str, int]


class Overlap(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """How many people are in both of two segments; `one` sorts before `other`."""

    one: str
    other: str
    people: int


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """From `at` on a tag had this value (None: none); of a segment, whether they were in it."""

    at: Micros
    value: Any


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is defined of a segment, for those who look at its size."""

    id: str
    name: str
    core: bool


class Population(Protocol):
    """All stored people who were not merged into another.

    The adapters pass one conformance suite (tests/profile_store/test_population.py).

    Raises:
        Transient: (all methods) the database is away or busy, or the question takes too long.
    """

    async def sizes(self) -> Sizes:
        """Count people and members."""

    async def overlap(self) -> Sequence[Overlap]:
        """Every two segments that share somebody, in order."""

    async def count(self, where: Condition) -> int:
        """How many people a condition holds for.

        Raises:
            Malformed: `bad_condition`, as `selecting.check_where`.
        """

    async def select(self, where: Condition, *, limit: int, after: str | None) -> list[Profile]:
        """Up to `limit` of them, by person, from the one behind `after` on.

        Raises:
            Malformed: as `count`.
        """

    async def history(
        self, person: str, kind: HistoryKind, name: str, *, limit: int, before: Micros | None
    ) -> list[Point]:
        """What a discrete tag or a segment became of a person, the newest first.

        What stood in their first profile is no change: it is in none of these.
        """

    async def forget(self, before: Micros, limit: int) -> int:
        """Drop up to `limit` changes from before an instant; gives how many."""


def remarks(sizes: Sizes, known: Sequence[Known]) -> list[tuple[str | None, str, str]]:
    """What is worth a look, as (segment or None, code, what to think of), in order of segment."""
    told: list[tuple[str | None, str, str]] = []
    for one in sorted(known, key=lambda one: one.id):
        size = sizes.segments.get(one.id, 0)
        if sizes.people and size < SHARE_SMALL * sizes.people:
            share = 100 * size / sizes.people
            told.append(
                (one.id, "too_small", f"{share:.1f} % of people: under {100 * SHARE_SMALL:.0f} %")
            )
    core = [one.id for one in known if one.core]
    if len(core) > CORE_MAX:
        told.append((None, "too_many_core", f"{len(core)} core segments: past {CORE_MAX}"))
    return told
