"""What changes a send from outside: cancels, receipts of providers, replays by people."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.command import Cancel
from services.contracts.time import DAY, Micros
from services.dispatcher import ledger_sql as sql
from services.dispatcher.ledger import NewSend, sealed
from services.runtime.database import transient_errors
from services.runtime.sealing import Keyring

REASON_CHARS_MAX = 200
PRUNE_ROWS_MAX = 10_000


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A send that a provider's own name for it led to."""

    send_id: str
    person: str
    trigger: str
    channel: str


class LedgerChanges:
    """Each method is one transaction, may be repeated, and raises `Transient` while the
    database is away."""

    def __init__(self, engine: AsyncEngine, keys: Keyring | None = None) -> None:
        self._engine = engine
        self._keys = Keyring("") if keys is None else keys

    async def cancel(self, cancels: Sequence[Cancel], *, at: Micros | None) -> int:
        """Take sends back; returns how many that waited have ended.

        An attempt that has begun goes on, and is the last. Commands of a cancelled run that
        come later end without an attempt. `at` is when they end, None for when they were decided.
        """
        named = [(one.run_id or one.send_id, one.reason[:REASON_CHARS_MAX]) for one in cancels]
        ids = [name for name, _ in named]
        values = {"ids": ids, "persons": [one.person for one in cancels], "at": at}
        with transient_errors():
            async with self._engine.begin() as connection:
                reasons = [reason.replace("\0", "") for _, reason in named]
                await connection.execute(sql.CANCEL, {"ids": ids, "reasons": reasons})
                ended = (await connection.execute(sql.CANCEL_SENDS, values)).all()
        return len(ended)

    async def receipt(
        self,
        send_id: str,
        state: Literal["delivered", "bounced"],
        *,
        reason: str | None,
        at: Micros | None,
    ) -> bool:
        """Note what the provider says became of a send; False where that changes nothing.

        A send in doubt is proved to be accepted by it, and is reported so.
        """
        values = {"send_id": send_id, "state": state, "reason": reason, "at": at}
        with transient_errors():
            async with self._engine.begin() as connection:
                changed = (await connection.execute(sql.RECEIPT, values)).all()
        return bool(changed)

    async def of_provider(self, provider_id: str, queues: Sequence[str]) -> Known | None:
        """The send of these queues that a provider knows by this name."""
        values = {"provider_id": provider_id, "queues": list(queues)}
        with transient_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(sql.BY_PROVIDER_ID, values)).one_or_none()
        if row is None:
            return None
        return Known(send_id=row[0], person=row[1], trigger=row[2], channel=row[3])

    async def address_of(self, send_id: str) -> bytes | None:
        """The digest of the address that a mail went to, None where it is not known."""
        with transient_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(sql.ADDRESS, {"send_id": send_id})).one_or_none()
        return None if row is None or row[0] is None else bytes(row[0])

    async def replay(self, sends: Sequence[NewSend]) -> set[str]:
        """Let sends that were given up wait again; returns the ids for which that is so.

        What was accepted stays so, and what is open is not touched: the effect is once.
        """
        values = {
            "send_id": [send.send_id for send in sends],
            "command": [sealed(send, self._keys) for send in sends],
            "expires_at": [send.expires_at for send in sends],
            "queue": [send.queue for send in sends],
        }
        with transient_errors():
            async with self._engine.begin() as connection:
                return {row[0] for row in await connection.execute(sql.REPLAY, values)}

    async def prune_cancels(self, days: int) -> int:
        """Forget cancels older than `days`; returns how many."""
        values = {"age": days * DAY, "limit": PRUNE_ROWS_MAX}
        with transient_errors():
            async with self._engine.begin() as connection:
                return (await connection.execute(sql.PRUNE_CANCELS, values)).rowcount
