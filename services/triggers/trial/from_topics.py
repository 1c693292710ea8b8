"""One person from the topics: their state as the worker keeps it, decisions, last events."""

from collections import deque
from typing import Final

import msgspec

from services.contracts.codec import decode_json
from services.contracts.decision import Decision
from services.contracts.errors import CuestreamError, Malformed
from services.contracts.event import Event
from services.contracts.time import Micros
from services.contracts.topics import DECISIONS, EVENTS, KIND_EVENT, KIND_PACK, Topic
from services.runtime.kafka import partition_of
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import ends_of, partitions_of, read_topic
from services.triggers.backtest.rules import compiled, read_topic_bundle
from services.triggers.engine import PersonState, decode_state
from services.triggers.engine.explain import Explanation, explain
from services.triggers.worker.reading import kind_of, read_event, read_pack

CHANGELOG: Final = Topic(name="triggers-state-changelog", keyed_by="person", compacted=True)
"""Faust's name for the worker's states: group, table, `changelog`."""
READ_SECONDS_MAX: Final = 300.0
EVENTS_KEPT: Final = 20
MERGES_FOLLOWED_MAX: Final = 8
RECORDS_BACK: Final = 20_000
RECORDS_BACK_MAX: Final = 10_000_000


async def explain_from_topics(
    settings: KafkaSettings,
    person: str,
    trigger: str,
    *,
    now: Micros,
    records_back: int = RECORDS_BACK,
    step: int | None = None,
) -> Explanation:
    """Read what stands on the person's partition, and explain it under the newest definitions.

    Of somebody merged into another that one is explained, with what was decided and happened
    under the old id too. Of `events` only the last `records_back` records are read.

    Raises:
        Transient: the broker fails or lacks a topic.
        CuestreamError: nobody knows the person, or the definitions cannot be read.
    """
    partitions = await partitions_of(settings, EVENTS)
    settings = settings.model_copy(update={"partitions": partitions})
    rules = compiled(await read_topic_bundle(settings), settings.workspace)
    decisions: list[Decision] = []
    events: list[Event] = []
    for followed in range(1 + MERGES_FOLLOWED_MAX):
        partition = partition_of(person.encode(), partitions)
        state = await state_from_topic(settings, person, partition)
        decisions += await _decisions(settings, person, partition)
        events += await _events(settings, person, partition, records_back)
        if state.merged_into is None or followed == MERGES_FOLLOWED_MAX:
            break
        person = state.merged_into
    decisions.sort(key=lambda one: one.now)
    events.sort(key=lambda one: one.received_at)
    return explain(state, trigger, rules, decisions, now, events, step=step)


async def state_from_topic(settings: KafkaSettings, person: str, partition: int) -> PersonState:
    """The person's state as it stands on the worker's changelog.

    Raises:
        Transient: the broker fails or lacks the topic.
        CuestreamError: nobody knows the person.
    """
    key, newest = person.encode(), None
    async for record in read_topic(
        settings, CHANGELOG, timeout_seconds=READ_SECONDS_MAX, partition=partition
    ):
        if record.key == key:
            newest = record.value
    if newest is None:
        raise CuestreamError(f"nothing is known of this person (partition {partition})")
    try:
        return decode_state(newest)
    except Malformed as error:
        raise CuestreamError(f"the person's state: {error.message}") from error


async def _decisions(settings: KafkaSettings, person: str, partition: int) -> list[Decision]:
    key, decoder = person.encode(), msgspec.json.Decoder(Decision)
    found: list[Decision] = []
    async for record in read_topic(
        settings, DECISIONS, timeout_seconds=READ_SECONDS_MAX, partition=partition
    ):
        if record.key == key and record.value is not None:
            try:
                found.append(decode_json(record.value, decoder, "decision"))
            except Malformed as error:
                raise CuestreamError(f"decisions@{record.offset}: {error.message}") from error
    return found


async def _events(
    settings: KafkaSettings, person: str, partition: int, records_back: int
) -> list[Event]:
    """The person's last events, oldest first; records that are none are the dead letters'."""
    end = (await ends_of(settings, EVENTS)).get(partition, 0)
    key, replay = person.encode(), settings.clock == "replay"
    found: deque[Event] = deque(maxlen=EVENTS_KEPT)
    async for record in read_topic(
        settings,
        EVENTS,
        timeout_seconds=READ_SECONDS_MAX,
        partition=partition,
        start=max(0, end - records_back),
    ):
        try:
            kind = kind_of(record.headers) if record.headers else KIND_EVENT
            if kind == KIND_PACK:
                found.extend(one for one in read_pack(record) if one.person == person)
            elif kind == KIND_EVENT and record.key == key:
                found.append(read_event(record, replay=replay))
        except Malformed:
            continue
    return list(found)
