"""Every client must put a person into the same partition, or one person has two logs."""

import pytest

from services.runtime.kafka import partition_of


@pytest.mark.parametrize(
    ("key", "java_murmur2"),
    [
        # The vectors of Apache Kafka's own test of Utils.murmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_lands_where_kafkas_java_client_puts_it(key: bytes, java_murmur2: int) -> None:
    for partitions in (1, 4, 8, 12, 1024):
        assert partition_of(key, partitions) == (java_murmur2 & 0x7FFFFFFF) % partitions


def test_an_id_that_is_not_ascii_is_partitioned_by_its_utf8_bytes() -> None:
    assert partition_of("用户-42".encode(), 1024) == partition_of(
        b"\xe7\x94\xa8\xe6\x88\xb7-42", 1024
    )
    assert partition_of("用户-42".encode(), 1 << 20) != partition_of(b"user-42", 1 << 20)
