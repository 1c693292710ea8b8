"""The states of the partitions a worker holds: bytes for all, live objects for the hot ones."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, Protocol, TypeVar

S = TypeVar("S")

EMPTY: Final = -1
"""Position of a partition of which no changelog record has been seen."""


class ChangelogRecord(Protocol):
    """What is read of one record of a changelog."""

    @property
    def offset(self) -> int:
        """Its place in the changelog's partition."""

    @property
    def key(self) -> bytes:
        """UTF-8 of the state's key."""

    @property
    def value(self) -> bytes | None:
        """The encoded state; None removes it."""


class PartitionStates(Generic[S]):
    """All states of one partition.

    `stored` holds the bytes of every state as last written (or about to be) to the
    changelog: what a restart would find. `live` holds decoded objects of a part of them,
    least recently used first. `position` is the last changelog offset that `stored`
    contains. `changed_outside` says that records of the changelog were applied since it was
    last cleared, so that whatever was derived from the states has to be derived again.
    """

    __slots__ = ("_decode", "changed_outside", "live", "position", "stored")

    def __init__(self, decode: Callable[[bytes], S]) -> None:
        self._decode = decode
        self.stored: dict[str, bytes] = {}
        self.live: dict[str, S] = {}
        self.position = EMPTY
        self.changed_outside = True

    def __len__(self) -> int:
        return len(self.stored)

    def get(self, key: str) -> S | None:
        """The live state, decoded at first touch; None where none was ever kept."""
        state = self.live.get(key)
        if state is None:
            data = self.stored.get(key)
            if data is None:
                return None
            state = self.live[key] = self._decode(data)
        return state

    def keep(self, key: str, state: S, data: bytes) -> None:
        """Take `state`, encoded as `data`, for the newest; it becomes the hottest."""
        self.stored[key] = data
        self.live.pop(key, None)
        self.live[key] = state

    def remove(self, key: str) -> None:
        """Nothing is kept under a key any more."""
        self.stored.pop(key, None)
        self.live.pop(key, None)

    def forget_live(self, key: str) -> None:
        """Drop the object; the next `get` decodes the stored bytes."""
        self.live.pop(key, None)

    def cool(self, live_max: int) -> None:
        """Drop the least recently used objects beyond `live_max`."""
        excess = len(self.live) - live_max
        if excess > 0:
            for key in list(_first(self.live, excess)):
                del self.live[key]

    def apply(self, records: Iterable[ChangelogRecord]) -> None:
        """Take over records of the changelog, in order; what is live of them is dropped."""
        stored, live = self.stored, self.live
        for record in records:
            key = record.key.decode()
            value = record.value
            if value is None:
                stored.pop(key, None)
            else:
                stored[key] = value
            if live:
                live.pop(key, None)
            self.position = record.offset
            self.changed_outside = True

    def written(self, position: int) -> None:
        """The changelog acknowledged our own records up to `position`."""
        self.position = max(self.position, position)


def _first(keys: Iterable[str], count: int) -> Iterator[str]:
    for key, _ in zip(keys, range(count), strict=False):
        yield key


class States(Generic[S]):
    """Every partition a worker holds, active or standby.

    `live_max` bounds the live objects of all active partitions together; each gets an equal
    share.
    """

    def __init__(self, decode: Callable[[bytes], S], *, live_max: int) -> None:
        self._decode = decode
        self._live_max = live_max
        self._partitions: dict[int, PartitionStates[S]] = {}
        self.active: frozenset[int] = frozenset()

    def __getitem__(self, partition: int) -> PartitionStates[S]:
        states = self._partitions.get(partition)
        if states is None:
            states = self._partitions[partition] = PartitionStates(self._decode)
        return states

    def __len__(self) -> int:
        return sum(map(len, self._partitions.values()))

    def held(self) -> list[int]:
        """Numbers of the partitions of which anything is held."""
        return sorted(self._partitions)

    def position(self, partition: int) -> int | None:
        """Last changelog offset held of a partition; None where nothing is."""
        states = self._partitions.get(partition)
        return None if states is None or states.position == EMPTY else states.position

    def drop(self, partition: int) -> None:
        """Forget a partition that has gone to another worker."""
        self._partitions.pop(partition, None)

    def settle(self, *, active: frozenset[int], standby: frozenset[int]) -> None:
        """Keep what is assigned. Live objects of a standby would go stale: they are dropped."""
        self.active = active
        for number in self.held():
            if number not in active | standby:
                self.drop(number)
            elif number not in active:
                self._partitions[number].live.clear()

    def live_share(self) -> int:
        """How many live objects one active partition may hold."""
        return max(1, self._live_max // max(1, len(self.active)))
