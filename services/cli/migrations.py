"""Who owns which schema, and bringing all of them to their newest version."""

from importlib import resources
from typing import Final

from services.runtime.database import migrate

OWNERS: Final = {
    "triggers": "services.triggers.definitions",
    "profile_store": "services.profile_store",
    "dispatcher": "services.dispatcher",
}
"""Schema to the package whose folder `migrations` describes it."""


async def migrate_all(database_url: str) -> None:
    """Migrate every owner's schema; raises `Transient` where the database stays away."""
    for schema, package in OWNERS.items():
        location = resources.files(package).joinpath("migrations")
        await migrate(database_url, script_location=str(location), schema=schema)
