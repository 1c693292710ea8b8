"""`cuestream dlq` tells what went wrong, and keeps personal values to itself unless asked."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from services.cli.dead_letters import list_letters, show_letter
from services.contracts.codec import encode_json
from services.contracts.deadletter import DeadLetter
from services.contracts.errors import CuestreamError
from services.contracts.topics import DEAD_LETTERS
from services.runtime.dead_letters import send_dead_letter
from services.runtime.kafka import create_topics, make_producer, topic_name
from services.runtime.settings import KafkaSettings

PERSONAL = "ana@example.com"
NOON = 1_772_366_400_000_000


def letter(number: int, **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "code": "bad_event",
        "reason": "type is missing",
        "origin": "triggers",
        "topic": "events",
        "partition": 3,
        "offset": number,
        "at": NOON,
        "key": PERSONAL.encode(),
        "value": b'{"email":"%s"}' % PERSONAL.encode(),
        "headers": {"who": PERSONAL.encode()},
    }
    return DeadLetter(**{**fields, **changes})


@pytest.fixture
async def settings(kafka_settings: KafkaSettings) -> KafkaSettings:
    """Four letters, one record that is none, one letter."""
    await create_topics(kafka_settings, [DEAD_LETTERS])
    name = topic_name(kafka_settings, DEAD_LETTERS)
    async with make_producer(kafka_settings) as producer:
        for number in range(3):
            await send_dead_letter(producer, kafka_settings, letter(number, index=number))
        odd = letter(7, origin="profile-store", code="bad_profile", value=b"\xff\x1b[2J", at=10**18)
        await send_dead_letter(producer, kafka_settings, odd)
        await producer.send_and_wait(name, b"not ours")
        await producer.send_and_wait(name, encode_json(letter(9)))
    return kafka_settings


async def listed(settings: KafkaSettings, **options: Any) -> str:
    table = await list_letters(settings, **{"code": None, "origin": None, "limit": 50, **options})
    text = StringIO()
    Console(width=200, file=text).print(table)
    return text.getvalue()


@pytest.mark.embedded
async def test_the_list_gives_reason_and_origin_and_nothing_personal(
    settings: KafkaSettings,
) -> None:
    text = await listed(settings)
    assert "6 dead letters, 6 shown" in text
    assert "type is missing" in text
    assert "events/3@2[2]" in text
    assert "2026-03-01T12:00:00.000Z" in text
    assert "unreadable" in text
    assert PERSONAL not in text


@pytest.mark.embedded
async def test_the_list_can_be_narrowed(settings: KafkaSettings) -> None:
    assert "1 dead letters, 1 shown" in await listed(settings, code="bad_profile")
    assert "1 dead letters, 1 shown" in await listed(settings, origin="profile-store")
    newest = await listed(settings, code="bad_event", limit=1)
    assert "4 dead letters, 1 shown" in newest
    assert "events/3@9" in newest


@pytest.mark.embedded
async def test_a_letter_shows_its_record_only_when_asked(settings: KafkaSettings) -> None:
    hidden = await show_letter(settings, 0, raw=False)
    assert hidden["code"] == "bad_event"
    assert hidden["record"] == "events/3@0[0]"
    assert PERSONAL not in str(hidden)
    raw = await show_letter(settings, 0, raw=True)
    assert raw["key"] == PERSONAL
    assert raw["headers"] == {"who": PERSONAL}
    assert raw["value"] == f'{{"email":"{PERSONAL}"}}'
    assert (await show_letter(settings, 3, raw=True))["value"] == {"hex": "ff1b5b324a"}


@pytest.mark.embedded
@pytest.mark.parametrize(("offset", "reason"), [(4, "is no dead letter"), (99, "has offset 99")])
async def test_asking_for_what_is_not_there_is_said(
    settings: KafkaSettings, offset: int, reason: str
) -> None:
    with pytest.raises(CuestreamError, match=reason):
        await show_letter(settings, offset, raw=False)
