"""Numbers of many people in bounded memory."""

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from math import isnan, nan
from typing import Final

KEY_BYTES: Final = 8


class Sample:
    """Numbers of at most `most` people, whoever and however many they are.

    Everybody is in it as long as there is room. Then those stay whose ids have the least
    fingerprints: the order of arrival does not matter, and the same people are chosen again
    tomorrow. A missing number is NaN.
    """

    def __init__(self, columns: int, most: int) -> None:
        self.seen = 0
        self._most = most
        self._below = 1 << (8 * KEY_BYTES)
        self._keys = array("Q")
        self._columns = [array("d") for _ in range(columns)]

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, person: str, numbers: Sequence[float | None]) -> None:
        """Take somebody in who was not there yet."""
        self.seen += 1
        digest = blake2b(person.encode(), digest_size=KEY_BYTES).digest()
        key = int.from_bytes(digest, "big")
        if key >= self._below:
            return
        self._keys.append(key)
        for column, number in zip(self._columns, numbers, strict=True):
            column.append(nan if number is None else number)
        while len(self._keys) > self._most:
            self._thin()

    def rows(self, columns: Sequence[int]) -> list[tuple[float, ...]]:
        """The numbers in these columns of everybody who has all of them, in an order that is
        the same for the same people."""
        chosen = [self._columns[column] for column in columns]
        places = sorted(range(len(self._keys)), key=self._keys.__getitem__)
        found = (tuple(column[place] for column in chosen) for place in places)
        return [row for row in found if not any(isnan(number) for number in row)]

    def _thin(self) -> None:
        self._below //= 2
        kept = [place for place, key in enumerate(self._keys) if key < self._below]
        self._keys = array("Q", (self._keys[place] for place in kept))
        self._columns = [array("d", (column[place] for place in kept)) for column in self._columns]
