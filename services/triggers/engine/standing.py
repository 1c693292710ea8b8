"""What is known to hold of a person at a place of a trigger, whoever they are."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from services.contracts.conditions import Condition


class Standing:
    """Conditions of which it is known that they hold, or that they don't. Never changed."""

    def __init__(self, known: Mapping[bytes, tuple[Condition, bool]]) -> None:
        self.known = known

    def knowing(self, condition: Condition, *, holds: bool) -> "Standing":
        """This, and that a condition holds or not."""
        told = {_text(part): (part, truth) for part, truth in _parts(condition, holds=holds)}
        return Standing({**self.known, **told})

    def later(self) -> "Standing":
        """What is left of it once time has passed: the entry's event stays what it was."""
        kept = {key: one for key, one in self.known.items() if _of_event_alone(one[0])}
        return Standing(kept)

    def common(self, other: "Standing") -> "Standing":
        """What is known either way."""
        both = {key: one for key, one in self.known.items() if other.known.get(key) == one}
        return Standing(both)

    def of(self, condition: Condition) -> bool | None:
        """Whether a condition holds, None where that is not known."""
        found = self.known.get(_text(condition))
        if found is not None:
            return found[1]
        if condition.not_ is not None:
            inner = self.of(condition.not_)
            return None if inner is None else not inner
        if condition.all_ is not None:
            answers = [self.of(part) for part in condition.all_]
            return False if False in answers else None if None in answers else True
        if condition.any_ is not None:
            answers = [self.of(part) for part in condition.any_]
            return True if True in answers else None if None in answers else False
        return None


NOTHING_STANDS: Final = Standing({})


def _text(condition: Condition) -> bytes:
    # Not the condition itself: 1, 1.0 and true would be one key.
    return msgspec.json.encode(condition)


def _parts(condition: Condition, *, holds: bool) -> Iterator[tuple[Condition, bool]]:
    """A condition, and what it says of its parts."""
    yield condition, holds
    if condition.not_ is not None:
        yield from _parts(condition.not_, holds=not holds)
    for part in (condition.all_ if holds else condition.any_) or ():
        yield from _parts(part, holds=holds)


def _of_event_alone(condition: Condition) -> bool:
    if condition.not_ is not None:
        return _of_event_alone(condition.not_)
    group = condition.any_ if condition.all_ is None else condition.all_
    if group is not None:
        return all(map(_of_event_alone, group))
    return condition.property is not None
