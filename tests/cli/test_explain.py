"""`cuestream explain` and `backtest --events topic`, on a log that a worker has folded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from services.cli.backtest_run import question, run
from services.contracts.codec import encode_json, encode_pack
from services.contracts.definitions import HEAD_KEY, DefinitionRecord, definition_key
from services.contracts.errors import CuestreamError, Transient
from services.contracts.event import TRACK, Event
from services.contracts.time import DAY, HOUR, Micros
from services.contracts.topics import (
    DECISIONS,
    DEFINITIONS,
    EVENTS,
    KIND_HEADER,
    KIND_PACK,
    TOPICS,
)
from services.runtime.kafka import create_topics, make_producer, partition_of, topic_name
from services.runtime.settings import KafkaSettings
from services.triggers.backtest.rules import read_topic_bundle
from services.triggers.definitions.values import Definition, kind_of
from services.triggers.engine import Outputs, compile_rules, decide, encode_state, new_state
from services.triggers.trial.from_topics import CHANGELOG, explain_from_topics
from tests.engine.build import bundle, policy, trigger

pytestmark = pytest.mark.embedded

COMMAND = [sys.executable, "-c", "from services.cli.main import app; app()", "explain"]
NOON = 20_600 * DAY + 12 * HOUR
PERSON = "ada"
DEFINED = bundle(
    trigger("hello"),
    trigger(
        "dear",
        entry={"events": ["order"], "where": {"property": "amount", "op": "gte", "value": 100}},
    ),
    policy("daily", limit=1),
    revision=4,
)


def order(at: Micros, amount: int, person: str = PERSON) -> Event:
    return Event(
        person=person,
        type=TRACK,
        name="order",
        message_id=f"{person}-{at}",
        occurred_at=at,
        received_at=at,
        properties={"amount": amount},
        user_id=person,
    )


MISPLACED = b'{"type": "track", "event": "order", "userId": "bob"}'
EVENTS_OF_ADA = [order(NOON, 20), order(NOON + HOUR, 30)]


@pytest.fixture
async def settings(kafka_settings: KafkaSettings) -> KafkaSettings:
    """Definitions, two events, and what the engine made of them, where a worker puts it."""
    await create_topics(kafka_settings, [*TOPICS, CHANGELOG])
    rules, out, state = compile_rules(DEFINED), Outputs(), new_state(PERSON)
    for event in EVENTS_OF_ADA:
        decide(state, event, rules, event.received_at, out)
    partition = partition_of(PERSON.encode(), kafka_settings.partitions)

    defined: list[Definition] = [*DEFINED.triggers, *DEFINED.policies]
    async with make_producer(kafka_settings) as producer:
        for one in defined:
            kind = kind_of(one)
            record = DefinitionRecord(
                kind=kind,
                id=one.id,
                version=1,
                revision=4,
                definition=msgspec.to_builtins(one),
            )
            await producer.send_and_wait(
                topic_name(kafka_settings, DEFINITIONS),
                encode_json(record),
                key=definition_key(kind, one.id),
            )
        head = DefinitionRecord(kind="revision", id="head", version=4, revision=4)
        await producer.send_and_wait(
            topic_name(kafka_settings, DEFINITIONS), encode_json(head), key=HEAD_KEY
        )
        for topic, key, values, headers in (
            (EVENTS, None, [encode_pack(EVENTS_OF_ADA)], [(KIND_HEADER, KIND_PACK)]),
            (EVENTS, b"eve", [b"{poison", MISPLACED], []),
            (DECISIONS, PERSON.encode(), [encode_json(one) for one in out.decisions], []),
            (CHANGELOG, PERSON.encode(), [b"older", encode_state(state)], []),
        ):
            for value in values:
                await producer.send_and_wait(
                    topic_name(kafka_settings, topic),
                    value,
                    key=key,
                    partition=partition,
                    headers=headers,
                )
    return kafka_settings


async def test_a_refusal_is_explained_from_the_records(settings: KafkaSettings) -> None:
    told = await explain_from_topics(settings, PERSON, "hello", now=NOON + 2 * HOUR)
    assert (told.verdict, told.decisions, told.revision) == ("cap", 2, 4)
    assert "policy daily, count 1, limit 1" in told.sentence


async def test_an_entry_that_did_not_match_is_explained_from_the_last_events(
    settings: KafkaSettings,
) -> None:
    told = await explain_from_topics(settings, PERSON, "dear", now=NOON + 2 * HOUR)
    assert told.verdict == "entry_not_matched"
    assert "property amount is 30 and has to be at least 100" in told.sentence
    assert [one.event_id for one in told.findings] == [one.message_id for one in EVENTS_OF_ADA]


async def test_the_number_of_partitions_is_the_brokers(settings: KafkaSettings) -> None:
    wrong = settings.model_copy(update={"partitions": settings.partitions * 2 + 1})
    assert (await explain_from_topics(wrong, PERSON, "hello", now=NOON)).decisions == 2


async def test_a_merged_person_is_explained_as_who_they_are_now(settings: KafkaSettings) -> None:
    visitor = new_state("visitor")
    visitor.merged_into = PERSON
    async with make_producer(settings) as producer:
        await producer.send_and_wait(
            topic_name(settings, CHANGELOG),
            encode_state(visitor),
            key=b"visitor",
            partition=partition_of(b"visitor", settings.partitions),
        )
    found = await explain_from_topics(settings, "visitor", "hello", now=NOON + 2 * HOUR)
    assert found == await explain_from_topics(settings, PERSON, "hello", now=NOON + 2 * HOUR)


async def test_a_person_nobody_knows_is_said(settings: KafkaSettings) -> None:
    with pytest.raises(CuestreamError, match="nothing is known of this person"):
        await explain_from_topics(settings, "nobody", "hello", now=NOON)


async def test_without_topics_that_is_said(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(Transient, match="is missing: `cuestream topics` creates it"):
        await explain_from_topics(kafka_settings, PERSON, "hello", now=NOON)


async def test_history_and_live_definitions_come_from_the_topics(
    settings: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUESTREAM_KAFKA", settings.kafka)
    monkeypatch.setenv("CUESTREAM_TOPIC_PREFIX", settings.topic_prefix)
    draft = tmp_path / "draft.yaml"
    draft.write_text(
        "{kind: trigger, id: first, priority: 99, entry: {events: [order]}, "
        "steps: [{send: {channel: log}}]}\n"
    )
    asked = question([draft], await read_topic_bundle(settings))
    report = await run(asked, "topic", lambda what, share: None)
    by_name = {one.trigger: one for one in report.triggers}
    assert (by_name["first"].sends, by_name["hello"].displaced) == (1, 1)
    assert report.refused == {"bad_json": 1, "wrong_key": 1}
    assert report.people == 1


async def test_the_command_prints_sentences_or_json(settings: KafkaSettings) -> None:
    environment = {
        **os.environ,
        "CUESTREAM_KAFKA": settings.kafka,
        "CUESTREAM_TOPIC_PREFIX": settings.topic_prefix,
    }

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert command(PERSON, "hello").startswith("hello for ada: ")
    assert json.loads(command(PERSON, "hello", "--json"))["verdict"] == "cap"
