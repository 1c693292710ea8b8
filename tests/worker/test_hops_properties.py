"""Several partitions that merge people: crashes lose, double and reorder nothing of a hop."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.driver import Crash, Log, Partition, people
from tests.worker.standin import StandInState

NUMBERS = (1, 2, 3)
PEOPLE = {number: people(2, partition=number) for number in NUMBERS}
EVERYBODY = [person for known in PEOPLE.values() for person in known]
BATCHES_MAX = 2_000
CRASHES_MAX = 12

Write = Callable[["Cluster"], object]


class Cluster:
    """Partitions with their logs: what one writes for another stands there at once."""

    def __init__(self) -> None:
        self.logs = {number: Log() for number in NUMBERS}
        self.partitions = {number: Partition(number=number) for number in NUMBERS}
        self._carried = dict.fromkeys(NUMBERS, 0)

    def take(self, number: int, size: int, crash_after: int | None) -> bool:
        """Fold the next records of a partition; whether the process died of it."""
        partition, log = self.partitions[number], self.logs[number]
        committed = partition.committed
        died = False
        try:
            partition.take(log.rows[committed : committed + size], crash_after)
        except Crash:
            died = True
            partition.committed = committed
            partition.restart()
        for target, key, value, headers in partition.hops[self._carried[number] :]:
            self.logs[target].raw(value, key, headers[0][1])
        self._carried[number] = len(partition.hops)
        return died

    def ready(self) -> list[int]:
        """Partitions with something left to read."""
        return [n for n in NUMBERS if self.partitions[n].committed < len(self.logs[n].rows)]

    def states(self) -> dict[str, StandInState]:
        return {
            person: state
            for partition in self.partitions.values()
            for person, state in partition.states.items()
        }


def _event(person: str, name: str, of: str) -> Write:
    return lambda cluster: cluster.logs[_home(person)].event(person, name, of=of)


def _home(person: str) -> int:
    return next(number for number, known in PEOPLE.items() if person in known)


_people = st.sampled_from(EVERYBODY)
_writes = st.builds(
    _event, _people, st.sampled_from(["note", "note", "ask", "boom", "ask_boom"]), _people
)


@pytest.mark.slow
@given(st.lists(st.lists(_writes, max_size=4), min_size=1, max_size=10), st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_handed_on_arrives_once_and_in_order_whatever_dies(
    turns: list[list[Write]], data: st.DataObject
) -> None:
    cluster, crashes = Cluster(), 0
    for turn in [*turns, []]:
        for write in turn:
            write(cluster)
        for _ in range(BATCHES_MAX if turn is turns[-1] or not turn else 3):
            ready = cluster.ready()
            if not ready:
                break
            number, size = data.draw(st.sampled_from(ready)), data.draw(st.integers(1, 5))
            dies = crashes < CRASHES_MAX and data.draw(st.booleans())
            crashes += cluster.take(number, size, data.draw(st.integers(0, 5)) if dies else None)
    assert cluster.ready() == []
    _nothing_is_lost_or_doubled(cluster)


def _nothing_is_lost_or_doubled(cluster: Cluster) -> None:
    """Each hop that a maker's state stands for was taken once, in the order of its making."""
    states = cluster.states()
    for maker, log in ((person, cluster.logs[_home(person)]) for person in EVERYBODY):
        state = states.get(maker)
        if state is None or state.merged_into is None:
            continue
        failed = {letter.offset for letter in cluster.partitions[_home(maker)].letters}
        handed_on = [
            f"{maker}>m{row.offset}@0"
            for row in log.rows
            if row.key == maker.encode()
            and not row.headers
            and row.offset not in failed
            and row.offset > _merged_at(state, cluster)
        ]
        taker = states[state.merged_into]
        if taker.merged_into is not None:
            continue  # the stand-in hands no hops on, and forgets what it had
        assert [note for note in taker.notes if note.startswith(f"{maker}>")] == handed_on


def _merged_at(state: StandInState, cluster: Cluster) -> int:
    """Offset of the first ask that reached somebody: from there they hand on."""
    log = cluster.logs[_home(state.person)]
    return next(
        row.offset
        for row in log.rows
        if row.key == state.person.encode() and row.headers and row.headers[0][1] == b"ask/1"
    )
