"""What the report of tags answers."""

from datetime import datetime
from typing import Any, Final

import msgspec


class ReportedTag(msgspec.Struct, frozen=True, kw_only=True):
    """One tag. `used_by` are the places that name it; it is `unused` where there are none, or
    only tags that are unused themselves. `stale` has the reasons: `review_due`, and
    `no_change` of anybody's value for so many days."""

    id: str
    name: str
    layer: str | None
    owner: str
    used_by: tuple[str, ...]
    unused: bool
    stale: tuple[str, ...]
    review_by: str | None
    changed_at: datetime | None


class TagReport(msgspec.Struct, frozen=True, kw_only=True):
    """Tags with something to say of them, in order of id; `tags_in_force` counts all.

    `watched_since` is null where nothing is known of changes: then no tag is called unchanged.
    """

    tags_in_force: int
    stale_after_days: int
    watched_since: datetime | None
    tags: tuple[ReportedTag, ...]


STRUCTS: Final = (TagReport,)
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "TagReport": {
        "tags_in_force": 12,
        "stale_after_days": 90,
        "watched_since": "2026-01-02T09:00:00Z",
        "tags": [
            {
                "id": "summer_visits",
                "name": "Visits in summer",
                "layer": "behaviour",
                "owner": "crm",
                "used_by": [],
                "unused": True,
                "stale": ["review_due", "no_change"],
                "review_by": "2026-09-30",
                "changed_at": "2026-08-31T21:00:00Z",
            }
        ],
    }
}
