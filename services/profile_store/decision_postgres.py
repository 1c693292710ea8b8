"""The decision log in PostgreSQL: a batch is one transaction, its place in the log included."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.decision import Decision
from services.contracts.time import Micros
from services.profile_store.decision_log import (
    COUNTS_MAX,
    Count,
    Logged,
    Place,
    Recorded,
    hour_of,
    is_put_off,
    reason_of,
)
from services.profile_store.jsonb import from_text, to_text
from services.runtime.database import transient_errors

PRUNED_MAX: Final = 10_000
"""Rows forgotten in one statement."""

_PLACES: Final = text("""
INSERT INTO profile_store.decision_places (partition, last_offset, written_ms)
SELECT partition, -1, -1 FROM unnest(CAST(:partitions AS int[])) AS given (partition)
ORDER BY partition ON CONFLICT (partition) DO NOTHING
""")
# Whoever writes of a partition holds its row: batches of one partition come one after the other.
_LOCK: Final = text("""
SELECT partition, last_offset, written_ms FROM profile_store.decision_places
WHERE partition = ANY(CAST(:partitions AS int[])) ORDER BY partition FOR UPDATE
""")
_ADVANCE: Final = text("""
UPDATE profile_store.decision_places AS p
SET last_offset = g.last_offset, written_ms = greatest(p.written_ms, g.written_ms)
FROM unnest(
    CAST(:partitions AS int[]), CAST(:offsets AS bigint[]), CAST(:written AS bigint[])
) AS g (partition, last_offset, written_ms)
WHERE p.partition = g.partition
""")
_PUT: Final = text("""
WITH fresh AS (
    INSERT INTO profile_store.decisions (
        digest, person, now, trigger, version, step, outcome, event_id, revision, run_id, send_id,
        details, hour, reason, put_off)
    SELECT g.digest, g.person, g.now, g.trigger, g.version, g.step, g.outcome, g.event_id,
        g.revision, g.run_id, g.send_id, g.details, g.hour, g.reason, g.put_off
    FROM unnest(
        CAST(:digest AS bytea[]), CAST(:person AS text[]), CAST(:now AS bigint[]),
        CAST(:trigger AS text[]), CAST(:version AS int[]), CAST(:step AS int[]),
        CAST(:outcome AS text[]), CAST(:event_id AS text[]), CAST(:revision AS bigint[]),
        CAST(:run_id AS text[]), CAST(:send_id AS text[]), CAST(:details AS text[]),
        CAST(:hour AS bigint[]), CAST(:reason AS text[]), CAST(:put_off AS boolean[])
    ) AS g (digest, person, now, trigger, version, step, outcome, event_id, revision, run_id,
        send_id, details, hour, reason, put_off)
    ON CONFLICT (digest) DO NOTHING
    RETURNING trigger, hour, version, outcome, reason, put_off
), counted AS (
    INSERT INTO profile_store.decision_counts AS c (
        trigger, hour, version, outcome, reason, put_off, decisions)
    SELECT trigger, hour, version, outcome, reason, put_off, count(*) FROM fresh
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (trigger, hour, version, outcome, reason, put_off)
    DO UPDATE SET decisions = c.decisions + excluded.decisions
)
SELECT count(*) FROM fresh
""")
_OF_PEOPLE: Final = """
SELECT digest, person, now, trigger, version, step, outcome, event_id, revision, run_id, send_id,
    details
FROM profile_store.decisions WHERE person = ANY(CAST(:people AS text[])) {more}
ORDER BY now DESC, digest DESC LIMIT :limit
"""
_COUNTS: Final = """
SELECT hour, trigger, version, outcome, reason, put_off, decisions
FROM profile_store.decision_counts WHERE hour >= :from_ AND hour < :to {more}
ORDER BY hour DESC, trigger, version, outcome, reason, put_off LIMIT :limit
"""
_OLD: Final = text("""
DELETE FROM profile_store.decisions WHERE digest IN (
    SELECT digest FROM profile_store.decisions
    WHERE stored_at <= now() - make_interval(secs => CAST(:seconds AS double precision))
    LIMIT :limit)
""")
# What a worker writes again after a crash has to be known still: the last hour stays.
_TOO_MANY: Final = text("""
DELETE FROM profile_store.decisions WHERE digest IN (
    SELECT ranked.digest FROM (
        SELECT d.person FROM profile_store.decisions d
        GROUP BY d.person HAVING count(*) > :keep LIMIT :limit
    ) AS many
    CROSS JOIN LATERAL (
        SELECT d.digest FROM profile_store.decisions d WHERE d.person = many.person
        ORDER BY d.now DESC, d.digest DESC OFFSET :keep LIMIT :limit
    ) AS ranked JOIN profile_store.decisions o USING (digest)
    WHERE o.stored_at < now() - interval '1 hour' LIMIT :limit)
""")


class PostgresDecisions:
    """The port over three tables; see the migration for them and their indexes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def put(self, batch: Sequence[Logged]) -> Recorded:
        """See the port."""
        with transient_errors():
            async with self._engine.begin() as connection:
                fresh = await _unknown(connection, batch)
                written = 0
                if fresh:
                    written = (await connection.execute(_PUT, _columns(fresh))).scalar_one()
                await _advance(connection, batch)
        return Recorded(written=written, repeated=len(batch) - written)

    async def of_people(
        self, people: Sequence[str], *, trigger: str | None, limit: int, before: Place | None
    ) -> list[tuple[Place, Decision]]:
        """See the port."""
        parameters: dict[str, Any] = {"people": [to_text(one) for one in people], "limit": limit}
        more = ""
        if trigger is not None:
            more += " AND trigger = :trigger"
            parameters["trigger"] = to_text(trigger)
        if before is not None:
            more += " AND (now, digest) < (:now, CAST(:digest AS bytea))"
            parameters |= {"now": before.now, "digest": before.digest}
        rows = await self._rows(_OF_PEOPLE.format(more=more), parameters)
        return [(Place(now=row.now, digest=row.digest), _decision(row)) for row in rows]

    async def counts(self, *, trigger: str | None, from_: Micros, to: Micros) -> list[Count]:
        """See the port."""
        parameters: dict[str, Any] = {"from_": from_, "to": to, "limit": COUNTS_MAX}
        more = ""
        if trigger is not None:
            more = " AND trigger = :trigger"
            parameters["trigger"] = to_text(trigger)
        rows = await self._rows(_COUNTS.format(more=more), parameters)
        found = [
            Count(
                hour=row.hour,
                trigger=from_text(row.trigger),
                version=row.version,
                outcome=row.outcome,
                reason=from_text(row.reason),
                put_off=row.put_off,
                decisions=row.decisions,
            )
            for row in rows
        ]
        return sorted(found)

    async def prune(self, *, keep_micros: int, keep_people: int) -> int:
        """See the port."""
        gone = 0
        old = {"seconds": keep_micros / 1e6, "limit": PRUNED_MAX}
        many = {"keep": keep_people, "limit": PRUNED_MAX}
        for statement, parameters in ((_OLD, old), (_TOO_MANY, many)):
            deleted = PRUNED_MAX
            while deleted == PRUNED_MAX:
                with transient_errors():
                    async with self._engine.begin() as connection:
                        deleted = (await connection.execute(statement, parameters)).rowcount
                gone += deleted
        return gone

    async def _rows(self, statement: str, parameters: dict[str, Any]) -> list[Any]:
        with transient_errors():
            async with self._engine.connect() as connection:
                return list(await connection.execute(text(statement), parameters))


async def _unknown(connection: AsyncConnection, batch: Sequence[Logged]) -> list[Logged]:
    """Take the partitions' places, and of the batch what does not stand before them."""
    partitions = {"partitions": sorted({one.partition for one in batch})}
    await connection.execute(_PLACES, partitions)
    places = {
        row.partition: (row.last_offset, row.written_ms)
        for row in await connection.execute(_LOCK, partitions)
    }
    return [one for one in batch if not _stands_before(one, *places[one.partition])]


def _stands_before(one: Logged, last_offset: int, written_ms: int) -> bool:
    return one.offset <= last_offset and one.written_ms <= written_ms


async def _advance(connection: AsyncConnection, batch: Sequence[Logged]) -> None:
    offsets: dict[int, int] = {}
    written: dict[int, int] = {}
    for one in batch:
        offsets[one.partition] = one.offset
        written[one.partition] = max(one.written_ms, written.get(one.partition, -1))
    await connection.execute(
        _ADVANCE,
        {
            "partitions": list(offsets),
            "offsets": list(offsets.values()),
            "written": [written[partition] for partition in offsets],
        },
    )


def _columns(batch: Sequence[Logged]) -> dict[str, list[Any]]:
    # In one order, so that two writers cannot wait for each other in a ring.
    ordered = sorted(batch, key=lambda one: one.digest)
    decisions = [one.decision for one in ordered]
    return {
        "digest": [one.digest for one in ordered],
        "person": [to_text(one.person) for one in decisions],
        "now": [one.now for one in decisions],
        "trigger": [to_text(one.trigger) for one in decisions],
        "version": [one.trigger_version for one in decisions],
        "step": [one.step for one in decisions],
        "outcome": [one.outcome.value for one in decisions],
        "event_id": [to_text(one.event_id) for one in decisions],
        "revision": [one.revision for one in decisions],
        "run_id": [None if one.run_id is None else to_text(one.run_id) for one in decisions],
        "send_id": [None if one.send_id is None else to_text(one.send_id) for one in decisions],
        # Text, not jsonb: JSON writes U+0000 as an escape, which text holds as it is.
        "details": [msgspec.json.encode(one.details).decode() for one in decisions],
        "hour": [hour_of(one.now) for one in decisions],
        "reason": [to_text(reason_of(one)) for one in decisions],
        "put_off": [is_put_off(one) for one in decisions],
    }


def _decision(row: Any) -> Decision:
    return msgspec.convert(
        {
            "person": from_text(row.person),
            "trigger": from_text(row.trigger),
            "trigger_version": row.version,
            "step": row.step,
            "outcome": row.outcome,
            "event_id": from_text(row.event_id),
            "now": row.now,
            "revision": row.revision,
            "run_id": None if row.run_id is None else from_text(row.run_id),
            "send_id": None if row.send_id is None else from_text(row.send_id),
            "details": msgspec.json.decode(row.details),
        },
        Decision,
    )
