"""A long history in order of time: sorted in memory run by run, kept on disk, merged.

Memory holds one run, whatever the length of the history; a history that came in order is
read back as it was written.
"""

import os
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from heapq import merge
from operator import itemgetter
from typing import IO, Final

import msgspec

from services.contracts.event import Event
from services.contracts.time import Micros
from services.runtime.sealing import KEY_BYTES, Keyring

RUN_EVENTS_MAX: Final = 100_000
BLOCK_EVENTS: Final = 500

Dated = tuple[Micros, Event]
"""An event and the instant at which it is played."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Dated]).decode
_at: Final = itemgetter(0)

Run = list[tuple[int, int]]
"""Where the blocks of one sorted run stand in the file: offset and length."""


class Spool:
    """Takes events in any order, gives them back by time; of one instant, as they came.

    `file` is an empty one on disk that belongs to the spool alone.
    """

    def __init__(self, file: IO[bytes], *, run_events_max: int = RUN_EVENTS_MAX) -> None:
        self._file = file
        self._run_events_max = run_events_max
        self._held: list[Dated] = []
        self._end = 0
        # Runs that follow each other in time make one chain.
        self._chains: list[list[Run]] = []
        self._last: list[Micros] = []
        # Written on disk, where it is personal data at rest, under a key that nothing keeps.
        self._keys = Keyring(f"spool:{b64encode(os.urandom(KEY_BYTES)).decode()}")
        self._forgotten: dict[str, Micros] = {}
        self.events = 0
        self.first_at: Micros | None = None
        self.last_at: Micros | None = None

    def add(self, at: Micros, event: Event) -> None:
        """Take in one event; raises `OSError` where the disk is full."""
        self._held.append((at, event))
        self.events += 1
        if len(self._held) >= self._run_events_max:
            self._write()

    def _write(self) -> None:
        held = self._held
        if not held:
            return
        held.sort(key=_at)
        run: Run = []
        for start in range(0, len(held), BLOCK_EVENTS):
            block = self._keys.seal_bytes(_encode(held[start : start + BLOCK_EVENTS]), b"")
            self._file.write(block)
            run.append((self._end, len(block)))
            self._end += len(block)
        first, last = held[0][0], held[-1][0]
        self.first_at = first if self.first_at is None else min(self.first_at, first)
        self.last_at = last if self.last_at is None else max(self.last_at, last)
        if self._last and self._last[-1] <= first:
            self._chains[-1].append(run)
            self._last[-1] = last
        else:
            self._chains.append([run])
            self._last.append(last)
        self._held = []

    def forget(self, person: str, upto: Micros) -> None:
        """Give back nothing of a person that was received up to then."""
        self._forgotten[person] = max(upto, self._forgotten.get(person, upto))

    def close(self) -> None:
        """All is there: from now on it can be read, as often as wanted."""
        self._write()
        self._file.flush()

    def read(self, people: Collection[str] | None = None) -> Iterator[Dated]:
        """Everything in order of time, or what concerns these people."""
        chains = [self._chain(runs, people) for runs in self._chains]
        return chains[0] if len(chains) == 1 else merge(*chains, key=_at)

    def _chain(self, runs: Iterable[Run], people: Collection[str] | None) -> Iterator[Dated]:
        number = self._file.fileno()
        for run in runs:
            for offset, length in run:
                block = _decode(self._keys.open_bytes(os.pread(number, length, offset), b""))
                if self._forgotten:
                    block = [one for one in block if self._stays(one[1])]
                if people is None:
                    yield from block
                else:
                    yield from (one for one in block if one[1].person in people)

    def _stays(self, event: Event) -> bool:
        upto = self._forgotten.get(event.person)
        return upto is None or event.received_at > upto
