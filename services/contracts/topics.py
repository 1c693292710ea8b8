"""The topics, how each is kept, and the headers that tell record kinds apart."""

from typing import Final

import msgspec

DAY_MS: Final = 86_400_000


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic: who keys it, how long it is kept, whether it follows `events` in partitions.

    A co-partitioned topic has exactly as many partitions as `events`, so that an output of
    the fold of partition p goes to partition p and stays in the order of its person.
    """

    name: str
    keyed_by: str
    compacted: bool = False
    co_partitioned: bool = False
    partitions: int | None = None
    retention_ms: int | None = None
    compaction_lag_ms: int | None = None
    record_bytes_max: int | None = None


RECORD_BYTES_MAX: Final = 1_000_000
"""No producer of ours writes a larger value; Kafka's own default limit is 1 MiB a batch."""
DEAD_LETTER_BYTES_MAX: Final = 2 * 1024 * 1024
"""A record of 1 MiB fits whole: base64 makes it a third larger, and there is the reason."""

RETENTION_MS: Final = 30 * DAY_MS

EVENTS: Final = Topic(
    name="events", keyed_by="person", co_partitioned=True, retention_ms=RETENTION_MS
)
# Older versions must outlive the events decided under them, or a replay would decide anew.
DEFINITIONS: Final = Topic(
    name="definitions",
    keyed_by="kind/id",
    compacted=True,
    partitions=1,
    compaction_lag_ms=RETENTION_MS,
)
COMMANDS: Final = Topic(
    name="commands", keyed_by="person", co_partitioned=True, retention_ms=7 * DAY_MS
)
URGENT_COMMANDS: Final = Topic(
    name="urgent-commands", keyed_by="person", co_partitioned=True, retention_ms=7 * DAY_MS
)
"""Commands that are not in the normal lane, which wait behind no campaign, and what is told of
commands: taken back, moved, erased."""
DECISIONS: Final = Topic(
    name="decisions", keyed_by="person", co_partitioned=True, retention_ms=RETENTION_MS
)
PROFILES: Final = Topic(name="profiles", keyed_by="person", compacted=True, co_partitioned=True)
QUALITY: Final = Topic(
    name="quality", keyed_by="nothing", co_partitioned=True, retention_ms=7 * DAY_MS
)
DEAD_LETTERS: Final = Topic(
    name="dead-letters",
    keyed_by="origin",
    partitions=1,
    retention_ms=RETENTION_MS,
    record_bytes_max=DEAD_LETTER_BYTES_MAX,
)

TOPICS: Final = (
    EVENTS,
    DEFINITIONS,
    COMMANDS,
    URGENT_COMMANDS,
    DECISIONS,
    PROFILES,
    QUALITY,
    DEAD_LETTERS,
)

DEFAULT_PARTITIONS: Final = 8

KIND_HEADER: Final = "cuestream"
"""Header of records on `events` that are not a single JSON event; the value is a kind below.
A record without it is one event in the JSON form of Segment's HTTP specification. On other
topics it tells the rare records from the usual ones."""

KIND_EVENT: Final = b"event/1"
KIND_PACK: Final = b"pack/1"
KIND_TICK: Final = b"tick/1"
KIND_MARKER: Final = b"marker/1"
KIND_DELIVERY: Final = b"delivery/1"
KIND_ASK: Final = b"ask/1"
KIND_ANSWER: Final = b"answer/1"
KIND_FORWARD: Final = b"forward/1"

KIND_ERASE: Final = b"erase/1"

KIND_CANCEL: Final = b"cancel/1"
"""On `urgent-commands`, where a record without the header is a send command."""
KIND_MOVED: Final = b"moved/1"
"""On `urgent-commands`: a person is another one now."""
KIND_ERASED: Final = b"erased/1"
"""On both topics of commands, and on `profiles` with a record of no value: a person is to be
forgotten."""
ERASED_HEADER: Final = "erased"
"""With a record of no value on `profiles`: the `Erased` as JSON."""
KIND_REPLAY: Final = b"replay/1"
"""On either: a send command that was given up and is to be tried again."""
KIND_DONE: Final = b"done/1"
"""On `dead-letters`: what became of an earlier letter there."""
