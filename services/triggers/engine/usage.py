"""Which tags nobody uses, and which went stale: asked of definitions, never of a person."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

import msgspec

from services.contracts.definitions import Bundle, Tag
from services.contracts.time import DAY, Micros, from_micros

STALE_AFTER_DAYS: Final = 90
"""So long without any change of anybody's value, and a tag is worth a look."""
_NAMES: Final = frozenset({"tag", "share_of"})
_MADE_OF: Final = frozenset(
    {"tag", "of", "to", "among", "frequency", "recency", "tenure", "monetary"}
)
"""Fields that name a tag: anywhere, and in what a tag is derived of."""
_IN_TEXT: Final = re.compile(r"""\btags(?:\.|\[["'])([a-z][a-z0-9_]{0,63})""")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a tag's life: in force since when, and when a value of it last changed
    in anybody (None: no change was seen)."""

    in_force_since: Micros
    changed_at: Micros | None = None


class TagFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One tag of the report.

    `used_by` are the places that name it; `unused` where there are none, or tags alone that
    are unused themselves. `stale` says why: `review_due` (the day to look at it again is over)
    and `no_change` (of nobody for too long). `changed_at` is None where no change was seen, or
    nobody has looked.
    """

    id: str
    name: str
    layer: str | None
    owner: str
    used_by: tuple[str, ...]
    unused: bool
    stale: tuple[str, ...]
    review_by: str | None
    changed_at: Micros | None


def uses(bundle: Bundle) -> dict[str, tuple[str, ...]]:
    """For each tag the places that name it, in order: entries, conditions, texts, templates,
    segments, life cycles and derived tags of what is in force."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for kind, definitions in (
        ("lifecycles", bundle.lifecycles),
        ("segments", bundle.segments),
        ("tags", bundle.tags),
        ("templates", bundle.templates),
        ("triggers", [one for one in bundle.triggers if one.status in ("live", "paused")]),
    ):
        for one in definitions:
            derived = isinstance(one, Tag)
            value = msgspec.to_builtins(one.derive if isinstance(one, Tag) else one)
            place = f"{kind}.{one.id}.derive" if derived else f"{kind}.{one.id}"
            for at, tag in _named(value, place, _MADE_OF if derived else _NAMES):
                if at not in found[tag]:
                    found[tag].append(at)
    return {tag.id: tuple(found[tag.id]) for tag in bundle.tags}


def _named(value: Any, place: str, names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Every place that names a tag, within a definition made of plain values."""
    if isinstance(value, dict):
        for key, part in value.items():
            at = f"{place}.{key}"
            if isinstance(part, str) and key in names:
                yield at, part
            elif key != "value":
                yield from _named(part, at, names)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _named(part, f"{place}[{number}]", names)
    elif isinstance(value, str):
        for tag in _IN_TEXT.findall(value):
            yield place, tag


def tag_report(
    bundle: Bundle,
    seen: Mapping[str, Seen],
    *,
    now: Micros,
    watched_since: Micros | None,
    stale_after_days: int = STALE_AFTER_DAYS,
) -> tuple[TagFinding, ...]:
    """Every tag in order of id, with what is to be said of it.

    Changes are watched for since `watched_since` (None: they are not): nothing is called
    unchanged for longer than that, nor than it is in force.
    """
    named = uses(bundle)
    used = _used(bundle, named)
    today = from_micros(now).date()
    findings = []
    for tag in sorted(bundle.tags, key=lambda one: one.id):
        known = seen.get(tag.id)
        stale = []
        if tag.review_by is not None and date.fromisoformat(tag.review_by) < today:
            stale.append("review_due")
        if known is not None and watched_since is not None:
            quiet_since = max(known.changed_at or 0, known.in_force_since, watched_since)
            if now - quiet_since >= stale_after_days * DAY:
                stale.append("no_change")
        findings.append(
            TagFinding(
                id=tag.id,
                name=tag.name,
                layer=tag.layer,
                owner=tag.owner,
                used_by=named[tag.id],
                unused=tag.id not in used,
                stale=tuple(stale),
                review_by=tag.review_by,
                changed_at=None if known is None else known.changed_at,
            )
        )
    return tuple(findings)


def _used(bundle: Bundle, named: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The tags that something other than a tag names, and those that these are made of."""
    made_into = {
        tag: {place.split(".")[1] for place in places if place.startswith("tags.")}
        for tag, places in named.items()
    }
    used = {
        tag
        for tag, places in named.items()
        if any(not place.startswith("tags.") for place in places)
    }
    while more := {tag for tag, into in made_into.items() if tag not in used and into & used}:
        used |= more
    return used
