"""Data quality by source: what cleaning found, counted by the day, with samples.

One transaction a batch, its place in the log included: what a worker writes again after a
crash is not counted again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.cleaning import Finding, Findings
from services.contracts.codec import decode_json
from services.contracts.errors import Malformed
from services.contracts.time import DAY, Micros
from services.profile_store.jsonb import from_text, to_text
from services.profile_store.limits import MICROS_MAX, MICROS_MIN
from services.runtime.database import transient_errors

SAMPLES_MAX: Final = 20
"""Kept of each source, rule and fault: the newest."""
SOURCES_MAX: Final = 200
"""Counted by name; what comes from further ones is counted under `OTHER`."""
OTHER: Final = "(other)"

_decoder: Final = msgspec.json.Decoder(Findings)

_PLACE: Final = text("""
INSERT INTO profile_store.quality_places AS p (partition, position, at)
VALUES (:partition, -1, 0) ON CONFLICT (partition) DO UPDATE SET position = p.position
RETURNING position, at
""")
_ADVANCE: Final = text("""
UPDATE profile_store.quality_places SET position = :position, at = greatest(at, :at)
WHERE partition = :partition
""")
_SOURCES: Final = text("SELECT DISTINCT source FROM profile_store.quality_counts LIMIT :limit")
_COUNT: Final = text("""
INSERT INTO profile_store.quality_counts AS c (source, rule, fault, day, findings)
SELECT * FROM unnest(
    CAST(:source AS text[]), CAST(:rule AS text[]), CAST(:fault AS text[]),
    CAST(:day AS bigint[]), CAST(:findings AS bigint[]))
ON CONFLICT (source, rule, fault, day) DO UPDATE SET findings = c.findings + excluded.findings
""")
_SAMPLE: Final = text("""
INSERT INTO profile_store.quality_samples (
    source, rule, fault, partition, position, at, person, message_id, sample)
SELECT g.source, g.rule, g.fault, :partition, g.position, g.at, g.person, g.message_id, g.sample
FROM unnest(
    CAST(:source AS text[]), CAST(:rule AS text[]), CAST(:fault AS text[]),
    CAST(:position AS bigint[]), CAST(:at AS bigint[]), CAST(:person AS text[]),
    CAST(:message_id AS text[]), CAST(:sample AS text[])
) AS g (source, rule, fault, position, at, person, message_id, sample)
ON CONFLICT DO NOTHING
""")
_THIN: Final = text("""
DELETE FROM profile_store.quality_samples WHERE ctid IN (
    SELECT ctid FROM (
        SELECT ctid, row_number() OVER (
            PARTITION BY source, rule, fault ORDER BY at DESC, partition, position DESC) AS place
        FROM profile_store.quality_samples
    ) AS ranked WHERE place > :keep)
""")
_COUNTS: Final = text("""
SELECT source, rule, fault, day, findings FROM profile_store.quality_counts
WHERE day >= :from_ AND day < :to AND (CAST(:source AS text) IS NULL OR source = :source)
ORDER BY source, rule, fault, day
""")
_SAMPLES: Final = text("""
SELECT source, rule, fault, at, person, message_id, sample FROM profile_store.quality_samples
WHERE CAST(:source AS text) IS NULL OR source = :source
ORDER BY source, rule, fault, at DESC, partition, position DESC
""")
# By the days that there are: in a replay they are not those of this machine.
_PRUNE: Final = text("""
DELETE FROM profile_store.quality_counts
WHERE day <= (SELECT max(day) FROM profile_store.quality_counts) - :keep
""")


class DayCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one rule found one fault in what came of one source on one day (UTC)."""

    source: str
    rule: str
    fault: str
    day: Micros
    findings: int


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: whose event it was, and the value as it may be shown."""

    source: str
    rule: str
    fault: str
    at: Micros
    person: str
    message_id: str
    sample: str | None


def findings_of(value: bytes | None) -> Findings:
    """Decode a record of `quality`.

    Raises:
        Malformed: `bad_finding`, `newer_schema`, or `unstorable` with what is out of range.
    """
    if value is None:
        raise Malformed("bad_finding", "the record has no value")
    found = decode_json(value, _decoder, "finding")
    if not all(MICROS_MIN <= one.at <= MICROS_MAX and one.position >= 0 for one in found.findings):
        raise Malformed("unstorable", "a time or a place in the log is out of range")
    return found


class QualityLog:
    """Counts and samples in PostgreSQL. One writer a partition at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def put(self, found: Findings) -> int:
        """Count what was not counted yet; returns how many that were. All or nothing.

        What stands at a place that was passed is known, unless it is of a later time than all
        before: then the topic was made anew.

        Raises:
            Transient: the database is away or busy; whether it was stored is unknown.
        """
        if not found.findings:
            return 0
        with transient_errors():
            async with self._engine.begin() as connection:
                row = (await connection.execute(_PLACE, {"partition": found.partition})).one()
                fresh = [
                    one for one in found.findings if one.position > row.position or one.at > row.at
                ]
                if fresh:
                    await self._put(connection, found.partition, fresh)
                if fresh and found.complete:
                    await _advance(connection, found.partition, fresh)
                return len(fresh)

    async def _put(
        self, connection: AsyncConnection, partition: int, fresh: Sequence[Finding]
    ) -> None:
        rows = await connection.execute(_SOURCES, {"limit": SOURCES_MAX})
        known = {from_text(row.source) for row in rows}
        named: list[Finding] = []
        for one in fresh:
            if one.source not in known and len(known) >= SOURCES_MAX:
                one = msgspec.structs.replace(one, source=OTHER)
            known.add(one.source)
            named.append(one)
        counts = Counter((one.source, one.rule, one.fault, one.at // DAY * DAY) for one in named)
        # In one order, so that two writers cannot wait for each other in a ring.
        ordered = sorted(counts)
        await connection.execute(
            _COUNT,
            {
                "source": [to_text(key[0]) for key in ordered],
                "rule": [to_text(key[1]) for key in ordered],
                "fault": [key[2] for key in ordered],
                "day": [key[3] for key in ordered],
                "findings": [counts[key] for key in ordered],
            },
        )
        await connection.execute(_SAMPLE, {"partition": partition, **_columns(_newest(named))})

    async def counts(self, *, from_: Micros, to: Micros, source: str | None) -> list[DayCount]:
        """Counts of the days that begin in `[from_, to)`, in order. Raises `Transient`."""
        parameters = {"from_": from_, "to": to, "source": _given(source)}
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_COUNTS, parameters)
                return [
                    DayCount(
                        source=from_text(row.source),
                        rule=from_text(row.rule),
                        fault=row.fault,
                        day=row.day,
                        findings=row.findings,
                    )
                    for row in rows
                ]

    async def samples(self, *, source: str | None) -> list[Sample]:
        """The newest of each source, rule and fault. Raises `Transient`."""
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_SAMPLES, {"source": _given(source)})
                return [
                    Sample(
                        source=from_text(row.source),
                        rule=from_text(row.rule),
                        fault=row.fault,
                        at=row.at,
                        person=from_text(row.person),
                        message_id=from_text(row.message_id),
                        sample=None if row.sample is None else from_text(row.sample),
                    )
                    for row in rows
                ]

    async def prune(self, *, keep_days: int) -> None:
        """Forget counts but of the newest days, and samples past `SAMPLES_MAX`.

        Raises:
            Transient: the database is away or busy.
        """
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_PRUNE, {"keep": keep_days * DAY})
                await connection.execute(_THIN, {"keep": SAMPLES_MAX})


async def _advance(connection: AsyncConnection, partition: int, fresh: Sequence[Finding]) -> None:
    last = {"position": fresh[-1].position, "at": max(one.at for one in fresh)}
    await connection.execute(_ADVANCE, {"partition": partition, **last})


def _newest(found: Sequence[Finding]) -> list[Finding]:
    """The last of each source, rule and fault, no more than are kept anyway."""
    taken: Counter[tuple[str, str, str]] = Counter()
    kept: list[Finding] = []
    for one in reversed(found):
        key = one.source, one.rule, one.fault
        taken[key] += 1
        if taken[key] <= SAMPLES_MAX:
            kept.append(one)
    return kept


def _columns(found: Sequence[Finding]) -> dict[str, list[object]]:
    return {
        "source": [to_text(one.source) for one in found],
        "rule": [to_text(one.rule) for one in found],
        "fault": [one.fault for one in found],
        "position": [one.position for one in found],
        "at": [one.at for one in found],
        "person": [to_text(one.person) for one in found],
        "message_id": [to_text(one.message_id) for one in found],
        "sample": [None if one.sample is None else to_text(one.sample) for one in found],
    }


def _given(text_: str | None) -> str | None:
    return None if text_ is None else to_text(text_)
