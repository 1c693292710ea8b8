"""The port to the log, on which definitions are announced."""

from collections.abc import Sequence
from typing import Protocol

from services.contracts.control import Marker
from services.contracts.definitions import DefinitionRecord


class Announcer(Protocol):
    """Writes to the log. A write that returned is acknowledged; one that raised may stand
    there or not, and is repeated whole.

    Raises:
        Transient: (all methods) the broker cannot be reached for now.
    """

    async def open(self) -> None:
        """Connect."""

    async def head(self) -> int:
        """The newest revision that stands in the log, 0 in an empty one."""

    async def write_definitions(self, records: Sequence[DefinitionRecord]) -> None:
        """Append the records in this order."""

    async def write_marker(self, marker: Marker) -> None:
        """Append the marker to every partition of `events`."""

    async def close(self) -> None:
        """Disconnect; afterwards nothing of an unfinished write can still arrive."""
