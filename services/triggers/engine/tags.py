"""Rolling tags: a running total over buckets that open, fill and leave.

A late event fills the bucket it belongs to. Totals are never summed again for an event, only
when a bucket leaves, so that an event costs the same whatever the window. A tag's data is
kept under the fingerprint of its definition: change what is aggregated and it starts anew.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from services.contracts.definitions import Tag
from services.contracts.time import Micros
from services.triggers.engine.clauses import NUMERIC, lookup
from services.triggers.engine.conditions import Tags
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.limits import NEVER, NUMBER_ABS_MAX, SUM_DIGITS, TEXT_CHARS_MAX
from services.triggers.engine.state import TagState
from services.triggers.engine.windows import Window

Properties = Mapping[str, Any]
Update = Callable[[Tags, int, Micros, Micros, Properties], bool]
"""`update(tags, bucket, at, now, properties)`; False where the value did not fit."""
Read = Callable[[TagState, Micros], Any]


class Rolling(msgspec.Struct, frozen=True, kw_only=True):
    """One compiled tag. `read` wants the person's data of this tag, `empty` is its value
    where there is none. `approximate` says whether a value is an estimate."""

    key: int
    update: Update
    read: Read
    empty: Any
    approximate: Callable[[TagState], bool] | None = None


def tag_key(tag: Tag) -> int:
    """Fingerprint of what a tag aggregates; its names and `k` may change freely."""
    where = msgspec.json.encode(tag.where).decode() if tag.where is not None else ""
    events = msgspec.json.encode(sorted(set(tag.events))).decode()
    half_life = tag.half_life if tag.aggregate == "top_k" else ""
    parts = (tag.id, tag.aggregate, events, where, tag.value or "", half_life)
    return fingerprint_parts((*parts, tag.window or "", tag.bucket or ""))


Combine = Callable[[list[Any]], Any]


def _evict(tag: TagState, now: Micros, window: Window, combine: Combine) -> None:
    """Let buckets go that have left the window, and total the rest anew."""
    buckets, leaves_at, gone = tag.buckets, window.leaves_at, 0
    while gone < len(buckets) and leaves_at(buckets[gone]) <= now:
        gone += 1
    if gone:
        del buckets[:gone]
        del tag.values[:gone]
        tag.total = combine(tag.values)
    tag.leaves_at = leaves_at(buckets[0]) if buckets else NEVER


def _place(
    tag: TagState, bucket: int, now: Micros, window: Window, combine: Combine, zero: Any
) -> int | None:
    """Index of a bucket's value, opened where it is new; None once it has left the window."""
    if now >= tag.leaves_at:
        _evict(tag, now, window, combine)
    leaves_at = window.leaves_at(bucket)
    if leaves_at <= now:
        return None
    buckets = tag.buckets
    index = len(buckets)
    if index and bucket <= buckets[-1]:
        index = bisect_left(buckets, bucket)
        if buckets[index] == bucket:
            return index
    buckets.insert(index, bucket)
    tag.values.insert(index, zero)
    tag.leaves_at = min(tag.leaves_at, leaves_at)
    return index


def _total_of(values: list[Any]) -> Any:
    return sum(values)


def count(key: int, window: Window) -> Rolling:
    """How many events."""

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        tag = tags.get(key)
        if tag is None:
            tag = tags[key] = TagState(NEVER, 0, [], [])
        buckets = tag.buckets
        if buckets and buckets[-1] == bucket:
            tag.values[-1] += 1
            tag.total += 1
            return True
        index = _place(tag, bucket, now, window, _total_of, 0)
        if index is not None:
            tag.values[index] += 1
            tag.total += 1
        return True

    def read(tag: TagState, now: Micros) -> int:
        if now >= tag.leaves_at:
            _evict(tag, now, window, _total_of)
        total: int = tag.total
        return total

    return Rolling(key=key, update=update, read=read, empty=0)


def _number(value: Any) -> bool:
    # NaN fails every comparison, infinities and absurd numbers fail these.
    return type(value) in NUMERIC and -NUMBER_ABS_MAX <= value <= NUMBER_ABS_MAX


def get_of(path: str) -> Callable[[Properties], Any]:
    """A function that reads one property."""
    if "." in path:
        return lambda properties: lookup(properties, path)
    return lambda properties: properties.get(path)


def sum_(key: int, window: Window, path: str) -> Rolling:
    """The sum of a numeric property, given to six decimals."""
    get = get_of(path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if not _number(value):
            return value is None
        tag = tags.get(key)
        if tag is None:
            tag = tags[key] = TagState(NEVER, 0.0, [], [])
        buckets = tag.buckets
        index = -1
        if not buckets or buckets[-1] != bucket:
            placed = _place(tag, bucket, now, window, _float_total, 0.0)
            if placed is None:
                return True
            index = placed
        # As floats: a long life of large integers would outgrow 64 bits.
        tag.values[index] += float(value)
        tag.total += float(value)
        return True

    def read(tag: TagState, now: Micros) -> float:
        if now >= tag.leaves_at:
            _evict(tag, now, window, _float_total)
        total: float = round(tag.total, SUM_DIGITS)
        return total

    return Rolling(key=key, update=update, read=read, empty=0.0)


def _float_total(values: list[Any]) -> float:
    return float(sum(values))


def _pair_total(values: list[Any]) -> list[Any]:
    return [float(sum(one[0] for one in values)), sum(one[1] for one in values)]


def average(key: int, window: Window, path: str) -> Rolling:
    """The mean of a numeric property over the events that carry it."""
    get = get_of(path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if not _number(value):
            return value is None
        tag = tags.get(key)
        if tag is None:
            tag = tags[key] = TagState(NEVER, [0.0, 0], [], [])
        index = _place(tag, bucket, now, window, _pair_total, None)
        if index is None:
            return True
        pair = tag.values[index]
        if pair is None:
            pair = tag.values[index] = [0.0, 0]
        for kept in (pair, tag.total):
            kept[0] += float(value)
            kept[1] += 1
        return True

    def read(tag: TagState, now: Micros) -> float | None:
        if now >= tag.leaves_at:
            _evict(tag, now, window, _pair_total)
        sum_of, count_of = tag.total
        return round(sum_of / count_of, SUM_DIGITS) if count_of else None

    return Rolling(key=key, update=update, read=read, empty=None)


def _extreme(key: int, window: Window, path: str, better: Callable[[Any, Any], Any]) -> Rolling:
    get = get_of(path)

    def combine(values: list[Any]) -> Any:
        best = None
        for value in values:
            best = value if best is None else better(best, value)
        return best

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if not _number(value):
            return value is None
        tag = tags.get(key)
        if tag is None:
            tag = tags[key] = TagState(NEVER, None, [], [])
        index = _place(tag, bucket, now, window, combine, value)
        if index is not None:
            tag.values[index] = better(tag.values[index], value)
            tag.total = value if tag.total is None else better(tag.total, value)
        return True

    def read(tag: TagState, now: Micros) -> Any:
        if now >= tag.leaves_at:
            _evict(tag, now, window, combine)
        return tag.total

    return Rolling(key=key, update=update, read=read, empty=None)


def min_(key: int, window: Window, path: str) -> Rolling:
    """The least value of a numeric property."""
    return _extreme(key, window, path, min)


def max_(key: int, window: Window, path: str) -> Rolling:
    """The greatest value of a numeric property."""
    return _extreme(key, window, path, max)


def _scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= TEXT_CHARS_MAX
    return isinstance(value, bool) or _number(value)


def _nothing(values: list[Any]) -> None:
    return None


def last(key: int, window: Window, path: str) -> Rolling:
    """The value of the latest event by its own time; of two at one instant the later arrived.

    Only that one is kept: nothing older can become the latest again.
    """
    get = get_of(path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if value is None or not _scalar(value):
            return value is None
        leaves_at = window.leaves_at(bucket)
        if leaves_at > now:
            tag = tags.get(key)
            if tag is None or not tag.values or at >= tag.values[0][0]:
                tags[key] = TagState(leaves_at, None, [bucket], [[at, value]])
        return True

    def read(tag: TagState, now: Micros) -> Any:
        if now >= tag.leaves_at:
            _evict(tag, now, window, _nothing)
        return tag.values[0][1] if tag.values else None

    return Rolling(key=key, update=update, read=read, empty=None)


def first(key: int, window: Window, path: str) -> Rolling:
    """The value of the earliest event in the window; of two at one instant the first arrived."""
    get = get_of(path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if value is None or not _scalar(value):
            return value is None
        tag = tags.get(key)
        if tag is None:
            tag = tags[key] = TagState(NEVER, None, [], [])
        index = _place(tag, bucket, now, window, _nothing, None)
        if index is not None:
            kept = tag.values[index]
            if kept is None or at < kept[0]:
                tag.values[index] = [at, value]
        return True

    def read(tag: TagState, now: Micros) -> Any:
        if now >= tag.leaves_at:
            _evict(tag, now, window, _nothing)
        return tag.values[0][1] if tag.values else None

    return Rolling(key=key, update=update, read=read, empty=None)


SIMPLE: Final = {
    "sum": sum_,
    "average": average,
    "min": min_,
    "max": max_,
    "last": last,
    "first": first,
}
