"""Dead letters of the fold: what could not be folded, whole, and why."""

from collections import Counter
from typing import Any, Final

from services.contracts.codec import encode_json
from services.contracts.deadletter import DeadLetter
from services.contracts.errors import Malformed
from services.contracts.topics import DEAD_LETTER_BYTES_MAX
from services.runtime.dead_letters import blamed
from services.runtime.sealing import Keyring, is_frame
from services.triggers.worker.reading import MILLIS, Record

ORIGIN: Final = "triggers"
_ROOM_BYTES: Final = 64 * 1024
"""For key, headers, reason and the frame of the record."""
VALUE_KEPT_BYTES_MAX: Final = (DEAD_LETTER_BYTES_MAX - _ROOM_BYTES) * 3 // 4


class Letters:
    """Collects the letters of one stretch of one partition."""

    def __init__(self, topic: str, partition: int, keys: Keyring | None = None) -> None:
        self._keys = Keyring("") if keys is None else keys
        self._topic = topic
        self._partition = partition
        self._letters: list[DeadLetter] = []
        self.codes: Counter[str] = Counter()

    def add(
        self,
        record: Record,
        error: Malformed,
        *,
        index: int | None = None,
        thing: Any = None,
        key: bytes | None = None,
        value: bytes | None = None,
    ) -> None:
        """Keep the record, or of a pack the event `thing` at `index` alone.

        `key` and `value` go before the record's own. The letter's time is the record's, so
        that deciding again writes the same letter.

        Raises:
            MissingKey: with a key that is not listed it could be read: it is no dead letter.
        """
        if is_frame(record.value):
            self._keys.require(record.value, f"{self._topic}@{record.offset}")
            error = blamed(record.value, error)
        if value is None:
            value = record.value if index is None else encode_json(thing)
        reason = error.message
        if value is not None and len(value) > VALUE_KEPT_BYTES_MAX:
            reason += f" (the first {VALUE_KEPT_BYTES_MAX} of {len(value)} bytes are kept here)"
            value = value[:VALUE_KEPT_BYTES_MAX]
        self._letters.append(
            DeadLetter(
                code=error.code,
                reason=reason,
                origin=ORIGIN,
                topic=self._topic,
                partition=self._partition,
                offset=record.offset,
                at=record.timestamp * MILLIS,
                index=index,
                key=record.key if key is None else key,
                value=value,
                headers={name: content or b"" for name, content in record.headers},
            )
        )
        self.codes[error.code] += 1

    def take(self) -> tuple[list[tuple[bytes | None, bytes]], "Counter[str]"]:
        """Hand over what was collected, encoded, in the order of the log, and how many there are
        of each code."""
        letters, codes = self._letters, self.codes
        self._letters, self.codes = [], Counter()
        letters.sort(key=lambda one: (one.offset, one.index or 0))
        return [(letter.origin.encode(), encode_json(letter)) for letter in letters], codes
