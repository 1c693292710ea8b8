"""The ledger of sends in PostgreSQL: what makes each effect once.

Every statement handles many sends and is one transaction. Each method raises `Transient`
where the database is away for now; whoever called tries the same call again, which is
harmless for all of them. docs/decisions/0005-dispatcher-ledger.md argues the design.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import Micros
from services.dispatcher import ledger_sql as sql
from services.dispatcher.policy import RANKS, SendState
from services.runtime.database import make_engine, transient_errors
from services.runtime.sealing import Keyring, Unopened
from services.runtime.settings import DatabaseSettings

BY_INDEX: Final = {"enable_seqscan": "off"}
"""Every statement finds its sends by an index. PostgreSQL keeps the plans that it made when the
ledger was empty: for each batch it would read all of it, until it has counted the rows a minute
later."""


def make_ledger_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine for a `Ledger`, whose callers try again what has failed."""
    return make_engine(
        settings,
        application="cuestream dispatcher ledger",
        server_settings=BY_INDEX,
        ask_first=False,
    )


class NewSend(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A command read for the first time, as far as its reader knows.

    `provider`: who attempts it at once; None where it waits to be claimed. `address` is the
    digest of a mail's, for when it bounces.
    """

    send_id: str
    person: str
    trigger: str
    channel: str
    queue: str
    rank: int
    command: bytes
    source_partition: int
    source_offset: int
    decided_at: Micros
    run_id: str | None
    expires_at: Micros | None
    provider: str | None = None
    address: bytes | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One send that is ours to attempt. `attempts` counts this one and fences off others;
    `attempts_before` of them belong to a time before it was replayed. `bulk_since`: of one of
    the normal lane that waited in the ledger, since when it could be attempted.

    `doubtful`: an earlier attempt may have had its effect. `cancelled`: it must not be made.
    """

    send_id: str
    queue: str
    provider: str | None
    attempts: int
    attempts_before: int
    doubtful: bool
    cancelled: bool
    command: bytes
    source_partition: int
    source_offset: int
    read_at: Micros
    bulk_since: Micros = 0


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a claim. `finished_at` is None where it goes back to waiting."""

    send_id: str
    attempts: int
    state: SendState
    doubtful: bool
    bound: bool
    reason: str | None
    provider_id: str | None
    wait_micros: int
    finished_at: Micros | None


class Finished(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A send at its end, as it is reported.

    `command` is None where an earlier report has been acknowledged already: then only the
    delivery is told again.
    """

    send_id: str
    person: str
    trigger: str
    channel: str
    state: SendState
    attempts: int
    reason: str | None
    finished_at: Micros
    command: bytes | None
    source_partition: int
    source_offset: int


class Ledger:
    """The ledger; instances on several machines may work on it at the same time.

    `lease_micros` is how long a claim, or the duty to report, stays with one process: every
    `Ledger` counts as one. Commands are kept sealed where `keys` has any; one that cannot be
    opened raises `Unopened`, and stays what it was once its lease is over.
    """

    def __init__(
        self, engine: AsyncEngine, *, lease_micros: int, keys: Keyring | None = None
    ) -> None:
        # Each statement is a transaction: nothing is asked before it, and nothing said after it.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._keys = Keyring("") if keys is None else keys
        self._lease = lease_micros
        self._holder = uuid4().hex

    async def record(self, sends: Sequence[NewSend]) -> dict[str, Claim | None]:
        """Make entries durable; returns those that were new, by id. Ids are distinct in `sends`.

        Those with a provider are claimed for it. For a send that is known and finished, its
        delivery will be reported again.
        """
        columns: dict[str, Any] = {
            name: [getattr(send, name) for send in sends] for name in NewSend.__struct_fields__
        }
        if self._keys.sealing:
            columns["command"] = [sealed(send, self._keys) for send in sends]
        with transient_errors():
            async with self._engine.connect() as connection:
                columns |= {"lease": self._lease, "holder": self._holder}
                rows = await connection.execute(sql.RECORD, columns)
                made = {row[0]: row for row in rows}
                if len(made) < len(sends):
                    known = [send.send_id for send in sends if send.send_id not in made]
                    await connection.execute(sql.REPORT_AGAIN, {"send_id": known})
        return {
            send.send_id: None if send.provider is None else _first_claim(send, made[send.send_id])
            for send in sends
            if send.send_id in made
        }

    async def claim(
        self,
        queue: str,
        provider: str,
        limit: int,
        *,
        bulk: int | None = None,
        any_: bool = True,
        quick: bool = False,
        since: Micros = 0,
    ) -> list[Claim]:
        """Take up to `limit` due sends of a queue for a provider: urgent lanes first, then the
        oldest; of the normal lane up to `bulk`. Without `any_` only those in doubt there. Of the
        normal lane none that is due before `since`.

        `quick` does not wait for the disk: a server that crashes may forget the claims, which
        is harmless where a repeated attempt is.

        Raises:
            Unopened: a command cannot be read; none of them is claimed then.
        """
        rows = await self._rows(
            sql.CLAIM_QUICKLY if quick else sql.CLAIM,
            queue=queue,
            provider=provider,
            limit=limit,
            bulk=limit if bulk is None else bulk,
            any=any_,
            since=since,
            lease=self._lease,
            holder=self._holder,
        )
        try:
            # UPDATE gives its rows in any order.
            return [
                self._claim(row) for row in sorted(rows, key=lambda row: (row.rank, row.read_at))
            ]
        except Unopened:
            # Left claimed they would be found as interrupted, their effect unknown.
            await self._rows(
                sql.UNCLAIM,
                send_id=[row.send_id for row in rows],
                attempts=[row.attempts for row in rows],
                holder=self._holder,
            )
            raise

    async def due(
        self, queue: str, provider: str, limit: int, *, bulk: int, any_: bool = True
    ) -> int:
        """How many sends `claim` would find now, up to `limit`."""
        rows = await self._rows(
            sql.DUE, queue=queue, provider=provider, limit=limit, bulk=bulk, any=any_, since=0
        )
        return int(rows[0][0])

    async def mine(self, queue: str, held: Collection[str]) -> list[Claim]:
        """Claims of ours beside `held`: those whose acknowledgement was lost with a connection."""
        rows = await self._rows(
            sql.MINE, queue=queue, held=list(held), holder=self._holder, lease=self._lease
        )
        return [self._claim(row) for row in rows]

    async def interrupted(self, limit: int) -> list[Claim]:
        """Take over sends whose holder died or stalled with the effect unknown."""
        rows = await self._rows(sql.INTERRUPTED, limit=limit, lease=self._lease)
        return [self._claim(row) for row in rows]

    async def settle(self, results: Sequence[Result], *, told: bool = False) -> set[str]:
        """Write results down; returns the ids that were still ours to decide.

        `told`: the log has heard of all of them, nothing is left to report. This does not wait
        for the disk: forgotten, they would be told once more.
        """
        rows = await self._rows(
            sql.SETTLE_QUICKLY if told else sql.SETTLE,
            lease=self._lease,
            told=told,
            holder=self._holder,
            send_id=[result.send_id for result in results],
            attempts=[result.attempts for result in results],
            state=[result.state.value for result in results],
            doubtful=[result.doubtful for result in results],
            bound=[result.bound for result in results],
            reason=[result.reason for result in results],
            provider_id=[result.provider_id for result in results],
            finished_at=[result.finished_at for result in results],
            wait=[result.wait_micros for result in results],
        )
        return {row[0] for row in rows}

    async def unreported(self, limit: int) -> list[Finished]:
        """Take over finished sends whose report nobody has had acknowledged in time."""
        rows = await self._rows(sql.UNREPORTED, limit=limit, lease=self._lease)
        return [self._finished(row) for row in rows]

    async def expire(self, limit: int, *, at: Micros) -> list[Finished]:
        """End waiting sends whose time is over; whoever gets them reports them."""
        rows = await self._rows(sql.EXPIRE, limit=limit, at=at, lease=self._lease)
        return [self._finished(row) for row in rows]

    async def mark_reported(self, finished: Sequence[Finished]) -> None:
        """The reports are acknowledged; the commands' bytes are forgotten."""
        await self._rows(
            sql.REPORTED,
            send_id=[send.send_id for send in finished],
            state=[send.state.value for send in finished],
        )

    async def adopt(self, served: Sequence[str], nobody: str) -> int:
        """Move what waits for a queue that is served no more to `nobody`; returns how many."""
        with transient_errors():
            async with self._engine.connect() as connection:
                moved = await connection.execute(
                    sql.ADOPT, {"served": list(served), "nobody": nobody}
                )
        return moved.rowcount

    async def _rows(self, statement: Any, **parameters: Any) -> Sequence[Any]:
        with transient_errors():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement, parameters)).all()

    def _claim(self, row: Any) -> Claim:
        return Claim(
            send_id=row.send_id,
            queue=row.queue,
            provider=row.provider,
            attempts=row.attempts,
            attempts_before=row.attempts_before,
            doubtful=row.doubtful,
            cancelled=row.cancelled,
            command=opened(row.command, row.send_id, self._keys),
            source_partition=row.source_partition,
            source_offset=row.source_offset,
            read_at=row.read_at,
            bulk_since=row.next_attempt_at if row.rank == RANKS["normal"] else 0,
        )

    def _finished(self, row: Any) -> Finished:
        command = row.command
        return Finished(
            send_id=row.send_id,
            person=row.person,
            trigger=row.trigger,
            channel=row.channel,
            state=SendState(row.state),
            attempts=row.attempts,
            reason=row.reason,
            finished_at=row.finished_at,
            command=None if command is None else opened(command, row.send_id, self._keys),
            source_partition=row.source_partition,
            source_offset=row.source_offset,
        )


def sealed(send: NewSend, keys: Keyring) -> bytes:
    """A send's command as its row holds it."""
    return keys.seal_bytes(send.command, place_of(send.send_id))


def opened(command: bytes, send_id: str, keys: Keyring) -> bytes:
    """The command of a row; raises `Unopened`."""
    return keys.open_bytes(command, place_of(send_id), f"the command of send {send_id}")


def place_of(id_: str) -> bytes:
    """Where a value of the send with this id belongs: what is sealed opens nowhere else."""
    return f"dispatcher\0{id_}".encode()


def _first_claim(send: NewSend, row: Any) -> Claim:
    return Claim(
        send_id=send.send_id,
        queue=send.queue,
        provider=send.provider,
        attempts=1,
        attempts_before=0,
        doubtful=False,
        cancelled=row.cancelled,
        command=send.command,
        source_partition=send.source_partition,
        source_offset=send.source_offset,
        read_at=row.read_at,
    )
