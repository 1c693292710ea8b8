"""Sealing again: what stands in the clear, or under a key that is no longer the first."""

from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.masking import is_sensitive
from services.profile_store.jsonb import from_jsonb, from_text, to_jsonb
from services.profile_store.sensitive import Sensitive
from services.runtime.database import transient_errors
from services.runtime.sealing import Resealed

PAGE: Final = 500

_NEXT: Final = text("""
SELECT person, as_of, source_offset, CAST(traits AS text) AS traits FROM profile_store.profiles
WHERE person > :after ORDER BY person LIMIT :limit
""")
# A snapshot that came meanwhile was sealed with the first key already.
_PUT: Final = text("""
UPDATE profile_store.profiles AS p SET traits = CAST(g.traits AS jsonb)
FROM unnest(CAST(:person AS text[]), CAST(:as_of AS bigint[]), CAST(:offset AS bigint[]),
    CAST(:traits AS text[])) AS g (person, as_of, source_offset, traits)
WHERE p.person = g.person AND p.as_of = g.as_of AND p.source_offset = g.source_offset
""")


async def reseal(engine: AsyncEngine, sensitive: Sensitive) -> Resealed:
    """Go through all profiles; it may be broken off and begun again.

    Raises:
        Transient: the database is away or busy.
    """
    done, after = Resealed(), ""
    while True:
        with transient_errors():
            async with engine.begin() as connection:
                rows = (await connection.execute(_NEXT, {"after": after, "limit": PAGE})).all()
                changed: dict[str, list[Any]] = {
                    "person": [], "as_of": [], "offset": [], "traits": [],
                }  # fmt: skip
                unopened = 0
                for row in rows:
                    traits, opened = _again(
                        from_jsonb(row.traits), from_text(row.person), sensitive
                    )
                    unopened += not opened
                    if traits is not None:
                        changed["person"].append(row.person)
                        changed["as_of"].append(row.as_of)
                        changed["offset"].append(row.source_offset)
                        changed["traits"].append(to_jsonb(traits))
                if changed["person"]:
                    await connection.execute(_PUT, changed)
        done += Resealed(looked_at=len(rows), sealed=len(changed["person"]), unopened=unopened)
        if len(rows) < PAGE:
            return done
        after = rows[-1].person


def _again(
    traits: dict[str, Any], person: str, sensitive: Sensitive
) -> tuple[dict[str, Any] | None, bool]:
    """The traits sealed again, None where they are as they should be; and whether all opened."""
    if not any(sensitive.keys.is_old(value) for value in _sensitive_values(traits, sensitive)):
        return None, True
    opened = sensitive.opened_traits(traits, person)
    if opened is None:
        return None, False
    return sensitive.sealed_traits(opened, person), True


def _sensitive_values(traits: dict[str, Any], sensitive: Sensitive) -> list[Any]:
    found: list[Any] = []
    for name, value in traits.items():
        if is_sensitive(name, sensitive.names):
            if value is not None:
                found.append(value)
        elif isinstance(value, dict):
            found += _sensitive_values(value, sensitive)
    return found
