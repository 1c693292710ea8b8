"""Who turns out to be whom: people who log in, and users who are joined; in rings too."""

from random import Random
from typing import Final

import msgspec

from services.contracts.event import ALIAS, IDENTIFY, Event

OFTEN: Final = (0.0, 0.0, 0.04, 0.15)
AT_ONCE: Final = 0.4
"""How likely one merge is followed by another of the same people, or of who comes next."""
WAITING_MAX: Final = 3


class Merges:
    """Makes some of a run's events tell who somebody is. In half of the runs nobody merges."""

    def __init__(self, random: Random, users: list[str]) -> None:
        self._random = random
        self._often = random.choice(OFTEN)
        self._users = users
        self.anonymous: list[str] = []
        if self._often:
            self.anonymous = [f"a{number}" for number in range(random.randint(1, 5))]
        self._next: list[tuple[str, str]] = []

    def of(self, event: Event) -> Event:
        """The event as it comes in: under an anonymous id, or one that joins two people."""
        random = self._random
        if self._often and random.random() < self._often:
            by, other = self._next.pop(0) if self._next else self._two()
            if by != other:
                self._plan(by, other)
                return self._joining(event, by, other)
        if event.person in self.anonymous:
            return msgspec.structs.replace(event, user_id=None, anonymous_id=event.person)
        return event

    def _two(self) -> tuple[str, str]:
        random = self._random
        others = self._users if random.random() < 0.3 else self.anonymous
        return random.choice(self._users), random.choice(others)

    def _plan(self, by: str, other: str) -> None:
        """Two at once, each taking in the other; or a third who takes in both."""
        random = self._random
        if random.random() < AT_ONCE and len(self._next) < WAITING_MAX:
            third = random.choice(self._users)
            self._next.append(random.choice([(other, by), (third, by), (third, other)]))

    def _joining(self, event: Event, by: str, other: str) -> Event:
        alias = self._random.random() < 0.4
        return msgspec.structs.replace(
            event,
            person=by,
            user_id=by,
            type=ALIAS if alias else IDENTIFY,
            name="$alias" if alias else "$identify",
            traits={} if alias else event.traits,
            anonymous_id=None if alias else other,
            previous_id=other if alias else None,
        )
