"""A record that the worker finds still sealed: a missing key stops it, anything else is buried."""

from base64 import b64encode

import pytest

from services.contracts.topics import KIND_PACK
from services.runtime.sealing import Keyring, MissingKey
from tests.worker.driver import Log, Partition, people

ANN, BOB = people(2)
KEYS = f"k1:{b64encode(bytes(32)).decode()}"


@pytest.mark.parametrize("kind", [None, KIND_PACK, b"delivery/1"])
def test_a_record_whose_key_is_not_listed_stops_the_fold(kind: bytes | None) -> None:
    log, partition = Log(), Partition()
    log.event(ANN)
    log.raw(Keyring(KEYS).seal_bytes(b"{}", b"events\0"), BOB.encode(), kind)
    with pytest.raises(MissingKey, match="events@1 is sealed with key 'k1'"):
        partition.take(log.rows)
    assert (partition.flushes, partition.committed) == ([], 0)


def test_a_record_that_no_key_can_open_is_a_dead_letter_as_it_is() -> None:
    log, partition = Log(), Partition(keys=Keyring(KEYS))
    moved = Keyring(KEYS).seal_bytes(b"{}", b"commands\0")
    log.raw(moved, BOB.encode())
    log.raw(b"\xc1 noise", BOB.encode())
    log.event(ANN)
    partition.take(log.rows)
    assert [letter.code for letter in partition.letters] == ["not_opened", "not_opened"]
    assert partition.letters[0].value == moved
    assert list(partition.states) == [ANN]
