"""`cuestream dlq replay` and `discard`: what goes back where, and what does not."""

import time
from typing import Any

import msgspec
import pytest

from services.cli.dead_letters_done import Chosen, again, discard, replay
from services.contracts.codec import decode_pack, encode_json
from services.contracts.command import SendCommand
from services.contracts.deadletter import DeadLetter
from services.contracts.errors import CuestreamError
from services.contracts.event import Event
from services.contracts.time import HOUR
from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    EVENTS,
    KIND_CANCEL,
    KIND_HEADER,
    KIND_PACK,
    KIND_REPLAY,
)
from services.runtime.dead_letters import send_dead_letter
from services.runtime.kafka import create_topics, make_producer, partition_of
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import read_topic
from tests.cli.test_dead_letters import NOON, listed
from tests.dispatcher.support import a_command

NOW = time.time_ns() // 1000
COMMAND = encode_json(a_command(1, expires_at=NOON))
EVENT = Event(
    message_id="m1",
    person="ann",
    type="track",
    name="order_completed",
    occurred_at=NOON,
    received_at=NOON + 5,
)


def letter(settings: KafkaSettings, **changes: Any) -> DeadLetter:
    """A send that was given up."""
    values: dict[str, Any] = {
        "code": "exhausted",
        "reason": "exhausted: status 503",
        "origin": "dispatcher",
        "topic": settings.topic_prefix + "commands",
        "partition": 1,
        "offset": 7,
        "at": NOON,
        "key": b"person-1",
        "value": COMMAND,
    }
    return DeadLetter(**(values | changes))


def back(**changes: Any) -> Any:
    """The record that a letter is replayed as."""
    within, ambiguous = changes.pop("within", None), changes.pop("ambiguous", False)
    settings = KafkaSettings()
    one = letter(settings, **changes)
    return again(one, settings, now=NOW, within=within, ambiguous=ambiguous)


def test_a_send_goes_back_as_a_replay_of_the_same_command() -> None:
    record = back()
    assert (record.topic, record.key, record.value) == ("commands", b"person-1", COMMAND)
    assert record.headers == [(KIND_HEADER, KIND_REPLAY)]


def test_a_send_may_get_a_new_deadline_and_nothing_else() -> None:
    command = msgspec.json.decode(back(within=2 * HOUR).value, type=SendCommand)
    assert command == a_command(1, expires_at=NOW + 2 * HOUR)


def test_what_may_have_arrived_is_sent_again_only_by_name() -> None:
    with pytest.raises(CuestreamError, match="may have arrived"):
        back(code="ambiguous")
    assert back(code="ambiguous", ambiguous=True).value == COMMAND


def test_a_record_of_another_kind_goes_back_as_what_it_was() -> None:
    record = back(headers={KIND_HEADER: KIND_CANCEL}, code="bad_cancel")
    assert record.headers == [(KIND_HEADER, KIND_CANCEL)]


def test_an_event_out_of_a_pack_goes_back_alone_with_its_own_times() -> None:
    record = back(topic="events", origin="triggers", index=3, value=encode_json(EVENT))
    assert decode_pack(record.value) == [EVENT]
    assert record.headers == [(KIND_HEADER, KIND_PACK)]
    assert record.key == b"ann"


def test_a_whole_record_of_events_goes_back_to_its_partition_at_its_time() -> None:
    record = back(topic="events", origin="triggers", key=b"ann", value=b"{}", headers={"a": b"b"})
    assert (record.partition, record.key, record.value) == (1, b"ann", b"{}")
    assert record.headers == [("a", b"b")]
    assert record.timestamp_ms == NOON // 1000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"topic": "http:/v1/batch", "origin": "ingest"}, "sent again"),
        ({"topic": "profiles"}, "sent again"),
        ({"value": None}, "no value"),
        ({"topic": "events", "index": 0, "value": b'{"v":'}, "only a part"),
        ({"value": b"?", "within": HOUR}, "no command"),
    ],
)
def test_what_cannot_be_replayed_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CuestreamError, match=reason):
        back(**changes)


@pytest.fixture
async def settings(kafka_settings: KafkaSettings) -> KafkaSettings:
    """Letters: a send, an ambiguous one, an event of a pack, one of ingest."""
    await create_topics(kafka_settings, [DEAD_LETTERS, COMMANDS, EVENTS])
    events = kafka_settings.topic_prefix + "events"
    letters = [
        letter(kafka_settings),
        letter(kafka_settings, code="ambiguous"),
        letter(kafka_settings, topic=events, index=0, origin="triggers", value=encode_json(EVENT)),
        letter(kafka_settings, topic="http:/v1/batch", origin="ingest", code="bad_event"),
    ]
    async with make_producer(kafka_settings) as producer:
        for one in letters:
            await send_dead_letter(producer, kafka_settings, one)
    return kafka_settings


@pytest.mark.embedded
async def test_a_replay_writes_the_records_and_marks_their_letters(
    settings: KafkaSettings,
) -> None:
    replayed, refused = await replay(settings, Chosen(offsets=(0, 1, 2, 3)), now=NOW)
    assert replayed == [0, 2]
    assert refused.keys() == {1, 3}
    (command,) = [one async for one in read_topic(settings, COMMANDS, timeout_seconds=30)]
    assert (command.value, command.key) == (COMMAND, b"person-1")
    assert command.partition == partition_of(b"person-1", settings.partitions)
    (event,) = [one async for one in read_topic(settings, EVENTS, timeout_seconds=30)]
    assert decode_pack(event.value) == [EVENT]
    assert event.partition == partition_of(b"ann", settings.partitions)
    assert "2 dead letters, 2 shown" in await listed(settings)
    text = await listed(settings, everything=True)
    assert "4 dead letters, 4 shown" in text
    assert text.count("replayed") == 2
    with pytest.raises(CuestreamError, match="no open dead letter at 0"):
        await replay(settings, Chosen(offsets=(0, 1)), now=NOW)


@pytest.mark.embedded
async def test_letters_can_be_discarded_by_code_or_origin(settings: KafkaSettings) -> None:
    assert await discard(settings, Chosen(origin="ingest"), now=NOW) == [3]
    assert await discard(settings, Chosen(code="exhausted", limit=1), now=NOW) == [0]
    assert await discard(settings, Chosen(code="exhausted"), now=NOW) == [2]
    assert "1 dead letters, 1 shown" in await listed(settings)
    with pytest.raises(CuestreamError, match="say which"):
        await discard(settings, Chosen(), now=NOW)
