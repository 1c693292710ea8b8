"""Records sealed on their way to Kafka and opened on their way back.

The whole value is sealed: what is of a person stands anywhere in an event, a command or a state.
It is bound to its topic and key, so that under another it does not open. Keys, headers and times
stay as they are: partitions, compaction and retention work on them. docs/privacy.md says what
that leaves in the clear.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from services.contracts.topics import DEFINITIONS, KIND_HEADER, KIND_MARKER, KIND_TICK
from services.runtime.sealing import MissingKey, Unopened, is_frame
from services.runtime.settings import KafkaSettings

PLAIN_TOPICS: Final = frozenset({DEFINITIONS.name})
"""Of no person. Any other is sealed: one that is added is not forgotten here."""
PLAIN_KINDS: Final = frozenset({KIND_TICK, KIND_MARKER})
"""Of no person, and written by whoever drives a clock."""

Headers = Iterable[tuple[str, bytes]]


class OpenedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of the batch path with its value opened."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Any


class RecordSealing:
    """What the keys of a process do with records; topics are given as the broker names them."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.keys = settings.keyring()
        self._prefix = settings.topic_prefix

    @property
    def on(self) -> bool:
        """Whether records are sealed."""
        return self.keys.sealing

    def seal(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None
    ) -> bytes | None:
        """The value as it is to stand in the topic; none stays none."""
        name = topic.removeprefix(self._prefix)
        if value is None or name in PLAIN_TOPICS or _is_plain(headers):
            return value
        return self.keys.seal_bytes(value, _place(name, key))

    def open(self, topic: str, key: bytes | None, value: bytes, offset: int) -> bytes:
        """The value as it was.

        Raises:
            MissingKey: it is sealed with a key that is not listed.
            Unopened: it can never be opened here.
        """
        name = topic.removeprefix(self._prefix)
        return self.keys.open_bytes(value, _place(name, key), f"{name}@{offset}")

    def open_in_place(self, records: Iterable[Any]) -> None:
        """Open consumed records of aiokafka. What can never be opened stays sealed: whoever
        decodes it finds it malformed, and keeps it as a dead letter.

        Raises:
            MissingKey: see `open`; the caller stops, and nothing of it is committed.
        """
        for record in records:
            if is_frame(record.value):
                record.value = self._opened(record.topic, record)

    def opened(self, topic: str, rows: Sequence[Any], *, keep: bool) -> Sequence[Any]:
        """The same for rows of the batch path. `keep` leaves what lacks its key as well, for a
        topic that is compacted, where a later row may stand for it.

        Raises:
            MissingKey: see `open`; not with `keep`.
        """
        if not any(is_frame(row.value) for row in rows):
            return rows
        return [
            OpenedRecord(
                row.offset,
                row.timestamp,
                row.key,
                self._opened(topic, row, keep=keep),
                row.headers,
            )
            if is_frame(row.value)
            else row
            for row in rows
        ]

    def refuse(self, topic: str, values: Iterable[bytes]) -> None:
        """Nothing, unless a value that was kept is sealed still.

        Raises:
            Unopened: one is; with its key listed it might not be.
        """
        for value in values:
            if is_frame(value):
                name = topic.removeprefix(self._prefix)
                self.keys.require(value, name)
                raise Unopened(f"{name}: a value was changed, or belongs elsewhere")

    def _opened(self, topic: str, row: Any, *, keep: bool = False) -> bytes:
        try:
            return self.open(topic, row.key, row.value, row.offset)
        except Unopened as error:
            if isinstance(error, MissingKey) and not keep:
                raise
            sealed: bytes = row.value
            return sealed


def _place(name: str, key: bytes | None) -> bytes:
    return name.encode() + b"\x00" + (key or b"")


def _is_plain(headers: Headers | None) -> bool:
    return any(name == KIND_HEADER and kind in PLAIN_KINDS for name, kind in headers or ())
