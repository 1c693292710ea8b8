"""`Population` in memory, over `MemoryProfiles`: the fake behind fast tests."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from services.contracts.conditions import Condition
from services.contracts.profile import Profile
from services.contracts.time import Micros
from services.profile_store.memory import MemoryProfiles
from services.profile_store.population import HistoryKind, Overlap, Point, Sizes
from services.profile_store.selecting import check_where


class MemoryPopulation:
    """See the port."""

    def __init__(self, profiles: MemoryProfiles) -> None:
        self._profiles = profiles

    async def sizes(self) -> Sizes:
        """See the port."""
        people = self._people()
        return Sizes(
            people=len(people), segments=Counter(name for one in people for name in one.segments)
        )

    async def overlap(self) -> Sequence[Overlap]:
        """See the port."""
        both = Counter(
            pair for one in self._people() for pair in combinations(sorted(one.segments), 2)
        )
        return sorted(Overlap(one=one, other=other, people=n) for (one, other), n in both.items())

    async def count(self, where: Condition) -> int:
        """See the port."""
        return len(await self.select(where, limit=len(self._profiles.stored) + 1, after=None))

    async def select(self, where: Condition, *, limit: int, after: str | None) -> list[Profile]:
        """See the port."""
        check_where(where)
        found = [one for one in self._people() if (after or "") < one.person or after is None]
        return [one for one in found if _holds(where, one)][:limit]

    async def history(
        self, person: str, kind: HistoryKind, name: str, *, limit: int, before: Micros | None
    ) -> list[Point]:
        """See the port."""
        points = [
            Point(at=at, value=value)
            for (who, what, which, at), value in self._profiles.history.items()
            if (who, what, which) == (person, kind, name) and (before is None or at < before)
        ]
        return sorted(points, key=lambda one: -one.at)[:limit]

    async def forget(self, before: Micros, limit: int) -> int:
        """See the port."""
        old = [key for key in self._profiles.history if key[3] < before][:limit]
        for key in old:
            del self._profiles.history[key]
        return len(old)

    def _people(self) -> list[Profile]:
        stored = self._profiles.stored
        return [stored[one] for one in sorted(stored) if stored[one].merged_into is None]


def _holds(where: Condition, profile: Profile) -> bool:
    if where.all_ is not None:
        return all(_holds(part, profile) for part in where.all_)
    if where.any_ is not None:
        return any(_holds(part, profile) for part in where.any_)
    if where.not_ is not None:
        return not _holds(where.not_, profile)
    if where.segment is not None:
        return where.segment in profile.segments
    if where.tag is not None:
        value = profile.tags.get(where.tag)
    else:
        value = _lookup(profile.traits, where.trait or "")
    op, wanted = where.op or "exists", where.value
    if value is None:
        return op in ("ne", "not_in", "not_exists")
    return _TESTS[op](value, wanted)


def _lookup(traits: Mapping[str, Any], path: str) -> Any:
    found: Any = traits.get(path)
    if found is not None:
        return found
    found = traits
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"


def _same(one: Any, other: Any) -> bool:
    return _kind(one) == _kind(other) != "other" and bool(one == other)


def _compared(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda one, other: _kind(one) == _kind(other) in ("text", "number") and test(one, other)


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, list):
        return any(_same(one, wanted) for one in value)
    return isinstance(value, str) and isinstance(wanted, str) and wanted in value


_TESTS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": _same,
    "ne": lambda one, other: not _same(one, other),
    "in": lambda one, several: any(_same(one, other) for other in several),
    "not_in": lambda one, several: not any(_same(one, other) for other in several),
    "gt": _compared(lambda one, other: one > other),
    "gte": _compared(lambda one, other: one >= other),
    "lt": _compared(lambda one, other: one < other),
    "lte": _compared(lambda one, other: one <= other),
    "contains": _contains,
    "starts_with": lambda one, other: isinstance(one, str) and one.startswith(other),
    "exists": lambda one, other: True,
    "not_exists": lambda one, other: False,
}
