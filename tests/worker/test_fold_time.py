"""Time and rules in the fold: ticks wake people, markers change what is in force."""

import pytest

from services.contracts.codec import encode_json
from services.contracts.control import Tick
from services.contracts.time import HOUR, SECOND
from services.contracts.topics import KIND_TICK
from services.triggers.worker import fold as fold_module
from services.triggers.worker.reading import META_KEY, decode_meta
from services.triggers.worker.values import Unavailable
from tests.worker.driver import Log, Partition, Row, people

ANN, BOB, CAY = people(3)


def codes(partition: Partition) -> list[str]:
    return [letter.code for letter in partition.letters]


def test_a_tick_wakes_whoever_is_due_in_order_of_time_and_name() -> None:
    log, partition = Log(), Partition()
    log.event(CAY, "timer", wait=3 * SECOND)
    log.event(ANN, "timer", wait=4 * SECOND)
    log.event(BOB, "timer", wait=HOUR)
    log.event(ANN, "timer", wait=2 * SECOND)
    log.tick()
    partition.take(log.rows)
    assert [command.person for command in partition.commands] == [CAY]
    log.tick()
    partition.take(log.rows[5:])
    assert [command.person for command in partition.commands] == [CAY, ANN]
    assert partition.states[ANN].now == log.rows[5].timestamp * 1000
    assert len(partition.fold.timers) == 1


def test_timers_survive_a_restart() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "timer", wait=SECOND)
    partition.take(log.rows)
    partition.restart()
    log.tick()
    partition.take(log.rows[1:])
    assert [command.person for command in partition.commands] == [ANN]
    assert partition.states[ANN].wake_at is None


def test_a_replayed_tick_wakes_nobody_again() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "timer", wait=SECOND)
    log.tick()
    log.event(ANN, "timer", wait=-HOUR)
    partition.take(log.rows)
    partition.restart()
    partition.take(log.rows)
    assert len(partition.commands) == 1
    assert len(partition.fold.timers) == 1
    log.tick()
    partition.take(log.rows[3:])
    assert len(partition.commands) == 2


def test_a_failure_on_waking_undoes_it_and_is_told_with_the_person() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "late_boom", wait=SECOND)
    log.event(BOB, "timer", wait=SECOND)
    log.tick()
    log.tick()
    partition.take(log.rows)
    assert [command.person for command in partition.commands] == [BOB]
    assert [(letter.code, letter.key) for letter in partition.letters] == [
        ("engine_error", ANN.encode())
    ]
    assert partition.states[ANN].notes == ["m0@0"]
    log.event(ANN, "timer", wait=0)
    log.tick()
    partition.take(log.rows[4:])
    assert [command.person for command in partition.commands] == [BOB, ANN]


def test_a_tick_far_ahead_of_its_record_moves_nobodys_clock() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "timer", wait=HOUR)
    log.raw(encode_json(Tick(at=log.now + 2 * HOUR)), kind=KIND_TICK)
    partition.take(log.rows)
    assert codes(partition) == ["tick_in_future"]
    assert partition.commands == []
    history = Partition(replay=True)
    log.rows[0] = replayed_timer(log.rows[0])
    history.take(log.rows)
    assert [command.person for command in history.commands] == [ANN]


def replayed_timer(row: Row) -> Row:
    value = (row.value or b"").replace(b"{", b'{"timestamp":"2027-01-15T08:00:00Z",', 1)
    return Row(offset=row.offset, key=row.key, value=value)


def test_a_tick_that_wakes_many_is_written_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "FLUSH_PEOPLE_MAX", 10)
    log, partition = Log(), Partition()
    many = people(35)
    log.pack(*((person, "timer") for person in many))
    log.rows[0].timestamp -= 10_000
    log.tick()
    partition.take(log.rows)
    assert sorted(command.person for command in partition.commands) == sorted(many)
    assert max(len(flush.states) for flush in partition.flushes[1:]) <= 10
    assert [flush.last for flush in partition.flushes].count(True) == 1


def test_rules_change_at_the_markers_offset() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.marker(5)
    log.event(ANN)
    log.event(BOB)
    partition.take(log.rows)
    assert partition.states[ANN].notes == ["m0@0", "m2@5"]
    assert partition.states[BOB].notes == ["m3@5"]
    assert [need.revision for need in partition.asked] == [0, 5]
    assert decode_meta(partition.stored[META_KEY]).revision == 5


def test_what_was_decided_before_a_marker_is_written_before_it_is_in_force() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "send")
    log.marker(5)
    log.event(BOB, "send")
    partition.take(log.rows)
    first, second = partition.flushes
    assert [key for key, _ in first.states] == [ANN.encode()]
    assert first.meta is None
    assert second.meta is not None


def test_an_older_or_repeated_marker_changes_nothing() -> None:
    log, partition = Log(), Partition()
    log.marker(5)
    log.marker(4)
    log.marker(5)
    log.event(ANN)
    partition.take(log.rows)
    assert partition.states[ANN].notes == ["m3@5"]
    assert [need.revision for need in partition.asked] == [0, 5]


def test_refused_definitions_leave_the_previous_ones_in_force() -> None:
    log, partition = Log(), Partition()
    partition.answers[6] = Unavailable("definitions_refused", "triggers.x: wrong")
    log.marker(5)
    log.marker(6)
    log.event(ANN)
    partition.take(log.rows)
    assert codes(partition) == ["definitions_refused"]
    assert partition.letters[0].reason == "triggers.x: wrong"
    assert partition.states[ANN].notes == ["m2@5"]
    assert decode_meta(partition.stored[META_KEY]).revision == 5


def test_a_restart_takes_up_the_revision_in_force() -> None:
    log, partition = Log(), Partition()
    log.marker(5)
    partition.take(log.rows)
    partition.restart()
    log.event(ANN)
    partition.take(log.rows[1:])
    assert partition.asked[-1].required
    assert partition.states[ANN].notes == ["m1@5"]


def test_a_partition_that_comes_back_unchanged_has_its_revision_and_timers() -> None:
    """It went to another worker, which wrote nothing, and its states stayed here."""
    log, partition = Log(), Partition()
    log.marker(5)
    log.event(ANN, "timer", wait=SECOND)
    partition.take(log.rows)
    assert not partition.fold.states.changed_outside
    partition.restart(partition.fold.states)
    log.tick()
    log.event(ANN)
    partition.take(log.rows[2:])
    assert len(partition.commands) == 1
    assert partition.states[ANN].notes[-1] == "m3@5"
