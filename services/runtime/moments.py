"""Days and instants as callers of our HTTP APIs write them."""

import re
from datetime import date
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BeforeValidator

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _written_out(given: Any) -> Any:
    """Refuse a number, which pydantic takes for the time since the epoch."""
    if isinstance(given, str) and _DAY.match(given) is None:
        raise ValueError("begins with a day like 2026-03-01")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""RFC 3339, with its zone."""
Day = Annotated[date, BeforeValidator(_written_out)]
"""A day like 2026-03-01."""
