"""The store, the outbox and the announcer in memory, for tests and trying out.

They pass the same suites as PostgreSQL and Kafka do.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import islice

import msgspec

from services.contracts.control import Marker
from services.contracts.definitions import DefinitionRecord, Kind
from services.contracts.errors import Transient
from services.contracts.time import Micros
from services.triggers.definitions.auditing import Entry, Wanted
from services.triggers.definitions.outbox import Desk, Work
from services.triggers.definitions.rows import (
    from_body,
    head_record,
    kept_versions,
    to_body,
    with_versions,
)
from services.triggers.definitions.store import Reader, Writer
from services.triggers.definitions.values import Revision, Status, Stored, Version


class Tables:
    """What both ports see."""

    def __init__(self) -> None:
        self.definitions: dict[tuple[str, str], Stored] = {}
        self.revisions: list[tuple[Micros, tuple[DefinitionRecord, ...]]] = []
        self.audit: list[Entry] = []
        self.carried = 0
        self.wishes: list[int] = []
        self.wishes_made = 0
        self.turn = asyncio.Lock()
        self.lead = asyncio.Lock()

    def copy(self) -> "Tables":
        """A snapshot: values are frozen, so only the containers are copied."""
        copied = Tables()
        copied.__dict__.update(self.__dict__)
        copied.definitions = dict(self.definitions)
        copied.revisions = list(self.revisions)
        copied.audit = list(self.audit)
        return copied


def append_entries(tables: Tables, entries: Sequence[Entry]) -> None:
    """Number the entries and put them behind the others."""
    for entry in entries:
        number = len(tables.audit) + 1
        tables.audit.append(msgspec.structs.replace(entry, number=number))


class MemoryStore:
    """`Store` over `Tables`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def reading(self) -> AbstractAsyncContextManager[Reader]:
        """A snapshot."""
        return self._reading()

    def writing(self) -> AbstractAsyncContextManager[Writer]:
        """A copy that replaces the original at the end."""
        return self._writing()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Reader]:
        yield _Transaction(self._tables.copy())

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Writer]:
        async with self._tables.turn:
            copied = self._tables.copy()
            yield _Transaction(copied)
            self._tables.definitions = copied.definitions
            self._tables.revisions = copied.revisions
            self._tables.audit = copied.audit


class _Transaction:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, kind: Kind, id_: str) -> Stored | None:
        # A database answers later; whoever relies on no one coming between shall notice.
        await asyncio.sleep(0)
        return self._tables.definitions.get((kind, id_))

    async def page(
        self, kind: Kind, *, status: Status | None, after: str, limit: int
    ) -> list[Stored]:
        found = [
            one
            for key, one in sorted(self._tables.definitions.items())
            if key[0] == kind and key[1] > after and _wanted(one.status, status)
        ]
        return found[:limit]

    async def current(self) -> list[Stored]:
        return [
            one for _, one in sorted(self._tables.definitions.items()) if one.status != "archived"
        ]

    async def waiting(self, *, after: tuple[str, str], limit: int) -> list[Stored]:
        found = [
            one
            for key, one in sorted(self._tables.definitions.items())
            if key > after and one.review.submitted is not None
        ]
        return found[:limit]

    async def revision(self) -> Revision:
        newest = len(self._tables.revisions)
        if not newest:
            return Revision()
        return Revision(
            revision=newest,
            published_at=self._tables.revisions[-1][0],
            pending=newest - self._tables.carried,
        )

    async def versions(
        self, kind: Kind, id_: str, *, below: int | None, limit: int
    ) -> list[Version]:
        by = {
            (one.version, one.revision): one.actor_id
            for one in self._tables.audit
            if (one.kind, one.id) == (kind, id_)
        }
        found = [
            Version(
                version=record.version,
                revision=record.revision,
                published_at=at,
                by=by.get((record.version, record.revision)),
                definition=from_body(kind, record.definition),
            )
            for at, records in reversed(self._tables.revisions)
            for record in records
            if (record.kind, record.id) == (kind, id_) and (below is None or record.version < below)
        ]
        return found[:limit]

    async def version(self, kind: Kind, id_: str, number: int) -> Version | None:
        found = await self.versions(kind, id_, below=number + 1, limit=1)
        return found[0] if found and found[0].version == number else None

    async def entries(self, wanted: Wanted, *, below: int | None, limit: int) -> list[Entry]:
        found = (
            one
            for one in reversed(self._tables.audit)
            if (below is None or one.number < below) and wanted.admits(one)
        )
        return list(islice(found, limit))

    async def entries_since(self, after: int, limit: int) -> list[Entry]:
        return [one for one in self._tables.audit if one.number > after][:limit]

    async def record(self, entries: Sequence[Entry]) -> None:
        append_entries(self._tables, entries)

    async def save(self, stored: Stored) -> Stored:
        await asyncio.sleep(0)
        stored = msgspec.structs.replace(stored, edit=stored.edit + 1)
        self._tables.definitions[stored.kind, stored.id] = stored
        return stored

    async def publish(self, changed: Sequence[Stored], at: Micros) -> list[Stored]:
        revision = len(self._tables.revisions) + 1
        records = tuple(
            DefinitionRecord(
                kind=one.kind,
                id=one.id,
                version=one.version,
                revision=revision,
                definition=to_body(one.published) if one.in_force else None,
            )
            for one in sorted(changed, key=lambda one: (one.kind, one.id))
        )
        self._tables.revisions.append((at, records))
        return [await self.save(msgspec.structs.replace(one, revision=revision)) for one in changed]


def _wanted(status: Status, asked: Status | None) -> bool:
    return status != "archived" if asked is None else status == asked


class MemoryOutbox:
    """`Outbox` over the same `Tables`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def ask_for_announcement(self) -> None:
        """Put an announcement behind what is pending."""
        self._tables.wishes_made += 1
        self._tables.wishes.append(-self._tables.wishes_made)

    def leading(self) -> AbstractAsyncContextManager[Desk]:
        """Hold the one lock."""
        return self._leading()

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[Desk]:
        async with self._tables.lead:
            yield _Desk(self._tables)


class _Desk:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def newest(self) -> int:
        return len(self._tables.revisions)

    async def next(self) -> Work | None:
        carried = self._tables.carried
        if not carried:
            self._tables.wishes.clear()
        if self._tables.wishes:
            newest = {
                (record.kind, record.id): record
                for _, records in self._tables.revisions[:carried]
                for record in records
            }
            records = [newest[key] for key in sorted(newest)]
            for _, id_ in [key for key in sorted(newest) if key[0] == "trigger"]:
                records += kept_versions(self._published(id_, carried))
            return self._work(carried, tuple(self._tables.wishes), records)
        if carried == len(self._tables.revisions):
            return None
        records = list(with_versions(self._tables.revisions[carried][1]))
        return self._work(carried + 1, (carried + 1,), records)

    def _published(self, id_: str, carried: int) -> list[DefinitionRecord]:
        return [
            record
            for _, records in self._tables.revisions[:carried]
            for record in records
            if (record.kind, record.id) == ("trigger", id_)
        ]

    def _work(
        self, revision: int, ids: tuple[int, ...], records: Sequence[DefinitionRecord]
    ) -> Work:
        return Work(
            ids=ids,
            revision=revision,
            published_at=self._tables.revisions[revision - 1][0],
            records=(*records, head_record(revision)),
            announcement=ids[0] < 0,
        )

    async def done(self, work: Work) -> None:
        if work.announcement:
            self._tables.wishes = [one for one in self._tables.wishes if one not in work.ids]
        else:
            self._tables.carried = max(self._tables.carried, work.revision)


class MemoryAnnouncer:
    """`Announcer` that keeps what it is given, and fails where `fail_next` says.

    `fail_next` names a method and whether the write still arrives: what a caller cannot tell
    after a broken connection.
    """

    def __init__(self) -> None:
        self.written: list[DefinitionRecord | Marker] = []
        self.fail_next: list[tuple[str, bool]] = []
        self.opened = False

    async def open(self) -> None:
        """Connect."""
        self._fail("open", [])
        self.opened = True

    async def head(self) -> int:
        """The newest revision kept."""
        self._fail("head", [])
        heads = [
            one.revision
            for one in self.written
            if isinstance(one, DefinitionRecord) and one.kind == "revision"
        ]
        return max(heads, default=0)

    async def write_definitions(self, records: Sequence[DefinitionRecord]) -> None:
        """Keep the records."""
        self._fail("write_definitions", records)
        self.written.extend(records)

    async def write_marker(self, marker: Marker) -> None:
        """Keep the marker."""
        self._fail("write_marker", [marker])
        self.written.append(marker)

    async def close(self) -> None:
        """Disconnect."""
        self.opened = False

    def _fail(self, method: str, values: Sequence[DefinitionRecord | Marker]) -> None:
        if self.fail_next and self.fail_next[0][0] == method:
            _, arrives = self.fail_next.pop(0)
            if arrives:
                self.written.extend(values)
            raise Transient(f"{method} failed")
