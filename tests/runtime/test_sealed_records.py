"""Records are sealed on their way to Kafka, each for its topic and key, and opened on the way."""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from pydantic import SecretStr

from services.contracts.topics import (
    COMMANDS,
    DEFINITIONS,
    EVENTS,
    KIND_HEADER,
    KIND_PACK,
    KIND_TICK,
    TOPICS,
)
from services.runtime.kafka import create_topics, make_consumer, make_producer, topic_name
from services.runtime.sealed_records import RecordSealing
from services.runtime.sealing import MissingKey, Unopened, is_frame
from services.runtime.settings import KafkaSettings


def key(name: str, byte: int = 1) -> str:
    """A key as a setting holds it."""
    return f"{name}:{b64encode(bytes([byte]) * 32).decode()}"


def sealing(keys: str = key("k1"), prefix: str = "t-") -> RecordSealing:
    """What a process with these keys does."""
    return RecordSealing(KafkaSettings(sensitive_keys=SecretStr(keys), topic_prefix=prefix))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row as the batch path's parser makes it."""

    offset: int = 7
    timestamp: int = 1
    key: bytes | None = b"ann"
    value: bytes | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS if topic is not DEFINITIONS])
def test_a_record_of_any_topic_but_definitions_is_sealed(topic: str) -> None:
    ring = sealing()
    sealed = ring.seal(f"t-{topic}", b"ann", b"{}", None)
    assert sealed is not None
    assert is_frame(sealed)
    assert ring.open(f"t-{topic}", b"ann", sealed, 0) == b"{}"


def test_what_is_of_no_person_stays_as_it_is() -> None:
    ring = sealing()
    assert ring.seal("t-definitions", b"tag/x", b"{}", None) == b"{}"
    assert ring.seal("t-events", None, b"{}", [(KIND_HEADER, KIND_TICK)]) == b"{}"
    assert ring.seal("t-profiles", b"ann", None, None) is None
    assert ring.seal("t-events", None, b"{}", [(KIND_HEADER, KIND_PACK)]) != b"{}"


def test_a_record_opens_under_its_topic_and_key_only_whatever_the_prefix() -> None:
    sealed = sealing().seal("t-events", b"ann", b"{}", None)
    assert sealed is not None
    assert sealing(prefix="other.").open("other.events", b"ann", sealed, 0) == b"{}"
    for topic, owner in (("t-events", b"bob"), ("t-commands", b"ann"), ("t-events", None)):
        with pytest.raises(Unopened):
            sealing().open(topic, owner, sealed, 0)


def test_rows_in_the_clear_cost_no_copy() -> None:
    rows = [Row(value=b"{}"), Row(value=None), Row(value=b"")]
    assert sealing().opened("t-events", rows, keep=True) is rows


def test_rows_are_opened_and_what_can_never_be_is_left_for_the_dead_letters() -> None:
    ring = sealing()
    good = ring.seal("t-events", b"ann", b"{}", None)
    moved = ring.seal("t-events", b"bob", b"{}", None)
    rows = [Row(value=b"plain"), Row(value=good, headers=[("a", b"b")]), Row(value=moved)]
    plain, opened, left = ring.opened("t-events", rows, keep=False)
    assert plain is rows[0]
    assert (opened.value, opened.key, opened.offset) == (b"{}", b"ann", 7)
    assert opened.headers == [("a", b"b")]
    assert left.value == moved


@pytest.mark.parametrize("keys", ["", key("k2", 2)])
def test_a_missing_key_stops_the_reader_and_is_named(keys: str) -> None:
    rows = [Row(value=sealing().seal("t-events", b"ann", b"{}", None))]
    with pytest.raises(MissingKey, match="events@7 is sealed with key 'k1'"):
        sealing(keys).opened("t-events", rows, keep=False)
    (kept,) = sealing(keys).opened("t-events", rows, keep=True)
    assert kept.value == rows[0].value


@pytest.mark.parametrize(("keys", "topic"), [("", "t-states"), (key("k1"), "t-events")])
def test_a_value_that_was_kept_is_refused_at_last(keys: str, topic: str) -> None:
    ring, value = sealing(keys), sealing().seal(topic, b"ann", b"{}", None)
    assert value is not None
    ring.refuse("t-states", [b"{}", b""])
    with pytest.raises(Unopened, match=r"^states"):
        ring.refuse("t-states", [b"{}", value])


def consumed(value: bytes | None) -> Any:
    """A record as aiokafka hands it out."""
    return ConsumerRecord("t-events", 0, 7, 1, 0, b"ann", value, None, 3, 3, ())


def test_consumed_records_are_opened_in_place() -> None:
    ring = sealing()
    records = [consumed(ring.seal("t-events", b"ann", b"{}", None)), consumed(None), consumed(b"x")]
    ring.open_in_place(records)
    assert [record.value for record in records] == [b"{}", None, b"x"]
    with pytest.raises(MissingKey):
        sealing("").open_in_place([consumed(ring.seal("t-events", b"ann", b"{}", None))])


@pytest.mark.embedded
async def test_what_is_produced_is_sealed_in_the_topic_and_consumed_in_the_clear(
    kafka_settings: KafkaSettings,
) -> None:
    sealed = kafka_settings.model_copy(update={"sensitive_keys": SecretStr(key("k1"))})
    await create_topics(sealed, [EVENTS, COMMANDS])
    events = topic_name(sealed, EVENTS)
    producer = make_producer(sealed)
    await producer.start()
    try:
        await producer.send_and_wait(events, b"one", b"ann", 0, None, [("a", b"b")])
        await producer.send_and_wait(events, value=b"two", key=b"bob", partition=0)
        batch = producer.create_batch(events)
        batch.append(timestamp=None, key=b"cid", value=b"three")
        batch.append(timestamp=None, key=b"cid", value=None)
        await (await producer.send_batch(batch, events, partition=0))
        with pytest.raises(ValueError, match="sealed for"):
            await producer.send_batch(
                producer.create_batch(topic_name(sealed, COMMANDS)), events, partition=0
            )
    finally:
        await producer.stop()
    opened = await _values(sealed, events)
    assert opened == [b"one", b"two", b"three", None]
    with pytest.raises(MissingKey):
        await _values(kafka_settings, events)


async def _values(settings: KafkaSettings, topic: str) -> list[bytes | None]:
    """All that stands in the first partition, as such a process reads it."""
    consumer = make_consumer(settings, group=None)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        values = [(await consumer.getone()).value]
        while len(values) < 4:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                values += [record.value for record in records]
        return values
    finally:
        await consumer.stop()
