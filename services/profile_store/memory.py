"""Profiles in memory: the fake behind fast tests."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.contracts.errors import Malformed
from services.contracts.profile import Profile
from services.contracts.time import HOUR, Micros
from services.profile_store.limits import problem_of
from services.profile_store.profiles import TagFilter, Written, newest


class MemoryProfiles:
    """Keeps profiles in a dict. `failing` makes the next calls raise what stands in it.

    `history` holds what has become of the `discrete` tags and of the segments, by person,
    kind, name and instant; `tag_changes` when each tag was first and last noticed to change.
    """

    def __init__(self, discrete: Callable[[], Sequence[str]] = tuple) -> None:
        self.stored: dict[str, Profile] = {}
        self.history: dict[tuple[str, str, str, Micros], Any] = {}
        self.tag_changes: dict[str, tuple[Micros, Micros]] = {}
        self._discrete = discrete
        self.failing: list[Exception] = []

    async def put(self, batch: Sequence[Profile]) -> Written:
        """See the port."""
        self._fail()
        for profile in batch:
            problem = problem_of(profile)
            if problem is not None:
                raise Malformed("unstorable", problem)
        written = 0
        for profile in newest(batch):
            known = self.stored.get(profile.person)
            age = (profile.as_of, profile.source_offset)
            if known is None or age > (known.as_of, known.source_offset):
                self.stored[profile.person] = profile
                written += 1
                if profile.merged_into is None:
                    self._notice(known, profile)
                for name, proof in profile.consents.items():
                    if known is None or known.consents.get(name) != proof:
                        key = profile.person, "consent", name, profile.as_of
                        self.history[key] = msgspec.to_builtins(proof)
                if known is not None and profile.merged_into is None:
                    self._remember(known, profile)
        return Written(written=written, stale=len(batch) - written)

    def _notice(self, known: Profile | None, profile: Profile) -> None:
        for tag, value in profile.tags.items():
            changed = not _equal(value, 0) and value not in (None, [])
            if known is not None:
                changed = not _equal(known.tags.get(tag), value)
            since, last = self.tag_changes.get(tag, (profile.as_of, profile.as_of - HOUR))
            if changed and last <= profile.as_of - HOUR:
                self.tag_changes[tag] = (since, profile.as_of)

    def _remember(self, known: Profile, profile: Profile) -> None:
        for tag in self._discrete():
            before, value = known.tags.get(tag), profile.tags.get(tag)
            if not _equal(before, value):
                self.history[profile.person, "tag", tag, profile.as_of] = value
        for segment in set(known.segments) ^ set(profile.segments):
            is_in = segment in profile.segments
            self.history[profile.person, "segment", segment, profile.as_of] = is_in

    async def get(self, id_: str) -> Profile | None:
        """See the port."""
        self._fail()
        if id_ in self.stored:
            return self.stored[id_]
        known_as = [found for found in self.stored.values() if found.anonymous_id == id_]
        return max(known_as, key=lambda found: (found.as_of, found.person), default=None)

    async def find(self, where: TagFilter, *, limit: int, after: str | None) -> list[Profile]:
        """See the port."""
        self._fail()
        behind = "" if after is None else after
        found = [
            self.stored[person]
            for person in sorted(self.stored)
            if (after is None or person > behind) and _matches(self.stored[person], where)
        ]
        return found[:limit]

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def _matches(profile: Profile, where: TagFilter) -> bool:
    if where.tag not in profile.tags:
        return False
    value = profile.tags[where.tag]
    if where.op == "eq":
        return any(_equal(value, wanted) for wanted in where.values)
    bound = where.values[0]
    if not _is_number(value) or not isinstance(bound, int | float):
        return False
    return bool(value >= bound) if where.op == "gte" else bool(value <= bound)
