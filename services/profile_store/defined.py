"""What is defined, as far as the store has to know it: segments, and tags of few values."""

import asyncio
from collections.abc import Collection
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition

from services.contracts.codec import decode_json
from services.contracts.definitions import DefinitionRecord
from services.contracts.errors import Malformed, Transient
from services.contracts.masking import SENSITIVE_TRAITS, sensitive_tags
from services.contracts.topics import DEFINITIONS
from services.profile_store.population import Known
from services.runtime.kafka import KAFKA_ERRORS, make_consumer, topic_name
from services.runtime.logs import get_logger
from services.runtime.settings import KafkaSettings

POLL_MS: Final = 1_000
READ_RECORDS_MAX: Final = 1_000
_DISCRETE: Final = ("bands", "cases", "score")
"""Ways of deriving a tag that give few different values: their history is kept."""

_decoder: Final = msgspec.json.Decoder(DefinitionRecord)
_log = get_logger(__name__)


class Defined:
    """The newest definitions that were read; filled by `take`, in the order of the topic.

    `names` are the sensitive traits.
    """

    def __init__(self, names: Collection[str] = SENSITIVE_TRAITS) -> None:
        self._names = names
        self._sensitive: frozenset[str] = frozenset()
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._discrete: tuple[str, ...] = ()

    def take(self, record: DefinitionRecord) -> None:
        """Take in one record; what it removes is gone."""
        if record.kind not in ("tag", "segment", "lifecycle"):
            return
        if record.definition is None:
            self._known.pop((record.kind, record.id), None)
        else:
            self._known[record.kind, record.id] = record.definition
        self._sensitive = sensitive_tags(self.tags().items(), self._names)
        self._discrete = tuple(
            sorted(
                id_
                for (kind, id_), definition in self._known.items()
                if kind == "lifecycle"
                or any(definition.get("derive", {}).get(way) for way in _DISCRETE)
            )
        )

    def sensitive(self) -> frozenset[str]:
        """Tags that show a sensitive value."""
        return self._sensitive

    def discrete(self) -> tuple[str, ...]:
        """Tags of labels, of scores and of states, in order of id."""
        return self._discrete

    def tags(self) -> dict[str, dict[str, Any]]:
        """The tags and life cycles in force as they were published, in order of id."""
        return {
            id_: definition
            for (kind, id_), definition in sorted(self._known.items())
            if kind in ("tag", "lifecycle")
        }

    def is_lifecycle(self, id_: str) -> bool:
        """Whether a tag is the state of a life cycle."""
        return ("lifecycle", id_) in self._known

    def segments(self) -> list[Known]:
        """All segments that are in force, in order of id."""
        return [
            Known(
                id=id_,
                name=str(definition.get("name", "unnamed")),
                core=definition.get("core") is True,
            )
            for (kind, id_), definition in sorted(self._known.items())
            if kind == "segment"
        ]


async def follow(
    settings: KafkaSettings, defined: Defined, ready: asyncio.Event, stop: asyncio.Event
) -> None:
    """Read the topic of definitions until `stop`; `ready` is set once all of it was read.

    Raises:
        Transient: the broker failed.
    """
    consumer = make_consumer(settings, group=None)
    place = TopicPartition(topic_name(settings, DEFINITIONS), 0)
    try:
        await consumer.start()
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        while not stop.is_set():
            found = await consumer.getmany(place, timeout_ms=POLL_MS, max_records=READ_RECORDS_MAX)
            for record in found.get(place, ()):
                _take(defined, record.value)
            end = consumer.highwater(place)
            if end is not None and await consumer.position(place) >= end:
                ready.set()
    except KAFKA_ERRORS as error:
        raise Transient(f"definitions cannot be read: {type(error).__name__}") from error
    finally:
        await consumer.stop()


def _take(defined: Defined, value: bytes | None) -> None:
    if value is None:
        return  # compaction's tombstone of a version: none of ours
    try:
        defined.take(decode_json(value, _decoder, "definition"))
    except Malformed as error:
        _log.warning("definition not readable", code=error.code)
