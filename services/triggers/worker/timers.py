"""Who has to be woken when: an index over `wake_at`, whose truth stands in the states."""

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush

from services.contracts.time import Micros


class Timers:
    """The earliest instants of one partition's people.

    Arming later than armed before costs nothing: the entry is found too early once and put
    back then. `true_at` gives a person's present `wake_at`.
    """

    def __init__(self, true_at: Callable[[str], Micros | None]) -> None:
        self._true_at = true_at
        self._armed: dict[str, Micros] = {}
        self._heap: list[tuple[Micros, str]] = []

    def __len__(self) -> int:
        return len(self._armed)

    def rebuild(self, entries: Iterable[tuple[str, Micros]]) -> None:
        """Start again from (person, wake_at) pairs."""
        self._armed = dict(entries)
        self._heap = [(at, person) for person, at in self._armed.items()]
        heapify(self._heap)

    def arm(self, person: str, wake_at: Micros | None) -> None:
        """Make sure that `person` comes up at `wake_at`; None needs no call ever."""
        if wake_at is None:
            return
        armed = self._armed.get(person)
        if armed is None or wake_at < armed:
            self._armed[person] = wake_at
            heappush(self._heap, (wake_at, person))

    def due(self, now: Micros) -> Iterator[tuple[Micros, str]]:
        """Take out everyone whose `wake_at` is not later than `now`, in order of (it, person).

        Who is armed meanwhile comes too, in their place.
        """
        heap, armed = self._heap, self._armed
        while heap and heap[0][0] <= now:
            at, person = heappop(heap)
            if armed.get(person) != at:
                continue  # armed earlier since, or taken out already
            del armed[person]
            wake_at = self._true_at(person)
            if wake_at is None:
                continue
            if wake_at <= at:
                yield wake_at, person
            else:
                armed[person] = wake_at
                heappush(heap, (wake_at, person))

    def overdue(self, now: Micros) -> int:
        """How many entries lie before `now`: timers that should have been fired."""
        return sum(1 for at in self._armed.values() if at <= now)
