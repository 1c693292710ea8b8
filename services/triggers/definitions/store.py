"""The port to where definitions are kept."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from services.contracts.definitions import Kind
from services.contracts.time import Micros
from services.triggers.definitions.auditing import Entry, Wanted
from services.triggers.definitions.values import Revision, Status, Stored, Version

PAGE_MAX: Final = 200


class Reader(Protocol):
    """Reads within one transaction."""

    async def get(self, kind: Kind, id_: str) -> Stored | None:
        """One definition, archived ones too."""

    async def page(
        self, kind: Kind, *, status: Status | None, after: str, limit: int
    ) -> list[Stored]:
        """Definitions of a kind with ids greater than `after`, in order of id; without a status
        all but the archived.
        """

    async def waiting(self, *, after: tuple[str, str], limit: int) -> list[Stored]:
        """Definitions of all kinds whose draft is in review, with (kind, id) greater than
        `after`, in that order.
        """

    async def current(self) -> list[Stored]:
        """All definitions but the archived, in order of kind and id."""

    async def revision(self) -> Revision:
        """The newest revision and how many wait for the relay."""

    async def versions(
        self, kind: Kind, id_: str, *, below: int | None, limit: int
    ) -> list[Version]:
        """Publications of one definition, the newest first, with numbers less than `below`."""

    async def version(self, kind: Kind, id_: str, number: int) -> Version | None:
        """One publication."""

    async def entries(self, wanted: Wanted, *, below: int | None, limit: int) -> list[Entry]:
        """Entries of the audit log, the newest first, with numbers less than `below`."""

    async def entries_since(self, after: int, limit: int) -> list[Entry]:
        """Entries with numbers greater than `after`, in order: to replay the log."""


class Writer(Reader, Protocol):
    """Reads and writes within one transaction that no other writer overlaps."""

    async def save(self, stored: Stored) -> Stored:
        """Insert or overwrite a definition that is not being published; gives its new `edit`."""

    async def publish(self, changed: Sequence[Stored], at: Micros) -> list[Stored]:
        """Overwrite these, keep each as an immutable version, and put one new revision into
        the outbox, all at once. The caller has raised `version` and set `published`.

        Revisions are consecutive in order of commit. Returns them with `revision` and `edit`.
        """

    async def record(self, entries: Sequence[Entry]) -> None:
        """Append to the audit log; numbers grow in order of commit."""


class Store(Protocol):
    """Opens transactions.

    Raises:
        Transient: (both, anywhere inside) the database cannot be reached for now.
    """

    def reading(self) -> AbstractAsyncContextManager[Reader]:
        """A transaction for reading."""

    def writing(self) -> AbstractAsyncContextManager[Writer]:
        """A transaction for writing: commits at the end, undone by any exception. It waits
        for the writer before it, in this or any other process.
        """
