"""Everything that can be asked of the definitions and their past."""

from collections.abc import Sequence
from typing import Final

from services.contracts.definitions import Kind
from services.triggers.definitions.auditing import Entry, Replayed, Wanted, replay
from services.triggers.definitions.conflicts import conflicts
from services.triggers.definitions.store import PAGE_MAX, Reader, Store
from services.triggers.definitions.values import (
    Definition,
    NotFound,
    Revision,
    Stale,
    Status,
    Stored,
    Version,
    make_bundle,
)

ANY_EDIT: Final = -1
"""In place of the expected `edit`: whatever stands there (`If-Match: *`)."""


class Reading:
    """Questions, each in one transaction over one snapshot.

    Raises (all methods):
        NotFound: see `values`.
        Transient: the database cannot be reached for now.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, kind: Kind, id_: str) -> Stored:
        """One definition."""
        async with self._store.reading() as reader:
            return await require(reader, kind, id_)

    async def page(
        self, kind: Kind, *, status: Status | None, after: str, limit: int
    ) -> list[Stored]:
        """Definitions of a kind in order of id, from after `after`."""
        async with self._store.reading() as reader:
            return await reader.page(kind, status=status, after=after, limit=limit)

    async def current(self) -> list[Stored]:
        """All definitions but the archived, in order of kind and id."""
        async with self._store.reading() as reader:
            return await reader.current()

    async def waiting(self, *, after: tuple[str, str], limit: int) -> list[Stored]:
        """Definitions in review, in order of kind and id, from after `after`."""
        async with self._store.reading() as reader:
            return await reader.waiting(after=after, limit=limit)

    async def revision(self) -> Revision:
        """The newest revision and whether the relay has carried it."""
        async with self._store.reading() as reader:
            return await reader.revision()

    async def versions(
        self, kind: Kind, id_: str, *, below: int | None, limit: int
    ) -> list[Version]:
        """Publications of a definition, the newest first."""
        async with self._store.reading() as reader:
            await require(reader, kind, id_)
            return await reader.versions(kind, id_, below=below, limit=limit)

    async def version(self, kind: Kind, id_: str, number: int) -> Version:
        """One publication of a definition."""
        async with self._store.reading() as reader:
            return await require_version(reader, kind, id_, number)

    async def entries(self, wanted: Wanted, *, below: int | None, limit: int) -> list[Entry]:
        """Entries of the audit log, the newest first."""
        async with self._store.reading() as reader:
            return await reader.entries(wanted, below=below, limit=limit)

    async def replayed(self) -> Replayed:
        """The state that the audit log alone leads to.

        Raises:
            BrokenLog: the log contradicts itself.
        """
        state, last = Replayed(), 0
        async with self._store.reading() as reader:
            while found := await reader.entries_since(last, PAGE_MAX):
                state, last = replay(found, state), found[-1].number
        return state

    async def warnings(self, changed: Sequence[Definition]) -> list[tuple[str, str]]:
        """What is worth another look about these, beside what is in force: place and reason."""
        async with self._store.reading() as reader:
            in_force = [
                one.published
                for one in await reader.current()
                if one.in_force and one.published is not None
            ]
        return conflicts(make_bundle(0, in_force), changed)


async def require(reader: Reader, kind: Kind, id_: str, expected: int | None = None) -> Stored:
    """The definition as it stands.

    Raises:
        NotFound: there is none.
        Stale: its `edit` is not the `expected` one.
    """
    standing = await reader.get(kind, id_)
    if standing is None:
        raise NotFound(f"there is no {kind} {id_}")
    if expected is not None and expected not in (ANY_EDIT, standing.edit):
        raise Stale(f"{kind} {id_} was changed meanwhile: read it again")
    return standing


async def require_version(reader: Reader, kind: Kind, id_: str, number: int) -> Version:
    """One publication.

    Raises:
        NotFound: there is none.
    """
    found = await reader.version(kind, id_, number)
    if found is None:
        raise NotFound(f"{kind} {id_} has no version {number}")
    return found
