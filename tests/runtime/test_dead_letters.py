"""Dead letters keep the whole record."""

import msgspec
import pytest

from services.contracts.deadletter import DeadLetter
from services.contracts.errors import Malformed
from services.contracts.topics import DEAD_LETTERS, EVENTS
from services.runtime.dead_letters import dead_letter_of, send_dead_letter
from services.runtime.kafka import create_topics, make_consumer, make_producer, topic_name
from services.runtime.settings import KafkaSettings

LARGEST = 1_048_000


@pytest.mark.embedded
async def test_the_largest_record_a_broker_takes_fits_into_its_letter(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings, [EVENTS, DEAD_LETTERS])
    value = bytes(range(256)) * (LARGEST // 256)
    async with make_producer(kafka_settings) as producer:
        name = topic_name(kafka_settings, EVENTS)
        await producer.send_and_wait(name, value, key=b"\xff", headers=[("h", b"\x00")])
        async with make_consumer(kafka_settings, EVENTS, group=None) as consumer:
            record = await consumer.getone()
        letter = dead_letter_of(record, Malformed("bad", "it is"), origin="tests")
        await send_dead_letter(producer, kafka_settings, letter)
    async with make_consumer(kafka_settings, DEAD_LETTERS, group=None) as consumer:
        kept = await consumer.getone()
    decoded = msgspec.json.decode(kept.value, type=DeadLetter)
    assert decoded == letter
    assert (decoded.value, decoded.key, decoded.headers) == (value, b"\xff", {"h": b"\x00"})
    assert (decoded.topic, decoded.offset, decoded.code) == (name, 0, "bad")
