"""What is wrong with tags: the rolling ones here, those derived of others in `check_derived`."""

from collections.abc import Iterator, Sequence
from typing import Final

from services.contracts.definitions import Tag
from services.contracts.time import DAY, SECOND
from services.triggers.engine.check_conditions import Problems, TagKind, check_condition
from services.triggers.engine.check_waiting import check_duration, check_events
from services.triggers.engine.dates import date_of
from services.triggers.engine.limits import (
    BUCKETS_MAX,
    DISTINCT_EXACT_MAX,
    TAGS_BYTES_MAX,
    TEXT_BYTES_MAX,
    TOP_VALUES_MAX,
)
from services.triggers.engine.tags import tag_key
from services.triggers.engine.windows import buckets_of, default_bucket

_NUMBER_BYTES: Final = 9
_BUCKET_BYTES: Final = 5
_TAG_BYTES: Final = 40
_VALUE_BYTES: Final = {
    "count": 5,
    "average": 2 * _NUMBER_BYTES,
    "first": _NUMBER_BYTES + TEXT_BYTES_MAX + 4,
}
SINCE: Final = ("recency", "tenure")
_OF_EVENTS: Final = ("count", *SINCE)
_OF_MOMENTS: Final = ("first", "last", "distinct", "top_k")
_WITH_MINUS: Final = ("count", "sum")
_ROLLING_FIELDS: Final = (
    "aggregate", "events", "where", "value", "moment", "minus", "window", "bucket",
)  # fmt: skip


def kind_of_tag(tag: Tag) -> TagKind:
    """What can be asked of its value: `number`, `list`, `any`, or the labels that it can be."""
    derive = tag.derive
    if derive is None:
        kinds = {"last": "any", "first": "any", "top_k": "list"}
        return kinds.get(tag.aggregate or "", "number")
    if derive.bands is not None:
        return tuple(dict.fromkeys(one.label for one in derive.bands.bands))
    if derive.cases:
        labels = [one.label for one in derive.cases]
        return tuple(dict.fromkeys([*labels, *filter(None, [derive.otherwise])]))
    return "any" if derive.trait is not None else "number"


def check_rolling(tag: Tag, place: str, problems: Problems) -> None:
    """Add what is wrong with a tag that fits its schema, but for what it is derived of."""
    if tag.review_by is not None and date_of(tag.review_by) is None:
        problems.append((f"{place}.review_by", "no such day"))
    if tag.derive is not None:
        problems += [
            (f"{place}.{name}", "a derived tag takes none: it is made of other tags and traits")
            for name in _ROLLING_FIELDS
            if getattr(tag, name)
        ]
        return
    if tag.aggregate is None:
        reason = "is required, unless the tag is derived of others"
        problems.append((f"{place}.aggregate", reason))
        return
    if not tag.events:
        problems.append((f"{place}.events", "is required: which events it takes in"))
    check_events(tag.events, f"{place}.events", problems)
    found = (*_value_problems(tag), *_minus_problems(tag), *_window_problems(tag))
    problems += [(f"{place}.{name}", reason) for name, reason in found]
    if tag.minus is not None:
        check_events(tag.minus.events, f"{place}.minus.events", problems)
    if tag.aggregate == "top_k":
        check_duration(tag.half_life, f"{place}.half_life", problems)


def conditions_of_tag(tag: Tag, place: str, problems: Problems) -> None:
    """Check the conditions on the events that it takes in: of a deep one nothing else is asked."""
    given = [("where", tag.where)]
    if tag.minus is not None:
        given.append(("minus.where", tag.minus.where))
    for name, condition in given:
        if condition is not None:
            at = f"{place}.{name}"
            check_condition(condition, at, problems, tag_kinds={}, tags_allowed=False)


def _value_problems(tag: Tag) -> Iterator[tuple[str, str]]:
    aggregate = tag.aggregate
    if tag.moment is not None and aggregate not in _OF_MOMENTS:
        yield "moment", f"goes with {', '.join(_OF_MOMENTS)}, not with {aggregate}"
        return
    if aggregate in _OF_EVENTS and tag.value is not None:
        what = "counts events" if aggregate == "count" else "goes by the time of events"
        yield "value", f"{aggregate} takes no value: it {what}"
    if tag.value is not None and tag.moment is not None:
        yield "moment", "stands in the place of a value: one of the two"
    elif aggregate not in _OF_EVENTS and tag.value is None and tag.moment is None:
        yield "value", f"{aggregate} needs a value, the property that it aggregates"


def _minus_problems(tag: Tag) -> Iterator[tuple[str, str]]:
    if tag.minus is None:
        return
    if tag.aggregate not in _WITH_MINUS:
        yield "minus", f"goes with {' and '.join(_WITH_MINUS)}, not with {tag.aggregate}"
    elif tag.minus.value is not None and tag.aggregate == "count":
        yield "minus.value", "count takes no value: it counts events"


def _window_problems(tag: Tag) -> Iterator[tuple[str, str]]:
    if tag.aggregate in SINCE and tag.window is not None:
        yield "window", f"{tag.aggregate} takes none: it speaks of a whole life"
        return
    if tag.window is None:
        if tag.bucket is not None:
            yield "bucket", "a bucket divides a window, and there is none"
        return
    found: Problems = []
    span = check_duration(tag.window, "window", found)
    bucket = None if tag.bucket is None else check_duration(tag.bucket, "bucket", found)
    yield from found
    if span is None or found:
        return
    finest = default_bucket(span)
    if bucket is not None and bucket > finest:
        length = "1m" if finest == 60 * SECOND else "1d" if finest == DAY else "1h"
        yield "bucket", f"can only be finer than {length}, the bucket of a window of {tag.window}"
        return
    if bucket is not None and span % bucket:
        yield "bucket", f"a window of {tag.window} is no whole number of these"
        return
    count = buckets_of(tag)
    if count > BUCKETS_MAX:
        yield (
            "window" if bucket is None else "bucket",
            f"{count} buckets, at most {BUCKETS_MAX} are allowed (no window: a lifetime)",
        )


def room_problems(tags: Sequence[Tag]) -> Problems:
    """Tags, each right by itself, that have no room together in a person's state."""
    rolling = [tag for tag in tags if tag.derive is None]
    problems = _same_keys(rolling)
    total = sum(map(_bytes_at_most, rolling))
    if total > TAGS_BYTES_MAX:
        reason = (
            f"together they can take {total} bytes of a person's state, at most"
            f" {TAGS_BYTES_MAX} are allowed: shorten windows or coarsen buckets"
        )
        problems.append(("tags", reason))
    return problems


def _same_keys(tags: Sequence[Tag]) -> Problems:
    """Tags that a state would not tell apart: two in a workspace of 200 once in 200,000."""
    problems: Problems = []
    first: dict[int, str] = {}
    for tag in tags:
        other = first.setdefault(tag_key(tag), tag.id)
        if other != tag.id:
            reason = f"by chance has the fingerprint of {other}: give it another id"
            problems.append((f"tags.{tag.id}", reason))
    return problems


def _bytes_at_most(tag: Tag) -> int:
    """Bytes of a tag's data in the state of the most active person."""
    text = TEXT_BYTES_MAX + 4
    if tag.aggregate == "last":
        return _TAG_BYTES + text
    if tag.aggregate == "distinct":
        return _TAG_BYTES + DISTINCT_EXACT_MAX * (_NUMBER_BYTES + _BUCKET_BYTES)
    if tag.aggregate == "top_k":
        return _TAG_BYTES + TOP_VALUES_MAX * (text + _NUMBER_BYTES + _BUCKET_BYTES)
    value = _VALUE_BYTES.get(tag.aggregate or "", _NUMBER_BYTES)
    return _TAG_BYTES + buckets_of(tag) * (_BUCKET_BYTES + value)
