"""Who of a partition has to be woken when: by a timer of their own, or in a round."""

from collections.abc import Callable, Iterator
from typing import Any

from services.contracts.time import Micros
from services.runtime.batch.states import PartitionStates
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.reading import META_KEY, PartitionMeta
from services.triggers.worker.rounds import due_at
from services.triggers.worker.timers import Timers
from services.triggers.worker.values import ARMED_TOGETHER_MAX, Pause


class Waking:
    """The partition's timers. `meta` says whether a round is under way.

    `bytes_of` gives a person's newest state, which the next flush may have yet to store.
    """

    def __init__(
        self, states: PartitionStates, engine: Engine, bytes_of: Callable[[str], bytes | None]
    ) -> None:
        self.meta = PartitionMeta()
        self.timers = Timers(self._due_at_of)
        self._states = states
        self._engine = engine
        self._bytes = bytes_of

    def take_up(self, meta: PartitionMeta) -> None:
        """Begin with what is stored."""
        self.meta = meta
        self.timers.rebuild(
            (person, wake_at)
            for person, data in self._states.stored.items()
            if person != META_KEY and (wake_at := self._stored(person, data)) is not None
        )

    def everyone(self) -> Iterator[Pause]:
        """Set a timer for everyone in a round that begins; between two steps others may run."""
        for number, person in enumerate(list(self._states.stored), start=1):
            if person != META_KEY:
                self.timers.arm(person, self._due_at_of(person))
            if number % ARMED_TOGETHER_MAX == 0:
                yield Pause()

    def is_due(self, state: Any, at: Micros, position: int) -> bool:
        """Whether a tick at this place of the log wakes it. One from before the marker, in a
        replay, knows of no round."""
        wake_at = state.wake_at if position < self.meta.round_since else self._due_at(state)
        return wake_at is not None and wake_at <= at

    def _due_at(self, state: Any) -> Micros | None:
        return due_at(self.meta, state.person, state.wake_at, state.applied)

    def _due_at_of(self, person: str) -> Micros | None:
        data = self._bytes(person)
        return self._stored(person, data) if data else None

    def _stored(self, person: str, data: bytes) -> Micros | None:
        wake_at = self._engine.wake_at_of(data)
        if self.meta.round_at is None:
            return wake_at
        return due_at(self.meta, person, wake_at, self._engine.applied_of(data))
