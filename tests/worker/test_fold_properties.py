"""What holds for every log: batches do not matter, and a crash costs and doubles nothing."""

from collections.abc import Callable
from operator import attrgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.time import SECOND
from tests.worker.driver import Crash, Log, Partition, people

PEOPLE = people(3)
NAMES = ("note", "send", "send", "timer", "refuse", "boom", "cap", "late_boom")

Write = Callable[[Log], object]


def _event(person: str, name: str, delay: int) -> Write:
    return lambda log: log.event(person, name, wait=delay * SECOND)


def _delivery(person: str) -> Write:
    return lambda log: log.delivery(person)


def _pack(events: list[tuple[str, str]]) -> Write:
    return lambda log: log.pack(*events)


_people = st.sampled_from(PEOPLE)
_names = st.sampled_from(NAMES)
_writes = st.one_of(
    st.builds(_event, _people, _names, st.integers(0, 4)),
    st.builds(_event, _people, _names, st.integers(0, 4)),
    st.builds(_pack, st.lists(st.tuples(_people, _names), max_size=4)),
    st.builds(_delivery, _people),
    st.just(lambda log: log.tick()),
    st.integers(1, 70).map(lambda ahead: lambda log: log.tick(log.now + ahead * SECOND)),
    st.just(lambda log: log.raw(b"{", b"k")),
    st.integers(1, 5).map(lambda revision: lambda log: log.marker(revision)),
)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    log = Log()
    for write in draw(st.lists(_writes, min_size=1, max_size=25)):
        write(log)
    return log


def undisturbed(log: Log, *, everyone: bool) -> Partition:
    partition = Partition(everyone=everyone)
    partition.take(log.rows)
    return partition


@given(logs(), st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
def test_where_batches_begin_and_end_does_not_matter(
    log: Log, everyone: bool, data: st.DataObject
) -> None:
    whole, parts = undisturbed(log, everyone=everyone), Partition(everyone=everyone)
    while parts.committed < len(log.rows):
        size = data.draw(st.integers(1, 10))
        parts.take(log.rows[parts.committed : parts.committed + size])
    assert parts.stored == whole.stored
    # Of different people no order is promised.
    by_person = attrgetter("person")
    assert sorted(parts.commands, key=by_person) == sorted(whole.commands, key=by_person)
    assert parts.letters == whole.letters


@pytest.mark.slow
@given(logs(), st.booleans(), st.data())
@settings(max_examples=300, deadline=None)
def test_crashes_lose_nothing_and_send_nothing_else(
    log: Log, everyone: bool, data: st.DataObject
) -> None:
    calm, shaken = undisturbed(log, everyone=everyone), Partition(everyone=everyone)
    crashes = 0
    while shaken.committed < len(log.rows):
        size = data.draw(st.integers(1, 10))
        rows = log.rows[shaken.committed : shaken.committed + size]
        crash_after = data.draw(st.none() | st.integers(0, 4)) if crashes < 8 else None
        committed = shaken.committed
        try:
            shaken.take(rows, crash_after)
        except Crash:
            crashes += 1
            shaken.committed = committed
            shaken.restart()
        else:
            # Kafka may not have heard of the last commits.
            if crashes < 8 and data.draw(st.booleans()):
                shaken.committed = data.draw(st.integers(0, shaken.committed))
                crashes += 1
                shaken.restart()
    assert shaken.states == calm.states
    assert {command.send_id: command for command in shaken.commands} == {
        command.send_id: command for command in calm.commands
    }
    assert {letter.offset for letter in shaken.letters} >= {
        letter.offset for letter in calm.letters
    }
