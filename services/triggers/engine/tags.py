"""Rolling tags: a running total over buckets that open, fill and leave.

A late event fills the bucket it belongs to. Totals are never summed again for an event, only
when a bucket leaves, so that an event costs the same whatever the window. A tag's data is
kept under the fingerprint of its definition: change what is aggregated and it starts anew.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from operator import add
from typing import Any, Final

import msgspec

from services.contracts.definitions import Tag
from services.contracts.time import Micros
from services.triggers.engine.clauses import NUMERIC, lookup
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.limits import NEVER, NUMBER_ABS_MAX, SUM_DIGITS, TEXT_BYTES_MAX
from services.triggers.engine.state import TagData, Tags
from services.triggers.engine.windows import Window

Properties = Mapping[str, Any]
Update = Callable[[Tags, int, Micros, Micros, Properties], bool]
"""`update(tags, bucket, at, now, properties)`; False where the value did not fit."""
Read = Callable[[TagData, Micros], Any]
Combine = Callable[[list[Any]], Any]
Join = Callable[[Any, Any], Any]
"""What two people's values of one bucket are together."""
Merge = Callable[[TagData, TagData, Micros], None]
"""`merge(data, other, now)`: takes the other person's data in, as if all had been one's own.
The other's must not be used afterwards."""

LEAVES_AT: Final = 0
TOTAL: Final = 1
FIRST_BUCKET: Final = 2
FIRST_VALUE: Final = 3
LAST_BUCKET: Final = -2
LAST_VALUE: Final = -1

_KEY_SHIFT: Final = 32


class Rolling(msgspec.Struct, frozen=True, kw_only=True):
    """One compiled tag. `read` wants the person's data of this tag, `empty` is its value
    where there is none. `approximate` says whether a value is an estimate; with
    `total_stands` the running total is the value, as long as no bucket has left. `take_off`
    is the update by an event that counts the other way."""

    key: int
    update: Update
    read: Read
    empty: Any
    merge: Merge
    approximate: Callable[[TagData], bool] | None = None
    total_stands: bool = False
    take_off: Update | None = None


def tag_key(tag: Tag) -> int:
    """Fingerprint of what a tag aggregates; its names and `k` may change freely.

    Of 32 bits: everybody's state has it for every tag, and `check` sees to it that no two of a
    workspace have the same.
    """
    where = msgspec.json.encode(tag.where).decode() if tag.where is not None else ""
    events = msgspec.json.encode(sorted(set(tag.events))).decode()
    half_life = tag.half_life if tag.aggregate == "top_k" else ""
    parts = [tag.id, tag.aggregate or "", events, where, tag.value or "", half_life]
    parts += [tag.window or "", tag.bucket or ""]
    if tag.minus is not None:
        parts.append(msgspec.json.encode(tag.minus).decode())
    if tag.moment is not None:
        parts.append(tag.moment)
    return fingerprint_parts(parts) >> _KEY_SHIFT


def _evict(data: TagData, now: Micros, window: Window, combine: Combine) -> None:
    """Let buckets go that have left the window, and total the rest anew."""
    leaves_at, end, stays = window.leaves_at, len(data), FIRST_BUCKET
    while stays < end and leaves_at(data[stays]) <= now:
        stays += 2
    if stays > FIRST_BUCKET:
        del data[FIRST_BUCKET:stays]
        data[TOTAL] = combine(data[FIRST_VALUE::2])
    data[LEAVES_AT] = leaves_at(data[FIRST_BUCKET]) if stays < end else NEVER


def _place(
    data: TagData, bucket: int, now: Micros, window: Window, combine: Combine, zero: Any
) -> int | None:
    """Index of a bucket's value, opened where it is new; None once it has left the window."""
    if now >= data[LEAVES_AT]:
        _evict(data, now, window, combine)
    leaves_at = window.leaves_at(bucket)
    if leaves_at <= now:
        return None
    index = len(data)
    if index > FIRST_BUCKET and bucket <= data[LAST_BUCKET]:
        index = FIRST_BUCKET + 2 * bisect_left(data[FIRST_BUCKET::2], bucket)
        if data[index] == bucket:
            return index + 1
    data[index:index] = (bucket, zero)
    if leaves_at < data[LEAVES_AT]:
        data[LEAVES_AT] = leaves_at
    return index + 1


def _merging(window: Window, combine: Combine, join: Join) -> Merge:
    """Buckets are brought together one by one: a tag's whole past is in them."""

    def merge(data: TagData, other: TagData, now: Micros) -> None:
        for one in (data, other):
            if now >= one[LEAVES_AT]:
                _evict(one, now, window, combine)
        buckets = dict(zip(data[FIRST_BUCKET::2], data[FIRST_VALUE::2], strict=True))
        for bucket, value in zip(other[FIRST_BUCKET::2], other[FIRST_VALUE::2], strict=True):
            buckets[bucket] = join(buckets[bucket], value) if bucket in buckets else value
        data[TOTAL] = combine(list(buckets.values()))
        data[FIRST_BUCKET:] = [part for bucket in sorted(buckets.items()) for part in bucket]
        data[LEAVES_AT] = window.leaves_at(data[FIRST_BUCKET]) if buckets else NEVER

    return merge


def count(key: int, window: Window) -> Rolling:
    """How many events."""

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        data = tags.get(key)
        if data is None:
            data = tags[key] = [NEVER, 0]
        # With no bucket yet, NEVER stands there, which is no bucket's number.
        if data[LAST_BUCKET] == bucket:
            data[LAST_VALUE] += 1
            data[TOTAL] += 1
            return True
        index = _place(data, bucket, now, window, sum, 0)
        if index is not None:
            data[index] += 1
            data[TOTAL] += 1
        return True

    def take_off(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        data = tags.setdefault(key, [NEVER, 0])
        index = _place(data, bucket, now, window, sum, 0)
        if index is not None:
            data[index] -= 1
            data[TOTAL] -= 1
        return True

    def read(data: TagData, now: Micros) -> Any:
        if now >= data[LEAVES_AT]:
            _evict(data, now, window, sum)
        return data[TOTAL]

    return Rolling(
        key=key,
        update=update,
        read=read,
        empty=0,
        merge=_merging(window, sum, add),
        total_stands=True,
        take_off=take_off,
    )


def is_number(value: Any) -> bool:
    """Whether a value may enter an aggregate of numbers."""
    # NaN fails every comparison, infinities and absurd numbers fail these.
    return type(value) in NUMERIC and -NUMBER_ABS_MAX <= value <= NUMBER_ABS_MAX


def get_of(path: str) -> Callable[[Properties], Any]:
    """A function that reads one property."""
    if "." in path:
        return lambda properties: lookup(properties, path)
    return lambda properties: properties.get(path)


def _float_total(values: list[Any]) -> float:
    return float(sum(values))


def sum_(key: int, window: Window, path: str, minus_path: str = "") -> Rolling:
    """The sum of a numeric property, given to six decimals."""
    get, get_minus = get_of(path), get_of(minus_path or path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if not is_number(value):
            return value is None
        data = tags.get(key)
        if data is None:
            data = tags[key] = [NEVER, 0.0]
        # As floats from the start: a long life of large integers would outgrow 64 bits.
        index: int | None = LAST_VALUE
        if data[LAST_BUCKET] != bucket:
            index = _place(data, bucket, now, window, _float_total, 0.0)
        if index is not None:
            data[index] += value
            data[TOTAL] += value
        return True

    def take_off(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get_minus(properties)
        if not is_number(value):
            return value is None
        data = tags.setdefault(key, [NEVER, 0.0])
        index = _place(data, bucket, now, window, _float_total, 0.0)
        if index is not None:
            data[index] -= value
            data[TOTAL] -= value
        return True

    def read(data: TagData, now: Micros) -> Any:
        if now >= data[LEAVES_AT]:
            _evict(data, now, window, _float_total)
        return round(data[TOTAL], SUM_DIGITS)

    merge = _merging(window, _float_total, add)
    return Rolling(key=key, update=update, read=read, empty=0.0, merge=merge, take_off=take_off)


def _pair_total(values: list[Any]) -> list[Any]:
    return [float(sum(one[0] for one in values)), sum(one[1] for one in values)]


def average(key: int, window: Window, path: str) -> Rolling:
    """The mean of a numeric property over the events that carry it."""
    get = get_of(path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if not is_number(value):
            return value is None
        data = tags.get(key)
        if data is None:
            data = tags[key] = [NEVER, [0.0, 0]]
        index = _place(data, bucket, now, window, _pair_total, None)
        if index is None:
            return True
        pair = data[index]
        if pair is None:
            pair = data[index] = [0.0, 0]
        for kept in (pair, data[TOTAL]):
            kept[0] += value
            kept[1] += 1
        return True

    def read(data: TagData, now: Micros) -> Any:
        if now >= data[LEAVES_AT]:
            _evict(data, now, window, _pair_total)
        sum_of, count_of = data[TOTAL]
        return round(sum_of / count_of, SUM_DIGITS) if count_of else None

    merge = _merging(window, _pair_total, lambda one, other: _pair_total([one, other]))
    return Rolling(key=key, update=update, read=read, empty=None, merge=merge)


def _extreme(key: int, window: Window, path: str, better: Callable[[Any, Any], Any]) -> Rolling:
    get = get_of(path)

    def combine(values: list[Any]) -> Any:
        best = None
        for value in values:
            best = value if best is None else better(best, value)
        return best

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if not is_number(value):
            return value is None
        data = tags.get(key)
        if data is None:
            data = tags[key] = [NEVER, None]
        index = _place(data, bucket, now, window, combine, value)
        if index is not None:
            data[index] = better(data[index], value)
            total = data[TOTAL]
            data[TOTAL] = value if total is None else better(total, value)
        return True

    def read(data: TagData, now: Micros) -> Any:
        if now >= data[LEAVES_AT]:
            _evict(data, now, window, combine)
        return data[TOTAL]

    merge = _merging(window, combine, better)
    return Rolling(key=key, update=update, read=read, empty=None, merge=merge, total_stands=True)


def min_(key: int, window: Window, path: str) -> Rolling:
    """The least value of a numeric property."""
    return _extreme(key, window, path, min)


def max_(key: int, window: Window, path: str) -> Rolling:
    """The greatest value of a numeric property."""
    return _extreme(key, window, path, max)


def is_plain(value: Any) -> bool:
    """Whether a value may stand in a profile as it is: a short text, a number or a bool."""
    if isinstance(value, str):
        return len(value) <= TEXT_BYTES_MAX and (
            value.isascii() or len(value.encode()) <= TEXT_BYTES_MAX
        )
    return isinstance(value, bool) or is_number(value)


def last(key: int, window: Window, path: str) -> Rolling:
    """The value of the latest event by its own time; of two at one instant the later arrived.

    Data: `[leaves_at, value, at]`; nothing older can become the latest again.
    """
    get = get_of(path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if value is None or not is_plain(value):
            return value is None
        data = tags.get(key)
        if data is not None and at < data[2]:
            return True
        leaves_at = window.leaves_at(bucket)
        if leaves_at > now:
            if data is None:
                tags[key] = [leaves_at, value, at]
            else:
                data[0], data[1], data[2] = leaves_at, value, at
        return True

    def read(data: TagData, now: Micros) -> Any:
        return data[TOTAL] if now < data[LEAVES_AT] else None

    def merge(data: TagData, other: TagData, now: Micros) -> None:
        if other[2] > data[2]:
            data[:] = other

    return Rolling(key=key, update=update, read=read, empty=None, merge=merge, total_stands=True)


def _nothing(values: list[Any]) -> None:
    return None


def first(key: int, window: Window, path: str) -> Rolling:
    """The value of the earliest event in the window; of two at one instant the first arrived.

    Each bucket holds its own first as `[at, value]`.
    """
    get = get_of(path)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if value is None or not is_plain(value):
            return value is None
        data = tags.get(key)
        if data is None:
            data = tags[key] = [NEVER, None]
        index = _place(data, bucket, now, window, _nothing, None)
        if index is not None:
            kept = data[index]
            if kept is None or at < kept[0]:
                data[index] = [at, value]
        return True

    def read(data: TagData, now: Micros) -> Any:
        if now >= data[LEAVES_AT]:
            _evict(data, now, window, _nothing)
        return data[FIRST_VALUE][1] if len(data) > FIRST_VALUE else None

    def earlier(one: list[Any], other: list[Any]) -> list[Any]:
        return other if other[0] < one[0] else one

    merge = _merging(window, _nothing, earlier)
    return Rolling(key=key, update=update, read=read, empty=None, merge=merge)


SIMPLE: Final = {
    "sum": sum_,
    "average": average,
    "min": min_,
    "max": max_,
    "last": last,
    "first": first,
}
