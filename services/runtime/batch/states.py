"""The encoded states of the partitions a worker holds."""

from collections.abc import Iterable
from typing import Final, Protocol

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


class PartitionStates:
    """All states of one partition.

    `stored` holds the bytes of every state as last written (or about to be) to the
    changelog: what a restart would find. `position` is the last changelog offset that it
    contains. `changed_outside` says that records of the changelog were applied since it was
    last cleared, so that whatever was derived from the states has to be derived again.
    """

    __slots__ = ("changed_outside", "position", "stored")

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.position = EMPTY
        self.changed_outside = True

    def __len__(self) -> int:
        return len(self.stored)

    def apply(self, records: Iterable[ChangelogRecord]) -> None:
        """Take over records of the changelog, in order."""
        stored = self.stored
        for record in records:
            key = record.key.decode()
            value = record.value
            if value is None:
                stored.pop(key, None)
            else:
                stored[key] = value
            self.position = record.offset
            self.changed_outside = True

    def written(self, position: int) -> None:
        """The changelog acknowledged our own records up to `position`."""
        self.position = max(self.position, position)


class States:
    """Every partition a worker holds, active or standby."""

    def __init__(self) -> None:
        self._partitions: dict[int, PartitionStates] = {}
        self.active: frozenset[int] = frozenset()

    def __getitem__(self, partition: int) -> PartitionStates:
        states = self._partitions.get(partition)
        if states is None:
            states = self._partitions[partition] = PartitionStates()
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
        """Keep what is assigned."""
        self.active = active
        for number in self.held():
            if number not in active | standby:
                self.drop(number)
