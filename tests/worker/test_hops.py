"""Hops of merges: read like any record, undone with their maker, routed to where they belong."""

import msgspec
import pytest

from services.contracts.codec import (
    decode_answer,
    decode_ask,
    encode_event,
    encode_hop,
    encode_pack,
)
from services.contracts.control import Answer, Ask, Forward
from services.contracts.event import Event
from services.contracts.topics import KIND_ANSWER, KIND_ASK, KIND_FORWARD, KIND_HEADER, KIND_PACK
from services.runtime.batch.writer import VALUE_BYTES_MAX
from services.triggers.worker import fold as fold_module
from services.triggers.worker.single import made_by
from tests.worker.driver import PARTITION, Log, Partition, people
from tests.worker.standin import stand_in

ANN, BOB = people(2)
ELSEWHERE = 1
EVE, FAY = people(2, partition=ELSEWHERE)


def forward(person: str, *, source: str = EVE, position: int = 9, body: bytes = b"") -> Forward:
    event = Event(
        person=source, type="track", name="note", message_id="e1", occurred_at=1, received_at=1
    )
    return Forward(
        person=person,
        source=source,
        at=1,
        position=position,
        kind="event",
        body=body or encode_event(event),
    )


def codes(partition: Partition) -> list[str]:
    return [letter.code for letter in partition.letters]


def test_a_hop_goes_to_the_partition_of_its_person_under_their_key() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "ask", of=EVE)
    log.event(ANN, "ask", of=BOB)
    partition.take(log.rows)
    (first, second) = partition.hops
    assert first[:2] == (ELSEWHERE, EVE.encode())
    assert first[3] == ((KIND_HEADER, KIND_ASK),)
    assert decode_ask(first[2]) == Ask(person=EVE, by=ANN, at=log.rows[0].timestamp * 1000)
    assert second[:2] == (PARTITION, BOB.encode())


def test_whoever_is_asked_answers_and_hands_on_what_still_comes() -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.hop(Ask(person=ANN, by=EVE, at=5))
    log.pack((ANN, "note"), (BOB, "note"))
    partition.take(log.rows)
    assert [hop[3][0][1] for hop in partition.hops] == [KIND_ANSWER, KIND_FORWARD]
    assert decode_answer(partition.hops[0][2]).position == 1 << 16
    assert partition.states[ANN].notes == []
    (flush,) = partition.flushes
    assert (flush.hopped, flush.merged) == ({"answer": 1, "forward": 1}, 1)


def test_what_is_handed_over_twice_is_taken_once() -> None:
    log, partition = Log(), Partition()
    for _ in range(2):
        log.hop(forward(ANN, position=9))
        log.hop(forward(ANN, position=12))
    partition.take(log.rows)
    assert partition.states[ANN].notes == [f"{EVE}>e1@0"] * 2


def test_a_hop_for_somebody_of_another_partition_is_refused() -> None:
    log, partition = Log(), Partition()
    log.hop(forward(EVE, source=ANN))
    log.hop(Ask(person=EVE, by=ANN, at=1))
    log.hop(Answer(person=EVE, source=ANN, at=1, position=3))
    partition.take(log.rows)
    assert codes(partition) == ["wrong_partition"] * 3
    assert partition.states == {}


def test_a_malformed_hop_is_a_dead_letter() -> None:
    log, partition = Log(), Partition()
    log.raw(b"?", ANN.encode(), KIND_ASK)
    log.raw(encode_hop(Ask(person=ANN, by=EVE, at=1)), ANN.encode(), KIND_ANSWER)
    log.raw(encode_hop(Ask(v=9, person=ANN, by=EVE, at=1)), ANN.encode(), KIND_ASK)
    log.raw(encode_hop(forward(ANN)), BOB.encode(), KIND_FORWARD)
    log.raw(None, ANN.encode(), KIND_FORWARD)
    log.hop(forward(ANN, body=b"?"))
    log.hop(Ask(person=ANN, by="", at=1))
    log.hop(forward(ANN, source="\x00partition"))
    partition.take(log.rows)
    assert codes(partition) == [
        "bad_ask",
        "bad_answer",
        "newer_schema",
        "wrong_key",
        "empty_record",
        "bad_forward",
        "bad_person",
        "bad_person",
    ]
    assert partition.states == {}


def test_a_hop_to_nobody_is_a_dead_letter_of_its_maker() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "ask", of="")
    partition.take(log.rows)
    assert codes(partition) == ["bad_person"]
    assert partition.letters[0].key == ANN.encode()
    assert partition.hops == []


def test_a_hop_too_large_for_a_record_is_a_dead_letter() -> None:
    log, partition = Log(), Partition()
    log.hop(Ask(person=ANN, by=EVE, at=1))
    # Alone it fits a record, with what a forward adds it does not.
    log.raw(encode_pack([_large()]), kind=KIND_PACK)
    partition.take(log.rows)
    assert codes(partition) == ["output_too_large"]
    assert partition.letters[0].key == ANN.encode()


def _large() -> Event:
    event = Event(
        person=ANN, type="track", name="note", message_id="big", occurred_at=1, received_at=1
    )
    room = VALUE_BYTES_MAX - len(encode_event(event)) - 20
    return msgspec.structs.replace(event, properties={"much": "x" * room})


def test_hops_of_a_failed_call_are_gone_and_earlier_ones_are_made_again() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "ask", of=EVE)
    log.event(BOB, "ask", of=FAY)
    log.event(ANN, "ask_boom", of=FAY)
    log.event(ANN, "ask", of=BOB)
    partition.take(log.rows)
    asked = [decode_ask(hop[2]) for hop in partition.hops]
    assert sorted((ask.by, ask.person) for ask in asked) == sorted(
        [(ANN, EVE), (BOB, FAY), (ANN, BOB)]
    )
    assert codes(partition) == ["engine_error"]


def test_whoever_asks_in_anothers_name_has_made_the_hop() -> None:
    assert made_by(Ask(person=ANN, by=BOB, at=1)) == BOB
    assert made_by(Ask(person=ANN, by=BOB, at=1, source=EVE)) == EVE


def test_somebody_handed_over_is_brought_back_to_that_by_a_failure() -> None:
    log, partition = Log(), Partition()
    log.event(ANN, "note")
    log.hop(Ask(person=ANN, by=EVE, at=1))
    log.event(ANN, "note")
    log.event(ANN, "boom")
    log.event(ANN, "note")
    partition.take(log.rows)
    handed = [hop[3][0][1] for hop in partition.hops]
    assert handed == [KIND_ANSWER, KIND_FORWARD, KIND_FORWARD]
    assert partition.states[ANN].merged_into == EVE


def test_hops_that_were_folded_are_skipped_in_a_replay() -> None:
    log, partition = Log(), Partition()
    log.hop(Ask(person=ANN, by=EVE, at=1))
    log.hop(forward(BOB))
    partition.take(log.rows)
    partition.restart()
    partition.take(log.rows)
    assert partition.count("replayed") == 2
    assert len(partition.hops) == 1


def test_many_hops_of_few_people_are_written_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "FLUSH_HOPS_MAX", 10)
    monkeypatch.setattr(fold_module, "TOGETHER_MAX", 1)
    log, partition = Log(), Partition()
    for _ in range(35):
        log.event(ANN, "ask", of=EVE)
    partition.take(log.rows)
    assert len(partition.hops) == 35
    assert max(sum(map(len, flush.hops.values())) for flush in partition.flushes) == 10


def test_a_state_too_large_to_write_takes_its_hops_with_it() -> None:
    log, partition = Log(), Partition(stand_in())
    log.event(ANN, "ask", of=EVE)
    log.event(ANN, "grow")
    partition.take(log.rows)
    assert partition.hops == []
    assert codes(partition) == ["state_too_large"] * 2
