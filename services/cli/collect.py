"""Counting what a run left behind: in the topics, in PostgreSQL, in the services' metrics."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli.dead_letters import is_done
from services.contracts.codec import decode_delivery, decode_json, decode_pack
from services.contracts.command import SendCommand
from services.contracts.deadletter import DeadLetter
from services.contracts.decision import Decision
from services.contracts.errors import Transient
from services.contracts.metrics import Metric
from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    KIND_DELIVERY,
    KIND_HEADER,
    KIND_PACK,
    URGENT_COMMANDS,
)
from services.runtime.database import transient_errors
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import read_topic

READ_SECONDS_MAX: Final = 300.0
"""For one topic; the embedded broker hands out some hundred thousand records a second."""

DIGEST_BYTES: Final = 16

_command: Final = msgspec.json.Decoder(SendCommand)
_decision: Final = msgspec.json.Decoder(Decision)
_dead_letter: Final = msgspec.json.Decoder(DeadLetter)


class Logged(msgspec.Struct, kw_only=True):
    """What stands on `events`. `deliveries` has the status of each send that came back."""

    events: int = 0
    people: set[str] = msgspec.field(default_factory=set)
    deliveries: dict[str, str] = msgspec.field(default_factory=dict)


class Commanded(msgspec.Struct, kw_only=True):
    """What stands on the topics of commands. A worker that was restarted writes some of them
    again, with the same ids: they count once.

    `at_once` has, for each send decided on its own event, that event's id and the wall time
    in seconds at which the command was written (Kafka's timestamp, to the millisecond).
    """

    send_ids: set[str] = msgspec.field(default_factory=set)
    written_again: int = 0
    sends: dict[str, Counter[str]] = msgspec.field(default_factory=lambda: defaultdict(Counter))
    at_once: list[tuple[str, float]] = msgspec.field(default_factory=list)


class Decided(msgspec.Struct, kw_only=True):
    """What stands on `decisions`, by trigger and outcome, and by policy where one refused.

    One that was written again after a restart is the same bytes and counts once.
    """

    outcomes: dict[str, Counter[str]] = msgspec.field(default_factory=lambda: defaultdict(Counter))
    policies: Counter[str] = msgspec.field(default_factory=Counter)


async def logged(settings: KafkaSettings) -> Logged:
    """Count the events and deliveries of the log; raises `Transient`."""
    found = Logged()
    async for record in read_topic(settings, EVENTS, timeout_seconds=READ_SECONDS_MAX):
        kind = dict(record.headers).get(KIND_HEADER)
        if kind == KIND_PACK:
            events = decode_pack(record.value)
            found.events += len(events)
            found.people.update(event.person for event in events)
        elif kind == KIND_DELIVERY:
            delivery = decode_delivery(record.value)
            found.deliveries[delivery.send_id] = delivery.status
    return found


async def commanded(settings: KafkaSettings) -> Commanded:
    """Count the send commands; raises `Transient`."""
    found = Commanded()
    for topic in (COMMANDS, URGENT_COMMANDS):
        async for record in read_topic(settings, topic, timeout_seconds=READ_SECONDS_MAX):
            if any(name == KIND_HEADER for name, _ in record.headers):
                continue  # a cancel, or a replay by hand
            command = decode_json(record.value, _command, "command")
            if command.send_id in found.send_ids:
                found.written_again += 1
                continue
            found.send_ids.add(command.send_id)
            found.sends[command.trigger][command.channel] += 1
            if command.decided_at == command.origin_received_at:
                found.at_once.append((command.event_id, record.timestamp / 1000))
    return found


async def decided(settings: KafkaSettings) -> Decided:
    """Count the decisions; raises `Transient`."""
    found = Decided()
    seen: set[bytes] = set()
    async for record in read_topic(settings, DECISIONS, timeout_seconds=READ_SECONDS_MAX):
        digest = blake2b(record.value, digest_size=DIGEST_BYTES).digest()
        if digest in seen:
            continue
        seen.add(digest)
        decision = decode_json(record.value, _decision, "decision")
        found.outcomes[decision.trigger][decision.outcome.value] += 1
        if (policy := decision.details.get("policy")) is not None:
            found.policies[str(policy)] += 1
    return found


async def dead_letters(settings: KafkaSettings) -> Counter[str]:
    """Count the dead letters as `origin: code`; raises `Transient`."""
    found: Counter[str] = Counter()
    async for record in read_topic(settings, DEAD_LETTERS, timeout_seconds=READ_SECONDS_MAX):
        if is_done(record):
            continue
        letter = decode_json(record.value, _dead_letter, "dead_letter")
        found[f"{letter.origin}: {letter.code}"] += 1
    return found


async def counter(
    client: httpx.AsyncClient, urls: Iterable[str], metric: Metric
) -> dict[tuple[str, ...], float]:
    """A metric's values by its labels, added up over several processes.

    Raises:
        Transient: a process does not answer.
    """
    totals: dict[tuple[str, ...], float] = defaultdict(float)
    for url in urls:
        try:
            answer = (await client.get(f"{url}/metrics")).raise_for_status()
        except httpx.HTTPError as error:
            raise Transient(f"metrics of {url}: {error!r}") from error
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                if sample.name == metric.name:
                    labels = tuple(sample.labels.get(label, "") for label in metric.labels)
                    totals[labels] += sample.value
    return dict(totals)


def by_label(values: Mapping[tuple[str, ...], float]) -> dict[str, int]:
    """Counts of a metric with one label, without those that stayed at nought."""
    return {label: round(value) for (label, *_), value in values.items() if value}


_LEDGER: Final = text("""
SELECT state, count(*) AS entries, count(reported_at) AS reported
FROM dispatcher.sends GROUP BY state
""")


async def ledger(engine: AsyncEngine) -> tuple[dict[str, int], int]:
    """Sends in the dispatcher's ledger by state, and how many were reported back."""
    with transient_errors():
        async with engine.connect() as connection:
            rows = (await connection.execute(_LEDGER)).all()
    return {row.state: row.entries for row in rows}, sum(row.reported for row in rows)


_PROFILES: Final = text("""
SELECT count(*) AS people, coalesce(sum(messages_accepted), 0) AS accepted,
    coalesce(sum((SELECT count(*) FROM jsonb_each(tags) WHERE value <> 'null')), 0) AS tag_values
FROM profile_store.profiles
""")


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the profile store, all people together."""

    people: int
    tag_values: int
    messages_accepted: int


async def stored(engine: AsyncEngine) -> Stored:
    """Count profiles, tag values and messages in PostgreSQL; raises `Transient`."""
    with transient_errors():
        async with engine.connect() as connection:
            row = (await connection.execute(_PROFILES)).one()
    return Stored(
        people=row.people,
        tag_values=int(row.tag_values),
        messages_accepted=int(row.accepted),
    )
