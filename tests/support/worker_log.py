"""A fixed log for workers to fold: a day of shoppers, with definitions, ticks and poison."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.contracts.codec import encode_json, encode_pack
from services.contracts.control import Marker, Tick
from services.contracts.definitions import (
    HEAD_KEY,
    DefinitionRecord,
    Policy,
    Scope,
    Tag,
    Trigger,
    definition_key,
)
from services.contracts.event import IDENTIFY, Event
from services.contracts.time import HOUR, MINUTE
from services.contracts.topics import (
    DEFINITIONS,
    EVENTS,
    KIND_HEADER,
    KIND_MARKER,
    KIND_PACK,
    KIND_TICK,
)
from services.runtime.kafka import make_producer, partition_of, topic_name
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import read_topic

PACK_EVENTS = 20
POISON_SHARE = 0.002
VISITORS_SHARE = 0.3
VISITORS_MERGED_SHARE = 0.8
READ_SECONDS_MAX = 60.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record to be produced."""

    partition: int
    key: bytes | None
    value: bytes
    kind: bytes | None
    timestamp_ms: int


def definitions(revision: int) -> list[Tag | Trigger | Policy]:
    """A small workspace whose caps, windows and put-off sends keep history in every state."""
    triggers: list[dict[str, Any]] = [
        {
            "id": "third_view",
            "entry": {"events": ["Product Viewed"]},
            "audience": {"tag": "views", "op": "gte", "value": 3},
            "dedup": {"key": ["sku"], "window": "6h"},
            "when_capped": {"action": "defer", "expires_after": "12h"},
            "steps": [{"send": {"channel": "log"}}],
        },
        {
            "id": "thanks",
            "category": "transactional",
            "entry": {"events": ["Order Completed"]},
            "steps": [{"send": {"channel": "log"}}],
        },
    ]
    if revision > 1:
        triggers[1]["reentry"] = {"mode": "cooldown", "cooldown": "2h"}
    return [
        *(msgspec.convert(trigger, Trigger) for trigger in triggers),
        Tag(id="views", aggregate="count", events=("Product Viewed",), window="24h"),
        Tag(id="spend", aggregate="sum", events=("Order Completed",), value="total", window="30d"),
        Policy(
            id="marketing_daily",
            limit=2,
            window="4h",
            scope=Scope(kind="category", value="marketing"),
        ),
    ]


class _LogMaker:
    """Builds a log record by record; `at` is the time of the next."""

    def __init__(self, partitions: int, draw: random.Random) -> None:
        self.rows: list[Row] = []
        # Kafka refuses what is stamped in the future, and drops what is older than it keeps.
        self.at = (int(time.time()) // 3600 - 25) * HOUR
        self._draw = draw
        self._packs: list[list[Event]] = [[] for _ in range(partitions)]

    def put(self, partition: int, key: bytes | None, value: bytes, kind: bytes | None) -> None:
        self.rows.append(
            Row(
                partition=partition,
                key=key,
                value=value,
                kind=kind,
                timestamp_ms=self.at // 1000,
            )
        )

    def ship(self, events_min: int = 1) -> None:
        for partition, pack in enumerate(self._packs):
            if len(pack) >= events_min:
                self.put(partition, None, encode_pack(pack), KIND_PACK)
                pack.clear()

    def everywhere(self, value: bytes, kind: bytes) -> None:
        self.ship()
        for partition in range(len(self._packs)):
            self.put(partition, None, value, kind)

    def happening(self, number: int, *, packed: bool, merging: float = 0.0) -> None:
        draw = self._draw
        person = f"shopper-{int(200 * draw.random() ** 2)}"
        if merging and draw.random() < merging:
            self._turns_out(number, person)
            return
        if merging and draw.random() < VISITORS_SHARE:
            person = f"visitor-{int(100 * draw.random() ** 2)}"
        partition = partition_of(person.encode(), len(self._packs))
        name = draw.choice(("Product Viewed", "Product Viewed", "Order Completed", "Search"))
        properties = {"sku": draw.randrange(6), "total": draw.randrange(1, 9000) / 100}
        if draw.random() < POISON_SHARE:
            self.put(partition, person.encode(), b"{poison", None)
        if packed:
            event = Event(
                person=person,
                type="track",
                name=name,
                message_id=f"m{number}",
                occurred_at=self.at,
                received_at=self.at,
                properties=properties,
                user_id=person,
            )
            self._packs[partition].append(event)
            self.ship(PACK_EVENTS)
            return
        message = {
            "type": "track",
            "userId": person,
            "event": name,
            "messageId": f"m{number}",
            "properties": properties,
            "timestamp": self.at,
        }
        self.put(partition, person.encode(), msgspec.json.encode(message), None)

    def _turns_out(self, number: int, person: str) -> None:
        """A shopper logs in who was a visitor, or another shopper."""
        draw = self._draw
        other = "visitor" if draw.random() < VISITORS_MERGED_SHARE else "shopper"
        event = Event(
            person=person,
            type=IDENTIFY,
            name="$identify",
            message_id=f"m{number}",
            occurred_at=self.at,
            received_at=self.at,
            user_id=person,
            anonymous_id=f"{other}-{draw.randrange(100)}",
        )
        self._packs[partition_of(person.encode(), len(self._packs))].append(event)


def make_log(
    *, events: int, partitions: int, packed: bool, seed: int = 7, merging: float = 0.0
) -> list[Row]:
    """A day of shoppers: events, a tick each minute, two markers, now and then poison.

    `merging` is the share of events by which two people turn out to be one; there are
    visitors then, too.
    """
    log = _LogMaker(partitions, random.Random(seed))
    step = 24 * HOUR // events
    for number in range(events):
        before, log.at = log.at, log.at + step
        for revision, share in ((1, 20), (2, 2)):
            if number == events // share:
                marker = Marker(revision=revision, at=log.at)
                log.everywhere(encode_json(marker), KIND_MARKER)
        if before // MINUTE != log.at // MINUTE:
            log.everywhere(encode_json(Tick(at=log.at)), KIND_TICK)
        log.happening(number, packed=packed, merging=merging)
    log.ship()
    return log.rows


async def publish_definitions(settings: KafkaSettings) -> None:
    """Revisions 1 and 2, as the API's relay writes them."""
    producer = make_producer(settings)
    await producer.start()
    try:
        name = topic_name(settings, DEFINITIONS)
        for revision in (1, 2):
            records = [
                (
                    definition_key(type(one).__name__.lower(), one.id),
                    DefinitionRecord(
                        kind=type(one).__name__.lower(),  # type: ignore[arg-type]
                        id=one.id,
                        version=revision,
                        revision=revision,
                        definition=msgspec.to_builtins(one),
                    ),
                )
                for one in definitions(revision)
            ]
            head = DefinitionRecord(kind="revision", id="head", version=revision, revision=revision)
            for key, record in [*records, (HEAD_KEY, head)]:
                await producer.send_and_wait(name, encode_json(record), key=key, partition=0)
    finally:
        await producer.stop()


async def produce(settings: KafkaSettings, rows: Sequence[Row]) -> None:
    """Append the rows; each partition's in their order."""
    producer = make_producer(settings, linger_ms=2)
    await producer.start()
    try:
        for row in rows:
            await producer.send(
                topic_name(settings, EVENTS),
                row.value,
                key=row.key,
                partition=row.partition,
                timestamp_ms=row.timestamp_ms,
                headers=[] if row.kind is None else [(KIND_HEADER, row.kind)],
            )
        await producer.flush()
    finally:
        await producer.stop()


async def read_log(settings: KafkaSettings) -> list[list[Row]]:
    """What stands on `events`, by partition."""
    found: list[list[Row]] = [[] for _ in range(settings.partitions)]
    async for record in read_topic(settings, EVENTS, timeout_seconds=READ_SECONDS_MAX):
        found[record.partition].append(
            Row(
                partition=record.partition,
                key=record.key,
                value=record.value,
                kind=record.headers[0][1] if record.headers else None,
                timestamp_ms=record.timestamp,
            )
        )
    return found
