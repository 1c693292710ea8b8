"""What a batch of records becomes: rows, dead letters, retries."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from services.contracts.codec import encode_json
from services.contracts.command import Erased
from services.contracts.deadletter import DeadLetter
from services.contracts.errors import Malformed, Transient
from services.contracts.profile import Profile
from services.contracts.topics import ERASED_HEADER, KIND_ERASED, KIND_HEADER
from services.profile_store.intake import Intake
from services.profile_store.memory import MemoryProfiles
from services.profile_store.profiles import Written
from services.profile_store.storing import ATTEMPTS_MAX, RETRY_SECONDS_MAX, Record
from services.runtime.metrics import Metrics
from tests.profile_store.examples import NOON, profile


def record(value: bytes | None, offset: int = 0) -> Record:
    return ConsumerRecord(
        topic="profiles",
        partition=2,
        offset=offset,
        timestamp=NOON // 1000,
        timestamp_type=0,
        key=b"key",
        value=value,
        checksum=None,
        serialized_key_size=3,
        serialized_value_size=0 if value is None else len(value),
        headers=(("h", b"v"),),
    )


class Bench:
    """An intake with its surroundings in memory."""

    def __init__(self, profiles: MemoryProfiles) -> None:
        self.profiles = profiles
        self.metrics = Metrics()
        self.letters: list[DeadLetter] = []
        self.letter_failures: list[Exception] = []
        self.slept: list[float] = []
        self.erased: list[Erased] = []
        self.intake = Intake(profiles, self._erase, self._bury, self.metrics, sleep=self._sleep)

    async def _bury(self, letter: DeadLetter) -> None:
        if self.letter_failures:
            raise self.letter_failures.pop(0)
        self.letters.append(letter)

    async def _erase(self, erased: Erased) -> None:
        self.erased.append(erased)
        self.profiles.stored.pop(erased.person, None)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def counted(self, name: str, **labels: str) -> float | None:
        registry: CollectorRegistry = self.metrics.registry
        return registry.get_sample_value(name, labels)


@pytest.fixture
def bench() -> Bench:
    return Bench(MemoryProfiles())


BAD_VALUES = {
    "no value": (None, "bad_profile"),
    "nothing": (b"", "bad_profile"),
    "no JSON": (b"\xff\xfe", "bad_profile"),
    "another shape": (b"[]", "bad_profile"),
    "fields missing": (b'{"person":"a"}', "bad_profile"),
    "a wrong type": (encode_json(profile()).replace(b'"revision":7', b'"revision":"7"'),
                     "bad_profile"),
    "not a number": (encode_json(profile()).replace(b'"revision":7', b'"revision":NaN'),
                     "bad_profile"),
    "a lone surrogate": (encode_json(profile()).replace(b"Paris", b"\\ud800"), "bad_profile"),
    "bytes that are no UTF-8": (encode_json(profile()).replace(b"Paris", b"\xc3("),
                                "bad_profile"),
    "endless depth": (b"[" * 100_000, "bad_profile"),
    "deep traits": (
        encode_json(profile()).replace(b'"Paris"', b"[" * 5_000 + b"]" * 5_000), "bad_profile"
    ),
    "a newer schema": (encode_json(profile(v=9)), "newer_schema"),
    "a time out of range": (encode_json(profile(as_of=2**62)), "unstorable"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_VALUES)
async def test_a_bad_record_becomes_a_dead_letter_and_the_rest_goes_through(
    bench: Bench, what: str
) -> None:
    value, code = BAD_VALUES[what]
    good = [record(encode_json(profile("a")), 4), record(encode_json(profile("b")), 6)]
    await bench.intake.store([good[0], record(value, 5), good[1]])
    assert set(bench.profiles.stored) == {"a", "b"}
    (letter,) = bench.letters
    assert (letter.code, letter.origin) == (code, "profile-store")
    assert (letter.topic, letter.partition, letter.offset) == ("profiles", 2, 5)
    assert (letter.key, letter.value, letter.headers) == (b"key", value, {"h": b"v"})
    labels = {"origin": "profile-store", "code": code}
    assert bench.counted("cuestream_dead_letters_total", **labels) == 1
    assert "Paris" not in letter.reason


class Refusing(MemoryProfiles):
    """Refuses a batch with a certain person in it for a reason only the database knows."""

    async def put(self, batch: Sequence[Profile]) -> Written:
        if any(one.person == "cursed" for one in batch):
            raise Malformed("unstorable", "PostgreSQL refuses it with 22P05")
        return await super().put(batch)


async def test_one_profile_the_database_refuses_does_not_hold_up_its_batch() -> None:
    bench = Bench(Refusing())
    people = [f"p{number}" for number in range(16)]
    people.insert(11, "cursed")
    await bench.intake.store(
        [record(encode_json(profile(person)), number) for number, person in enumerate(people)]
    )
    assert set(bench.profiles.stored) == set(people) - {"cursed"}
    assert [(letter.offset, letter.code) for letter in bench.letters] == [(11, "unstorable")]


async def test_a_database_that_is_away_is_asked_again_until_it_is_back(bench: Bench) -> None:
    bench.profiles.failing = [Transient("away")] * 9
    await bench.intake.store([record(encode_json(profile("a")))])
    assert set(bench.profiles.stored) == {"a"}
    assert len(bench.slept) == 9
    assert max(bench.slept) <= RETRY_SECONDS_MAX
    assert bench.counted("cuestream_retries_total", operation="profiles") == 9


async def test_after_the_last_retry_the_error_comes_out(bench: Bench) -> None:
    bench.profiles.failing = [Transient("away")] * (ATTEMPTS_MAX + 1)
    with pytest.raises(Transient):
        await bench.intake.store([record(encode_json(profile("a")))])
    assert not bench.profiles.stored


async def test_a_dead_letter_is_retried_before_anything_else_happens(bench: Bench) -> None:
    bench.letter_failures = [Transient("broker away")]
    await bench.intake.store([record(b"bad"), record(encode_json(profile("a")))])
    assert len(bench.letters) == 1
    assert set(bench.profiles.stored) == {"a"}


async def test_a_bug_is_neither_retried_nor_buried(bench: Bench) -> None:
    bench.profiles.failing = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await bench.intake.store([record(encode_json(profile("a")))])
    assert not bench.slept
    assert not bench.letters


async def test_snapshots_are_counted_as_written_or_stale(bench: Bench) -> None:
    older, newer = profile("a", source_offset=1), profile("a", source_offset=2)
    await bench.intake.store([record(encode_json(newer)), record(encode_json(older))])
    await bench.intake.store([record(encode_json(newer))])
    assert bench.counted("cuestream_profile_upserts_total", outcome="written") == 1
    assert bench.counted("cuestream_profile_upserts_total", outcome="stale") == 2


def erasure(person: str, *, at: int = NOON, key: bytes | None = None) -> Record:
    """A record that takes a profile away."""
    told = encode_json(Erased(person=person, request="r1", at=at))
    made = record(None)
    made.key = person.encode() if key is None else key
    made.headers = ((KIND_HEADER, KIND_ERASED), (ERASED_HEADER, told))
    return made


async def test_who_is_erased_is_forgotten_in_the_order_of_the_log(bench: Bench) -> None:
    before, after = profile("a", source_offset=1), profile("a", source_offset=9)
    others = record(encode_json(profile("b")))
    await bench.intake.store([record(encode_json(before)), others, erasure("a")])
    assert set(bench.profiles.stored) == {"b"}
    await bench.intake.store([erasure("b"), record(encode_json(after))])
    assert set(bench.profiles.stored) == {"a"}
    assert [one.person for one in bench.erased] == ["a", "b"]
    assert bench.counted("cuestream_profile_upserts_total", outcome="erased") == 2


async def test_an_erasure_under_the_key_of_another_is_a_dead_letter(bench: Bench) -> None:
    await bench.intake.store([record(encode_json(profile("a"))), erasure("a", key=b"b")])
    assert set(bench.profiles.stored) == {"a"}
    assert [letter.code for letter in bench.letters] == ["bad_erased"]


async def test_batches_at_one_time_are_stored_in_their_order(bench: Bench) -> None:
    bench.profiles.failing = [Transient("away")]
    first = bench.intake.store([record(encode_json(profile("a")))])
    second = bench.intake.store([erasure("a")])
    await asyncio.gather(first, second)
    assert set(bench.profiles.stored) == set()
