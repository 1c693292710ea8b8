"""Who unsubscribes gets nothing more, not even what was decided before and still waits."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.command import Cancel
from services.contracts.time import Micros
from services.dispatcher.commands import decode_known
from services.dispatcher.ledger_changes import LedgerChanges
from services.runtime.database import transient_errors

WAITING_MAX: Final = 1000
"""Sends of one person that can wait at the same time and be taken back."""
TRANSACTIONAL: Final = "transactional"

_WAITING: Final = text("""
SELECT CAST(send_id AS text) AS send_id, command FROM dispatcher.sends
WHERE person = :person AND state IN ('pending', 'sending') AND command IS NOT NULL
LIMIT :limit
""")


class Withdrawals:
    """Takes waiting sends back as a cancel does: an attempt that has begun is the last."""

    def __init__(self, engine: AsyncEngine, changes: LedgerChanges) -> None:
        self._engine = engine
        self._changes = changes

    async def withdraw(self, person: str, channel: str | None, *, at: Micros) -> int:
        """Take back a person's marketing on a channel, None for all; returns how many ended.

        Transactional messages, offers and tasks stay. May be repeated; raises `Transient`
        while the database is away.
        """
        values = {"person": person, "limit": WAITING_MAX}
        with transient_errors():
            async with self._engine.connect() as connection:
                waiting = (await connection.execute(_WAITING, values)).all()
        cancels = []
        for row in waiting:
            command = decode_known(row.command)
            asked_for = channel is None or command.channel == channel
            if asked_for and command.kind == "send" and command.category != TRANSACTIONAL:
                cancels.append(
                    Cancel(person=person, send_id=row.send_id, reason="unsubscribed", decided_at=at)
                )
        return await self._changes.cancel(cancels, at=at) if cancels else 0
