"""Erasing a person: their state goes, everybody is told, and who comes later is new."""

import msgspec
import pytest

from services.contracts.codec import decode_json
from services.contracts.command import Erased
from services.contracts.topics import ERASED_HEADER, KIND_ERASED, KIND_HEADER
from tests.worker.driver import Crash, Log, Partition, people

ANN, BOB = people(2)
_erased = msgspec.json.Decoder(Erased)


def test_of_who_is_erased_the_state_is_taken_away_and_nobody_elses() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.event(BOB)
    partition.take(log.rows)
    assert set(partition.states) == {ANN, BOB}
    log.erase(ANN)
    partition.take(log.rows[2:])
    assert set(partition.states) == {BOB}
    assert partition.flushes[-1].states == [(ANN.encode(), None)]
    partition.restart()
    assert set(partition.states) == {BOB}


def test_profiles_and_commands_are_told_for_whom() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    partition.take(log.rows)
    row = log.erase(ANN, request="r7")
    partition.take(log.rows[1:])
    flush = partition.flushes[-1]
    ((key, value, headers),) = flush.tombstones
    assert (key, value, headers[0]) == (ANN.encode(), None, (KIND_HEADER, KIND_ERASED))
    told = Erased(person=ANN, request="r7", at=row.timestamp * 1000)
    assert decode_json(dict(headers)[ERASED_HEADER], _erased, "erased") == told
    # Each topic of commands has commands of theirs before it.
    assert flush.erased == flush.notices
    ((key, value, headers),) = flush.notices
    assert (key, headers) == (ANN.encode(), ((KIND_HEADER, KIND_ERASED),))
    assert value is not None
    assert decode_json(value, _erased, "erased") == told


def test_what_comes_later_is_of_somebody_new_even_in_one_batch() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.erase(ANN)
    log.event(ANN)
    partition.take(log.rows)
    assert partition.states[ANN].notes == ["m2@0"]


def test_who_was_never_known_leaves_nothing_behind() -> None:
    log, partition = Log(), Partition()
    log.erase(ANN)
    partition.take(log.rows)
    assert set(partition.states) == set()
    assert len(partition.flushes[-1].tombstones) == 1


def test_a_timer_of_theirs_is_nobodys() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, wait=5_000_000)
    partition.take(log.rows)
    log.erase(ANN)
    log.tick(log.now + 60_000_000)
    partition.take(log.rows[1:])
    assert partition.flushes[-1].commands == []
    assert set(partition.states) == set()


@pytest.mark.parametrize("crash_after", [0, 1])
def test_a_crash_on_the_way_erases_all_the_same(crash_after: int) -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.erase(ANN)
    log.event(BOB)
    with pytest.raises(Crash):
        partition.take(log.rows, crash_after=crash_after)
    partition.restart()
    partition.take(log.rows[partition.committed :])
    assert set(partition.states) == {BOB}
    assert partition.flushes[-1].tombstones


def test_a_record_that_names_another_than_its_key_is_refused() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    partition.take(log.rows)
    row = log.erase(ANN)
    row.key = BOB.encode()
    partition.take(log.rows[1:])
    assert ANN in partition.states
    assert [letter.code for letter in partition.letters] == ["wrong_key"]
