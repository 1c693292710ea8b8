"""From a consumed record that can never be processed to its dead letter."""

from typing import Final

from aiokafka import AIOKafkaProducer, ConsumerRecord

from services.contracts.codec import encode_json
from services.contracts.deadletter import DeadLetter
from services.contracts.errors import Malformed, Transient
from services.contracts.time import Micros
from services.contracts.topics import DEAD_LETTERS
from services.runtime.kafka import KAFKA_ERRORS, topic_name
from services.runtime.sealing import is_frame
from services.runtime.settings import KafkaSettings

MILLIS: Final = 1000


def dead_letter_of(
    record: "ConsumerRecord[bytes | None, bytes | None]", error: Malformed, *, origin: str
) -> DeadLetter:
    """The record whole, with the reason. Its time is the record's: the same letter each time."""
    error = blamed(record.value, error)
    at: Micros = record.timestamp * MILLIS
    return DeadLetter(
        code=error.code,
        reason=error.message,
        origin=origin,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=at,
        key=record.key,
        value=record.value,
        headers={name: value or b"" for name, value in record.headers},
    )


def blamed(value: bytes | None, error: Malformed) -> Malformed:
    """Why a record is a dead letter: one that is still sealed is not what was found in it."""
    if not is_frame(value):
        return error
    return Malformed("not_opened", "a sealed value that was changed, or belongs elsewhere")


async def send_dead_letter(
    producer: AIOKafkaProducer, settings: KafkaSettings, letter: DeadLetter
) -> None:
    """Write one dead letter; returns when all in-sync replicas have it.

    Raises:
        Transient: the broker did not take it now.
    """
    try:
        await producer.send_and_wait(
            topic_name(settings, DEAD_LETTERS), encode_json(letter), key=letter.origin.encode()
        )
    except KAFKA_ERRORS as error:
        raise Transient(f"dead letter not written: {type(error).__name__}") from error
