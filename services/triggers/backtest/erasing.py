"""What backtests keep of people, to be forgotten: those they were shown by example."""

from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.time import Micros
from services.runtime.erasing import Erasures, Rewrite

SCHEMA: Final = "triggers"

# What began later has read the erasure on `events`, and leaves out what came before it.
_NAMING: Final = text("""
SELECT id, report FROM triggers.backtests
WHERE started_at <= :at AND position(CAST(:named AS text) IN report) > 0 ORDER BY id FOR UPDATE
""")
_PUT: Final = text("UPDATE triggers.backtests SET report = :report WHERE id = :id")


async def _drop_samples(connection: AsyncConnection, named: str, at: Micros) -> int:
    """Take a person out of the samples of reports, whose counts stay; returns how many went.

    They are named as JSON names them, which is how reports are kept.
    """
    person, dropped = msgspec.json.decode(named), 0
    for id_, told in (await connection.execute(_NAMING, {"at": at, "named": named})).all():
        report: dict[str, Any] = msgspec.json.decode(told)
        samples = report.get("samples", [])
        kept = [one for one in samples if one["explanation"]["person"] != person]
        if len(kept) < len(samples):
            dropped += len(samples) - len(kept)
            changed = msgspec.json.encode({**report, "samples": kept}).decode()
            await connection.execute(_PUT, {"id": id_, "report": changed})
    return dropped


STEPS: Final = (Rewrite(name="backtest_samples", work=_drop_samples),)


def erasures_of(engine: AsyncEngine) -> Erasures:
    """Erasures in the schema of the marketers' API."""
    return Erasures(engine, SCHEMA, STEPS, stored=_in_json)


def _in_json(person: str) -> str:
    return msgspec.json.encode(person).decode()
