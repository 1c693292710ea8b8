"""The port to where definitions are kept."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from services.contracts.definitions import Kind
from services.contracts.time import Micros
from services.triggers.definitions.values import Revision, Status, Stored

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

    async def current(self) -> list[Stored]:
        """All definitions but the archived, in order of kind and id."""

    async def revision(self) -> Revision:
        """The newest revision and how many wait for the relay."""


class Writer(Reader, Protocol):
    """Reads and writes within one transaction that no other writer overlaps."""

    async def save(self, stored: Stored) -> Stored:
        """Insert or overwrite a definition that is not being published; gives its new `edit`."""

    async def publish(self, changed: Sequence[Stored], at: Micros) -> list[Stored]:
        """Overwrite these, keep each as an immutable version, and put one new revision into
        the outbox, all at once. The caller has raised `version` and set `published`.

        Revisions are consecutive in order of commit. Returns them with `revision` and `edit`.
        """


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
