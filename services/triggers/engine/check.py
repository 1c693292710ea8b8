"""What is wrong with definitions, each problem with its place: before, not while, deciding."""

from services.contracts.definitions import Bundle


def check(bundle: Bundle) -> list[tuple[str, str]]:
    """Problems as (place, reason), empty where all is well."""
    return []
