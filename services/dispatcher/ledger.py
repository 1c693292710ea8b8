"""The ledger of sends in PostgreSQL: what makes each effect once.

Every statement handles many sends and is one transaction. Each method raises `Transient`
where the database is away for now; whoever called tries the same call again, which is
harmless for all of them. docs/decisions/0005-dispatcher-ledger.md argues the design.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import Micros
from services.dispatcher.policy import SendState
from services.runtime.database import transient_errors


class NewSend(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A command read for the first time, as far as its reader knows."""

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


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One send that is ours to attempt. `attempts` counts this one and fences off others.

    `doubtful`: an earlier attempt may have had its effect.
    """

    send_id: str
    queue: str
    attempts: int
    doubtful: bool
    command: bytes
    source_partition: int
    source_offset: int
    read_at: Micros


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a claim. `finished_at` is None where it goes back to waiting."""

    send_id: str
    attempts: int
    state: SendState
    doubtful: bool
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


_RECORD: Final = text("""
INSERT INTO dispatcher.sends (
    send_id, person, trigger, channel, queue, rank, command, source_partition, source_offset,
    decided_at, state, read_at, next_attempt_at)
SELECT g.send_id, g.person, g.trigger, g.channel, g.queue, g.rank, g.command,
    g.source_partition, g.source_offset, g.decided_at,
    'pending', dispatcher.now_micros(), dispatcher.now_micros()
FROM unnest(
    CAST(:send_id AS uuid[]), CAST(:person AS text[]), CAST(:trigger AS text[]),
    CAST(:channel AS text[]), CAST(:queue AS text[]), CAST(:rank AS smallint[]),
    CAST(:command AS bytea[]), CAST(:source_partition AS integer[]),
    CAST(:source_offset AS bigint[]), CAST(:decided_at AS bigint[])
) AS g(send_id, person, trigger, channel, queue, rank, command, source_partition,
    source_offset, decided_at)
ON CONFLICT (send_id) DO NOTHING
RETURNING CAST(send_id AS text)
""")

# A command read again means its answer may be missing from the log (a topic made anew, say),
# so it is told again. `lease_until` 0 hands the row to whoever looks for unreported ones.
_REPORT_AGAIN: Final = text("""
UPDATE dispatcher.sends SET reported_at = NULL, lease_until = 0
WHERE send_id = ANY(CAST(:send_id AS uuid[]))
  AND reported_at IS NOT NULL AND state IN ('accepted', 'failed')
""")

_CLAIM: Final = text("""
WITH due AS MATERIALIZED (
    SELECT waiting.send_id
    FROM (VALUES (0::smallint), (1::smallint), (2::smallint)) AS ranks(rank)
    CROSS JOIN LATERAL (
        SELECT s.send_id FROM dispatcher.sends s
        WHERE s.state = 'pending' AND s.queue = :queue AND s.rank = ranks.rank
          AND s.next_attempt_at <= dispatcher.now_micros()
        ORDER BY s.next_attempt_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS waiting
    LIMIT :limit
)
UPDATE dispatcher.sends s
SET state = 'sending', attempts = s.attempts + 1,
    lease_until = dispatcher.now_micros() + :lease
FROM due WHERE s.send_id = due.send_id
RETURNING CAST(s.send_id AS text), s.queue, s.attempts, s.doubtful, s.command,
    s.source_partition, s.source_offset, s.read_at, s.rank
""")

# Whose holder did not come back in time. They stay `sending` under a new lease until the
# policy has spoken; the number of attempts does not change, so a holder that was merely slow
# may still report an acceptance.
_INTERRUPTED: Final = text("""
UPDATE dispatcher.sends s
SET lease_until = dispatcher.now_micros() + :lease
FROM (
    SELECT send_id FROM dispatcher.sends
    WHERE state = 'sending' AND lease_until < dispatcher.now_micros()
    ORDER BY lease_until LIMIT :limit FOR UPDATE SKIP LOCKED
) AS lost
WHERE s.send_id = lost.send_id
RETURNING CAST(s.send_id AS text), s.queue, s.attempts, s.doubtful, s.command,
    s.source_partition, s.source_offset, s.read_at, s.rank
""")

# An acceptance is the truth whenever it arrives; every other result counts only while the
# claim is still held.
_SETTLE: Final = text("""
UPDATE dispatcher.sends s
SET state = g.state, doubtful = g.doubtful, reason = g.reason, provider_id = g.provider_id,
    finished_at = g.finished_at, reported_at = NULL,
    next_attempt_at = dispatcher.now_micros() + g.wait,
    lease_until = dispatcher.now_micros() + :lease
FROM unnest(
    CAST(:send_id AS uuid[]), CAST(:attempts AS integer[]), CAST(:state AS text[]),
    CAST(:doubtful AS boolean[]), CAST(:reason AS text[]), CAST(:provider_id AS text[]),
    CAST(:finished_at AS bigint[]), CAST(:wait AS bigint[])
) AS g(send_id, attempts, state, doubtful, reason, provider_id, finished_at, wait)
WHERE s.send_id = g.send_id AND s.attempts = g.attempts
  AND (s.state = 'sending' OR (g.state = 'accepted' AND s.state IN ('pending', 'ambiguous')))
RETURNING CAST(s.send_id AS text)
""")

_UNREPORTED: Final = text("""
UPDATE dispatcher.sends s
SET lease_until = dispatcher.now_micros() + :lease
FROM (
    SELECT send_id FROM dispatcher.sends
    WHERE reported_at IS NULL AND state IN ('accepted', 'failed', 'ambiguous')
      AND lease_until < dispatcher.now_micros()
    ORDER BY lease_until LIMIT :limit FOR UPDATE SKIP LOCKED
) AS untold
WHERE s.send_id = untold.send_id
RETURNING CAST(s.send_id AS text), s.person, s.trigger, s.channel, s.state, s.attempts,
    s.reason, s.finished_at, s.command, s.source_partition, s.source_offset
""")

_REPORTED: Final = text("""
UPDATE dispatcher.sends s SET reported_at = dispatcher.now_micros(), command = NULL
FROM unnest(CAST(:send_id AS uuid[]), CAST(:state AS text[])) AS g(send_id, state)
WHERE s.send_id = g.send_id AND s.state = g.state
""")

_ADOPT: Final = text("""
UPDATE dispatcher.sends SET queue = :nobody, next_attempt_at = dispatcher.now_micros()
WHERE state = 'pending' AND queue <> ALL(CAST(:served AS text[]))
""")


class Ledger:
    """The ledger; instances on several machines may work on it at the same time.

    `lease_micros` is how long a claim, or the duty to report, stays with one process.
    """

    def __init__(self, engine: AsyncEngine, *, lease_micros: int) -> None:
        self._engine = engine
        self._lease = lease_micros

    async def record(self, sends: Sequence[NewSend]) -> set[str]:
        """Make entries durable; returns the ids that were new. Ids are distinct in `sends`.

        For a send that is known and finished, its delivery will be reported again.
        """
        columns: dict[str, list[Any]] = {
            name: [getattr(send, name) for send in sends] for name in NewSend.__struct_fields__
        }
        with transient_errors():
            async with self._engine.begin() as connection:
                rows = await connection.execute(_RECORD, columns)
                made = {row[0] for row in rows}
                if len(made) < len(sends):
                    known = [send.send_id for send in sends if send.send_id not in made]
                    await connection.execute(_REPORT_AGAIN, {"send_id": known})
        return made

    async def claim(self, queue: str, limit: int) -> list[Claim]:
        """Take up to `limit` due sends of a queue: urgent lanes first, then the oldest."""
        rows = await self._rows(_CLAIM, queue=queue, limit=limit, lease=self._lease)
        # UPDATE gives its rows in any order.
        return [_claim(row) for row in sorted(rows, key=lambda row: (row.rank, row.read_at))]

    async def interrupted(self, limit: int) -> list[Claim]:
        """Take over sends whose holder died or stalled with the effect unknown."""
        rows = await self._rows(_INTERRUPTED, limit=limit, lease=self._lease)
        return [_claim(row) for row in rows]

    async def settle(self, results: Sequence[Result]) -> set[str]:
        """Write results down; returns the ids that were still ours to decide."""
        rows = await self._rows(
            _SETTLE,
            lease=self._lease,
            send_id=[result.send_id for result in results],
            attempts=[result.attempts for result in results],
            state=[result.state.value for result in results],
            doubtful=[result.doubtful for result in results],
            reason=[result.reason for result in results],
            provider_id=[result.provider_id for result in results],
            finished_at=[result.finished_at for result in results],
            wait=[result.wait_micros for result in results],
        )
        return {row[0] for row in rows}

    async def unreported(self, limit: int) -> list[Finished]:
        """Take over finished sends whose report nobody has had acknowledged in time."""
        rows = await self._rows(_UNREPORTED, limit=limit, lease=self._lease)
        return [
            Finished(
                send_id=row.send_id,
                person=row.person,
                trigger=row.trigger,
                channel=row.channel,
                state=SendState(row.state),
                attempts=row.attempts,
                reason=row.reason,
                finished_at=row.finished_at,
                command=row.command,
                source_partition=row.source_partition,
                source_offset=row.source_offset,
            )
            for row in rows
        ]

    async def mark_reported(self, finished: Sequence[Finished]) -> None:
        """The reports are acknowledged; the commands' bytes are forgotten."""
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(
                    _REPORTED,
                    {
                        "send_id": [send.send_id for send in finished],
                        "state": [send.state.value for send in finished],
                    },
                )

    async def adopt(self, served: Sequence[str], nobody: str) -> int:
        """Move what waits for a queue that is served no more to `nobody`; returns how many."""
        with transient_errors():
            async with self._engine.begin() as connection:
                moved = await connection.execute(_ADOPT, {"served": list(served), "nobody": nobody})
        return moved.rowcount

    async def _rows(self, statement: Any, **parameters: Any) -> Sequence[Any]:
        with transient_errors():
            async with self._engine.begin() as connection:
                return (await connection.execute(statement, parameters)).all()


def _claim(row: Any) -> Claim:
    return Claim(
        send_id=row.send_id,
        queue=row.queue,
        attempts=row.attempts,
        doubtful=row.doubtful,
        command=row.command,
        source_partition=row.source_partition,
        source_offset=row.source_offset,
        read_at=row.read_at,
    )
