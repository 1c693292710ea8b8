"""The `definitions` topic, read from its beginning: what was in force at each revision."""

import asyncio
from bisect import insort
from collections import defaultdict
from operator import itemgetter
from typing import Any, Final

import msgspec

from services.contracts.codec import decode_json
from services.contracts.definitions import (
    DEFAULT_POLICY,
    KINDS,
    VERSIONS_KEPT_MAX,
    AnyDefinition,
    Bundle,
    DefinitionRecord,
    Trigger,
    Workspace,
    definition_key,
)
from services.contracts.errors import DefinitionError, Malformed
from services.contracts.topics import DEFINITIONS
from services.runtime.kafka import make_consumer
from services.runtime.logs import get_logger
from services.runtime.settings import KafkaSettings

READ_RECORDS_MAX: Final = 1_000
POLL_MS: Final = 1_000

_decoder: Final = msgspec.json.Decoder(DefinitionRecord)
_log = get_logger(__name__)


class DefinitionHistory:
    """All versions of all definitions that the topic still holds.

    `head` is the newest revision of which everything has been read.
    """

    def __init__(self) -> None:
        self.head = 0
        # By kind and id: (revision, record), ascending; None stands for one nobody can read.
        self._versions: defaultdict[tuple[str, str], list[tuple[int, DefinitionRecord | None]]]
        self._versions = defaultdict(list)
        self._pinned: dict[tuple[str, int], Trigger | None] = {}

    def add(self, record: DefinitionRecord) -> None:
        """Take in one record; the same one twice changes nothing."""
        if record.kind == "revision":
            self.head = max(self.head, record.revision)
            return
        if record.kind == "version":
            if record.definition is None:
                return
            id_, _, _ = record.id.rpartition("@")
            record = msgspec.structs.replace(record, kind="trigger", id=id_)
        versions = self._versions[record.kind, record.id]
        versions[:] = [one for one in versions if one[0] != record.revision]
        insort(versions, (record.revision, record), key=itemgetter(0))

    def add_unreadable(self, key: bytes | None) -> None:
        """Remember that a record cannot be read: no later revision can do without it."""
        kind, _, id_ = (key or b"").decode(errors="replace").partition("/")
        if kind == "version":
            return  # whoever is under way in it ends; everybody else can do without it
        self._versions[kind, id_].append((self.head + 1, None))

    def bundle_at(self, revision: int) -> Bundle:
        """What was in force at `revision`, in order of ids; without policies of its own, the
        default one. `pinned` are the earlier versions of its triggers, the last
        `VERSIONS_KEPT_MAX` of each, up to its last removal, as far as they can be read.

        Raises:
            DefinitionError: a definition in force then cannot be read by this code.
        """
        found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        found["policy"].append(DEFAULT_POLICY)
        pinned: list[Trigger] = []
        problems: list[tuple[str, str]] = []
        for (kind, id_), versions in sorted(self._versions.items(), key=itemgetter(0)):
            record = _newest(versions, revision)
            if record is None:
                continue
            if kind == "policy" and id_ == DEFAULT_POLICY.id:
                found[kind].remove(DEFAULT_POLICY)
            place = definition_key(kind, id_).decode()
            if isinstance(record, _Unreadable):
                problems.append((place, "its record cannot be read"))
            elif record.definition is not None:
                try:
                    found[kind].append(_definition(record))
                except (msgspec.ValidationError, KeyError):
                    problems.append((place, "it does not fit the schema of this version"))
                if kind == "trigger":
                    pinned += self._earlier(versions, record)
        if problems:
            raise DefinitionError(problems)
        return Bundle(
            revision=revision,
            workspace=found["workspace"][0] if found["workspace"] else Workspace(),
            triggers=tuple(found["trigger"]),
            tags=tuple(found["tag"]),
            policies=tuple(sorted(found["policy"], key=lambda policy: str(policy.id))),
            segments=tuple(found["segment"]),
            lifecycles=tuple(found["lifecycle"]),
            templates=tuple(found["template"]),
            pinned=tuple(pinned),
        )

    def _earlier(
        self, versions: list[tuple[int, DefinitionRecord | None]], current: DefinitionRecord
    ) -> list[Trigger]:
        """Versions of a trigger before this one, the oldest first."""
        earlier: list[Trigger] = []
        for at, record in reversed(versions):
            if at >= current.revision or record is None:
                continue
            if record.definition is None or record.version <= current.version - VERSIONS_KEPT_MAX:
                break
            key = record.id, record.version
            if key not in self._pinned:
                self._pinned[key] = _trigger_or_none(record)
            trigger = self._pinned[key]
            if trigger is not None:
                earlier.append(trigger)
        return earlier[::-1]


class _Unreadable:
    pass


def _newest(
    versions: list[tuple[int, DefinitionRecord | None]], revision: int
) -> DefinitionRecord | _Unreadable | None:
    newest: DefinitionRecord | _Unreadable | None = None
    for at, record in versions:
        if at <= revision:
            newest = _Unreadable() if record is None else record
    return newest


def _trigger_or_none(record: DefinitionRecord) -> Trigger | None:
    """An earlier version; one that this code cannot read is as good as gone."""
    try:
        definition = _definition(record)
    except (msgspec.ValidationError, KeyError):
        return None
    return definition if isinstance(definition, Trigger) else None


def _definition(record: DefinitionRecord) -> AnyDefinition:
    definition = msgspec.convert(record.definition, KINDS[record.kind])
    return msgspec.structs.replace(definition, version=record.version)


class DefinitionsReader:
    """Follows the topic in a task of its own. `run` it; `wait_for` a revision."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.history = DefinitionHistory()
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Read until cancelled.

        Raises:
            KafkaError: the broker refuses for good (it is asked again as long as it is away).
        """
        consumer = make_consumer(self._settings, DEFINITIONS, group=None)
        await consumer.start()
        try:
            while True:
                found = await consumer.getmany(timeout_ms=POLL_MS, max_records=READ_RECORDS_MAX)
                for records in found.values():
                    for record in records:
                        self._take(record.key, record.value)
                if found:
                    async with self._news:
                        self._news.notify_all()
        finally:
            await consumer.stop()

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        if value is None:
            return  # compaction's tombstone of a definition removed by a record before it
        try:
            self.history.add(decode_json(value, _decoder, "definition"))
        except Malformed as error:
            _log.error("definition not readable", code=error.code)
            self.history.add_unreadable(key)

    async def wait_for(self, revision: int) -> None:
        """Return when everything of `revision` has been read; waits without a bound."""
        async with self._news:
            await self._news.wait_for(lambda: self.history.head >= revision)
