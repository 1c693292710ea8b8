"""Token buckets, pressure, write keys and settings."""

import gzip
import math
import tracemalloc

import pytest
from pydantic import ValidationError

from services.ingest.body import decoded_body
from services.ingest.keys import WriteKeys, key_of_header
from services.ingest.pressure import Pressure, TokenBucket
from services.ingest.refusals import Refused
from services.ingest.settings import IngestSettings


class Watch:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    watch = Watch()
    bucket = TokenBucket(10, monotonic=watch, burst_seconds=2.0)
    assert [bucket.take(1) for _ in range(20)] == [0.0] * 20
    wait = bucket.take(1)
    assert wait == pytest.approx(0.1)
    watch.seconds += wait
    assert bucket.take(1) == 0.0
    assert bucket.take(1) > 0


def test_a_batch_larger_than_the_bucket_passes_once_and_is_waited_for() -> None:
    watch = Watch()
    bucket = TokenBucket(10, monotonic=watch, burst_seconds=1.0)
    assert bucket.take(100) == 0.0
    assert bucket.take(1) == pytest.approx(9.1)
    watch.seconds += 9.05
    assert bucket.take(1) == 0.0


def test_a_bucket_does_not_save_beyond_its_burst() -> None:
    watch = Watch()
    bucket = TokenBucket(10, monotonic=watch, burst_seconds=1.0)
    watch.seconds += 3600
    assert bucket.take(10) == 0.0
    assert bucket.take(1) > 0


def test_a_bucket_of_rate_0_never_has_anything() -> None:
    assert TokenBucket(0, monotonic=Watch()).take(1) == math.inf


def test_pressure_is_full_at_either_bound_and_free_again_below() -> None:
    pressure = Pressure(events_max=2, bytes_max=100)
    seen = []
    for events, size in ((1, 99), (1, 0), (-2, 0), (0, 1), (0, -100)):
        pressure.add(events=events, size=size)
        seen.append(pressure.is_full)
    assert seen == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("Bearer abc", None),
        ("Basic V1JJVEVLRVkxMjM6", "WRITEKEY123"),
        ("basic  V1JJVEVLRVkxMjM6 ", "WRITEKEY123"),
        ("Basic a2V5OnBhc3M6d29yZA==", "key"),
        ("Basic a2V5", "key"),
        ("Basic", ""),
        ("Basic ***", ""),
        ("Basic /w==", ""),
        ("Basic é", ""),
    ],
)
def test_the_write_key_is_the_user_name_of_basic(header: str | None, key: str | None) -> None:
    assert key_of_header(header) == key


def test_write_keys_are_found_by_their_whole_text_only() -> None:
    keys = WriteKeys(["abc"], events_per_second=0, monotonic=Watch())
    assert keys.find("abc") is not None
    for other in ("", "ab", "abcd", "ABC", "abc\x00", "\ud800", "abc" * 1000):
        assert keys.find(other) is None


@pytest.mark.slow
def test_a_gzip_bomb_is_never_unpacked_past_the_bound() -> None:
    bomb = gzip.compress(b" " * 200_000_000, 9)
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            decoded_body(bomb, "gzip", bytes_max=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_the_default_write_key_never_leaves_the_machine() -> None:
    assert IngestSettings().accepted_write_keys == ("local",)
    IngestSettings(host="::1")
    IngestSettings(host="localhost")
    IngestSettings(host="0.0.0.0", write_keys="mine")
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ValidationError, match="CUESTREAM_WRITE_KEYS"):
            IngestSettings(host=host)
        with pytest.raises(ValidationError):
            IngestSettings(host=host, write_keys="mine,local")
