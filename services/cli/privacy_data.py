"""What is known of a person, in every store and topic: their names, and what stands under them."""

from base64 import b64decode
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import CuestreamError, Malformed
from services.contracts.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    KIND_EVENT,
    KIND_PACK,
    URGENT_COMMANDS,
    Topic,
)
from services.profile_store.sensitive import Sensitive
from services.runtime.database import transient_errors
from services.runtime.kafka import partition_of
from services.runtime.sealing import Unopened
from services.runtime.settings import KafkaSettings
from services.runtime.topic_reading import partitions_of, read_topic
from services.triggers.engine import PersonState
from services.triggers.trial.from_topics import (
    MERGES_FOLLOWED_MAX,
    READ_SECONDS_MAX,
    state_from_topic,
)
from services.triggers.worker.reading import kind_of, read_event, read_pack

SCHEMAS: Final = ("profile_store", "dispatcher")
_TABLES: Final = text("""
SELECT table_schema AS schema, table_name AS name FROM information_schema.columns
WHERE column_name = 'person' AND table_schema = ANY(CAST(:schemas AS text[]))
ORDER BY table_schema, table_name
""")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A person's ids, who they are now first, and their state where a worker has one."""

    ids: tuple[str, ...]
    state: PersonState | None


async def known_as(settings: KafkaSettings, engine: AsyncEngine, person: str) -> Known:
    """All ids that lead to a person, from the workers' states and the stored profiles.

    Raises:
        Transient: the broker or the database is away.
    """
    partitions = await partitions_of(settings, EVENTS)
    names, newest = [person], person
    state: PersonState | None = None
    for _ in range(1 + MERGES_FOLLOWED_MAX):
        try:
            state = await state_from_topic(
                settings, newest, partition_of(newest.encode(), partitions)
            )
        except Unopened:
            raise  # they are known, to whoever has the key
        except CuestreamError:
            break
        names += [newest, *state.aliases, *state.merged]
        if state.merged_into is None:
            break
        newest = state.merged_into
    with transient_errors():
        async with engine.connect() as connection:
            rows = await connection.execute(
                text(
                    "SELECT person FROM profile_store.profiles"
                    " WHERE merged_into = ANY(CAST(:names AS text[])) ORDER BY person"
                ),
                {"names": [newest, *names]},
            )
            names += [row.person for row in rows]
    return Known(ids=tuple(dict.fromkeys([newest, *names])), state=state)


async def collect(
    settings: KafkaSettings, engine: AsyncEngine, known: Known, sensitive: Sensitive
) -> dict[str, Any]:
    """Everything that is known under these ids, as JSON values.

    Raises:
        Transient: the broker or the database is away.
    """
    found: dict[str, Any] = {"ids": list(known.ids)}
    if known.state is not None:
        state = known.state
        found["state"] = {
            "traits": state.traits,
            "consents": msgspec.to_builtins(state.consents),
            "first_seen_at": state.first_seen_at,
            "last_seen_at": state.last_seen_at,
            "time_zone": state.zone,
            "under_way": [
                {"trigger": run.trigger, "entered_at": run.entered_at, "step": run.step}
                for run in (state.sending.runs if state.sending is not None else ())
            ],
        }
    found["tables"] = await _rows(engine, known, sensitive)
    found["topics"] = {
        topic.name: await _records(settings, topic, known)
        for topic in (EVENTS, DECISIONS, COMMANDS, URGENT_COMMANDS, DEAD_LETTERS)
    }
    return found


async def _rows(engine: AsyncEngine, known: Known, sensitive: Sensitive) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with transient_errors():
        async with engine.connect() as connection:
            tables = (await connection.execute(_TABLES, {"schemas": list(SCHEMAS)})).all()
            for table in tables:
                query = text(
                    f"SELECT CAST(to_jsonb(t) AS text) AS row FROM {table.schema}.{table.name} AS t"  # noqa: S608  (the catalogue's own names)
                    " WHERE person = ANY(CAST(:ids AS text[]))"
                )
                rows = await connection.execute(query, {"ids": list(known.ids)})
                values = [msgspec.json.decode(row.row) for row in rows]
                if table.name == "profiles":
                    values = [_opened(value, sensitive) for value in values]
                found[f"{table.schema}.{table.name}"] = values
    return found


def _opened(row: dict[str, Any], sensitive: Sensitive) -> dict[str, Any]:
    opened = sensitive.opened_traits(row["traits"], row["person"])
    return row if opened is None else {**row, "traits": opened}


async def _records(settings: KafkaSettings, topic: Topic, known: Known) -> list[Any]:
    """What stands on a topic under the person's ids, in the order of each partition."""
    partitions = await partitions_of(settings, topic)
    of_partition: dict[int, set[bytes]] = {}
    for id_ in known.ids:
        key = id_.encode()
        where = partition_of(key, partitions) if topic.co_partitioned else 0
        of_partition.setdefault(where, set()).add(key)
    found: list[Any] = []
    for partition, keys in sorted(of_partition.items()):
        async for record in read_topic(
            settings, topic, timeout_seconds=READ_SECONDS_MAX, partition=partition
        ):
            found += _of_record(record, keys, topic, replay=settings.clock == "replay")
    return found


def _of_record(record: Any, keys: set[bytes], topic: Topic, *, replay: bool) -> list[Any]:
    if topic is DEAD_LETTERS:
        letter = _json(record.value or b"null")
        key = letter.get("key") if isinstance(letter, dict) else None
        return [letter] if isinstance(key, str) and b64decode(key) in keys else []
    if topic is not EVENTS:
        mine = record.key in keys and record.value is not None
        return [_json(record.value)] if mine else []
    try:
        kind = kind_of(record.headers) if record.headers else KIND_EVENT
        if kind == KIND_PACK:
            events = [one for one in read_pack(record) if one.person.encode() in keys]
        elif kind == KIND_EVENT and record.key in keys:
            events = [read_event(record, replay=replay)]
        else:
            return []
    except Malformed:
        return []  # a dead letter: found there
    return [{name: getattr(event, name) for name in event.__struct_fields__} for event in events]


def _json(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value.decode(errors="replace")
