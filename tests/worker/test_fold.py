"""The fold of one partition, with a log in memory and a stand-in for the engine."""

import msgspec
import pytest

from services.contracts.command import Cancel
from services.contracts.topics import KIND_MARKER, KIND_PACK, KIND_TICK
from services.triggers.worker import fold as fold_module
from services.triggers.worker.engine_port import StateUnreadable
from services.triggers.worker.reading import META_KEY, decode_meta
from tests.worker.driver import Log, Partition, people

ANN, BOB, CAY = people(3)


def codes(partition: Partition) -> list[str]:
    return [letter.code for letter in partition.letters]


def test_single_records_and_packs_reach_the_same_people() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.pack((ANN, "note"), (BOB, "send"))
    partition.take(log.rows)
    assert partition.states[ANN].notes == ["m0@0", "m1.0@0"]
    assert [command.person for command in partition.commands] == [BOB]
    assert partition.states[BOB].applied == 1 << 16 | 1
    assert partition.count("applied") == 3


def test_only_people_whose_state_changed_are_written() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.event(BOB)
    partition.take(log.rows)
    log.event(ANN)
    partition.take(log.rows[2:])
    assert [key for key, _ in partition.flushes[-1].states] == [ANN.encode()]


def test_replayed_records_are_skipped_and_counted() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "send")
    log.pack((ANN, "note"), (ANN, "note"))
    partition.take(log.rows)
    partition.restart()
    partition.take(log.rows)
    assert partition.count("replayed") == 3
    assert len(partition.commands) == 1
    assert partition.flushes[-1].states == []


def test_a_poisoned_record_becomes_a_dead_letter_and_the_rest_goes_on() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.raw(b"{not json", b"k")
    log.raw(b"\xff\xfe", b"k", KIND_PACK)
    log.raw(None, b"k")
    log.raw(b"{}", b"k", b"pack/2")
    log.raw(b"{}", b"k", b"riddle/1")
    log.raw(b'{"v":2,"at":1}', None, KIND_TICK)
    log.raw(b"[]", None, KIND_MARKER)
    log.event(ANN)
    partition.take(log.rows)
    assert codes(partition) == [
        "bad_json",
        "bad_pack",
        "empty_record",
        "newer_schema",
        "unknown_kind",
        "newer_schema",
        "bad_marker",
    ]
    assert partition.letters[0].value == b"{not json"
    assert partition.letters[0].offset == 1
    assert partition.states[ANN].notes == ["m0@0", "m8@0"]
    assert partition.committed == 9


def test_a_refused_event_of_a_pack_is_a_dead_letter_by_itself() -> None:
    log, partition = Log(), Partition()
    log.pack((ANN, "note"), (BOB, "refuse"), (ANN, "note"))
    partition.take(log.rows)
    assert [(letter.code, letter.index) for letter in partition.letters] == [("refused", 1)]
    assert b"refuse" in (partition.letters[0].value or b"")
    assert len(partition.states[ANN].notes) == 2
    assert BOB not in partition.states


def test_an_event_under_another_key_or_in_another_partition_is_refused() -> None:
    log, partition = Log(), Partition()
    stranger = people(1, partition=1)[0]
    log.event(ANN, key=BOB)
    log.event(stranger)
    log.pack((stranger, "note"))
    log.delivery(stranger)
    log.raw(log.rows[0].value, None)
    partition.take(log.rows)
    assert codes(partition) == [
        "wrong_key",
        "wrong_partition",
        "wrong_partition",
        "wrong_partition",
        "wrong_key",
    ]
    assert partition.states == {}


def test_the_key_is_checked_for_known_people_too() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    partition.take(log.rows)
    log.event(ANN, key=BOB)
    partition.take(log.rows[1:])
    assert codes(partition) == ["wrong_key"]


def test_nobody_can_write_to_the_partitions_own_entry() -> None:
    log, partition = Log(), Partition()
    log.pack((META_KEY, "note"))
    log.delivery(META_KEY)
    log.marker(3)
    log.pack((META_KEY, "note"))
    partition.take(log.rows)
    assert codes(partition) == ["bad_person"] * 3
    assert decode_meta(partition.stored[META_KEY]).revision == 3


def test_a_failing_engine_costs_the_event_and_nothing_else_of_its_person() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "send")
    log.event(BOB, "note")
    log.event(ANN, "boom")
    log.event(ANN, "send")
    log.pack((ANN, "note"), (ANN, "boom"), (ANN, "send"))
    partition.take(log.rows)
    assert partition.states[ANN].notes == ["m0@0", "m3@0", "m4.0@0", "m4.2@0"]
    assert [command.event_id for command in partition.commands] == ["m0", "m3", "m4.2"]
    assert [(letter.code, letter.offset, letter.index) for letter in partition.letters] == [
        ("engine_error", 2, None),
        ("engine_error", 4, 1),
    ]
    assert "secret" not in partition.letters[0].reason
    assert partition.count("applied") == 5


def test_what_was_taken_back_before_a_failure_stays_so_and_was_asked_for() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "recall")
    log.event(BOB, "recall")
    log.pack((ANN, "boom"), (BOB, "boom"), (ANN, "recall"), (ANN, "boom"))
    partition.take(log.rows)
    notices = [value or b"" for flush in partition.flushes for _, value, _ in flush.notices]
    cancels = [msgspec.json.decode(value, type=Cancel) for value in notices]
    assert sorted(one.reason for one in cancels) == ["m0", "m1", "m2.2"]
    assert {one.send_id for one in cancels} == {one.send_id for one in partition.commands}


def test_a_failing_engine_rolls_back_to_what_the_last_batch_left() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "send")
    partition.take(log.rows)
    log.event(ANN, "note")
    log.event(ANN, "boom")
    log.event(ANN, "note")
    partition.take(log.rows[1:])
    assert partition.states[ANN].notes == ["m0@0", "m1@0", "m3@0"]
    assert len(partition.commands) == 1


def test_somebody_whose_only_event_fails_does_not_come_into_being() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "boom")
    log.event(BOB, "refuse")
    partition.take(log.rows)
    assert partition.states == {}


def test_a_failed_event_is_not_folded_again_in_a_replay() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "note")
    log.event(ANN, "boom")
    partition.take(log.rows)
    partition.restart()
    partition.take(log.rows)
    assert len(partition.letters) == 1
    assert partition.count("replayed") == 2


def test_a_state_too_large_to_write_is_undone_and_its_events_kept_as_letters() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "note")
    partition.take(log.rows)
    log.event(ANN, "send")
    log.event(ANN, "grow")
    log.event(BOB, "send")
    partition.take(log.rows[1:])
    assert codes(partition) == ["state_too_large", "state_too_large"]
    assert partition.states[ANN].notes == ["m0@0"]
    assert [command.person for command in partition.commands] == [BOB]
    log.event(ANN, "note")
    partition.take(log.rows[4:])
    assert partition.states[ANN].notes == ["m0@0", "m4@0"]


def test_an_output_too_large_to_write_becomes_a_dead_letter() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "shout")
    partition.take(log.rows)
    assert codes(partition) == ["output_too_large"]
    assert partition.letters[0].key == ANN.encode()
    assert partition.states[ANN].notes == ["m0@0"]


def test_a_delivery_reaches_its_person() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "send")
    log.delivery(ANN, "s9")
    partition.take(log.rows)
    assert partition.states[ANN].notes == ["m0@0", "accepted:s9"]


def test_a_long_batch_lets_the_loop_turn_between_its_people() -> None:
    log, partition = Log(), Partition()
    for _ in range(10):
        log.pack(*((person, "note") for person in (ANN, BOB, CAY) for _ in range(100)))
    partition.take(log.rows)
    assert partition.pauses >= 2
    assert partition.count("applied") == 3_000
    assert len(partition.flushes) == 1


def test_many_decisions_of_few_people_are_written_in_stretches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fold_module, "FLUSH_DECISIONS_MAX", 10)
    monkeypatch.setattr(fold_module, "TOGETHER_MAX", 1)
    log, partition = Log(), Partition()
    for _ in range(35):
        log.event(ANN, "send")
    partition.take(log.rows)
    assert len(partition.commands) == 35
    assert max(len(flush.decisions) for flush in partition.flushes) <= 10


def test_a_stored_state_that_cannot_be_read_stops_the_worker() -> None:
    log, partition = Log(), Partition()
    partition.stored[ANN] = b"\x00" * 8 + b"?"
    partition.restart()
    log.event(ANN)
    with pytest.raises(StateUnreadable):
        partition.take(log.rows)
    assert partition.committed == 0
    assert partition.flushes == []


def test_people_are_taken_up_where_the_last_batch_left_them() -> None:
    log, partition = Log(), Partition()
    for _ in range(3):
        log.event(ANN)
        log.event(BOB)
    partition.take(log.rows[:2])
    partition.take(log.rows[2:])
    assert partition.states[ANN].notes == ["m0@0", "m2@0", "m4@0"]


def test_decisions_and_capped_policies_are_counted_by_flush() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "send")
    log.event(ANN, "cap")
    log.raw(b"{", b"k")
    partition.take(log.rows)
    (flush,) = partition.flushes
    assert flush.decided == {"sent": 1, "cap": 1}
    assert flush.capped == {"marketing_daily": 1}
    assert flush.lettered == {"bad_json": 1}
    assert flush.events == {"applied": 2, "dead_letter": 1}
    assert len(flush.origins) == 1
