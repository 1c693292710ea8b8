"""What the profile store knows of a person, table by table, to be forgotten."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from services.profile_store.jsonb import to_text
from services.profile_store.postgres import SCHEMA
from services.runtime.erasing import Erasures, Step

STEPS: Final = (
    # In their topic what is older comes before the erasure: nothing of it comes late.
    Step(
        name="profiles",
        sql="DELETE FROM profile_store.profiles WHERE person = :person",
        again=False,
    ),
    Step(
        name="history",
        sql="DELETE FROM profile_store.history WHERE person = :person AND at <= :at",
    ),
    Step(
        name="decisions",
        sql="DELETE FROM profile_store.decisions WHERE person = :person AND now <= :at",
    ),
    Step(
        name="quality_samples",
        sql="DELETE FROM profile_store.quality_samples WHERE person = :person AND at <= :at",
    ),
    # Who they are is not told there, and can be found out by whoever knows an id.
    Step(
        name="forecast_people",
        sql="DELETE FROM profile_store.forecast_people"
        " WHERE who = hashtextextended(CAST(:person AS text), 0) AND made_at <= :at",
    ),
)


def erasures_of(engine: AsyncEngine) -> Erasures:
    """Erasures in the store's schema."""
    return Erasures(engine, SCHEMA, STEPS, stored=to_text)
