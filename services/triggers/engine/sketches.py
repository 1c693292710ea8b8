"""Tags over many values in bounded room: `distinct` and `top_k`."""

from collections.abc import Callable
from math import log2
from typing import Any, Final

from services.contracts.time import Micros
from services.triggers.engine.fingerprint import FINGERPRINT_BYTES, fingerprint, value_text
from services.triggers.engine.limits import (
    DISTINCT_EXACT_MAX,
    NEVER,
    TOP_VALUES_MAX,
)
from services.triggers.engine.state import TagData, Tags
from services.triggers.engine.tags import (
    LEAVES_AT,
    TOTAL,
    Merge,
    Properties,
    Rolling,
    get_of,
    is_number,
    is_plain,
)
from services.triggers.engine.windows import Window

Evict = Callable[[TagData, Micros], None]
_VALUES: Final = 2
"""Here `[leaves_at, total, values]`: a dict of what is kept of each value."""
_LATEST: Final = 3
"""`distinct` adds the latest bucket in which a value came, kept or not."""

_FINGERPRINT_BITS: Final = 8 * FINGERPRINT_BYTES


def _open(
    tags: Tags, key: int, begins: list[Any], leaves_at: Micros, now: Micros, evict: Evict
) -> TagData | None:
    """The tag's data, what has left it gone; None where the event's bucket has left already.

    `begins`: its total where it is new, and what follows the values.
    """
    if leaves_at <= now:
        return None
    data = tags.get(key)
    if data is None:
        data = tags[key] = [NEVER, begins[0], {}, *begins[1:]]
    elif now >= data[LEAVES_AT]:
        evict(data, now)
    data[LEAVES_AT] = min(data[LEAVES_AT], leaves_at)
    return data


def _merging(join: Callable[[TagData, TagData], None], evict: Evict) -> Merge:
    def merge(data: TagData, other: TagData, now: Micros) -> None:
        for one in (data, other):
            if now >= one[LEAVES_AT]:
                evict(one, now)
        join(data, other)
        evict(data, now)

    return merge


def _sampled(data: TagData) -> dict[int, int]:
    """The values that `total` zero bits let in."""
    bits = _FINGERPRINT_BITS - data[TOTAL]
    return {one: bucket for one, bucket in data[_VALUES].items() if not one >> bits}


def _thin(data: TagData) -> None:
    while len(data[_VALUES]) > DISTINCT_EXACT_MAX:
        data[TOTAL] += 1
        data[_VALUES] = _sampled(data)


def _join_samples(data: TagData, other: TagData) -> None:
    data[TOTAL] = other[TOTAL] = max(data[TOTAL], other[TOTAL])
    values = _sampled(data)
    for one, bucket in _sampled(other).items():
        values[one] = max(bucket, values.get(one, bucket))
    data[_VALUES] = values
    data[_LATEST] = max(data[_LATEST], other[_LATEST])
    _thin(data)


def distinct(key: int, window: Window, path: str) -> Rolling:
    """How many different values.

    Exact up to 64. Beyond them adaptive sampling (Flajolet, "On adaptive sampling",
    Computing 43, 1990): values whose fingerprint begins with `total` zero bits are kept and
    stand for 2**total each; the standard error is about 1.2 / sqrt(64), 15 percent. Each
    value remembers its last bucket, so the sample follows the window. Exact again once the
    window has emptied, of the values that were not kept too.
    """
    get = get_of(path)

    def evict(data: TagData, now: Micros) -> None:
        values = data[_VALUES]
        for gone in [one for one, bucket in values.items() if window.leaves_at(bucket) <= now]:
            del values[gone]
        empties_at = window.leaves_at(data[_LATEST])
        if empties_at <= now:
            data[TOTAL] = 0
        last = empties_at if data[TOTAL] else NEVER
        data[LEAVES_AT] = min(map(window.leaves_at, values.values()), default=last)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if not isinstance(value, str | bool) and not is_number(value):
            return value is None
        data = _open(tags, key, [0, bucket], window.leaves_at(bucket), now, evict)
        if data is None:
            return True
        data[_LATEST] = max(data[_LATEST], bucket)
        sample = fingerprint(value_text(value))
        if sample >> (_FINGERPRINT_BITS - data[TOTAL]):
            return True
        values = data[_VALUES]
        values[sample] = max(bucket, values.get(sample, bucket))
        if len(values) > DISTINCT_EXACT_MAX:
            _thin(data)
        return True

    def read(data: TagData, now: Micros) -> int:
        if now >= data[LEAVES_AT]:
            evict(data, now)
        estimate: int = len(data[_VALUES]) << data[TOTAL]
        return estimate

    return Rolling(
        key=key,
        update=update,
        read=read,
        empty=0,
        merge=_merging(_join_samples, evict),
        approximate=lambda data: bool(data[TOTAL] > 0),
    )


def _weigh(values: dict[Any, list[Any]], value: Any, score: float, bucket: int) -> None:
    kept = values.get(value)
    if kept is None:
        values[value] = [score, bucket]
        return
    high, low = max(kept[0], score), min(kept[0], score)
    kept[0] = high + log2(1.0 + 2.0 ** max(low - high, -1000.0))
    kept[1] = max(kept[1], bucket)


def _drop_lightest(values: dict[Any, list[Any]]) -> None:
    del values[min(values, key=lambda one: (values[one][0], value_text(one)))]


def _join_weights(data: TagData, other: TagData) -> None:
    values = data[_VALUES]
    for value, (score, bucket) in other[_VALUES].items():
        _weigh(values, value, score, bucket)
    while len(values) > TOP_VALUES_MAX:
        _drop_lightest(values)


def top_k(key: int, window: Window, path: str, k: int, half_life: int) -> Rolling:
    """The `k` heaviest values, heaviest first; an event weighs 1 and half as much after each
    `half_life` (microseconds).

    A score is the logarithm to base 2 of the weight, moved to 1970: `log2(weight) +
    at / half_life`. Scores of different moments compare as they stand, and late events add
    up to the same (forward decay, Cormode and others, ICDE 2009). At most 64 values are
    kept, the lightest goes first. A value leaves with the bucket of its last event.
    """
    get = get_of(path)

    def evict(data: TagData, now: Micros) -> None:
        values = data[_VALUES]
        for gone in [one for one, kept in values.items() if window.leaves_at(kept[1]) <= now]:
            del values[gone]
        data[LEAVES_AT] = min(
            (window.leaves_at(kept[1]) for kept in values.values()), default=NEVER
        )

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if value is None or isinstance(value, bool) or not is_plain(value):
            return value is None
        data = _open(tags, key, [None], window.leaves_at(bucket), now, evict)
        if data is None:
            return True
        values, score = data[_VALUES], at / half_life
        _weigh(values, value, score, bucket)
        if len(values) > TOP_VALUES_MAX:
            _drop_lightest(values)
        return True

    def read(data: TagData, now: Micros) -> list[Any]:
        if now >= data[LEAVES_AT]:
            evict(data, now)
        values = data[_VALUES]
        return sorted(values, key=lambda one: (-values[one][0], value_text(one)))[:k]

    return Rolling(
        key=key, update=update, read=read, empty=[], merge=_merging(_join_weights, evict)
    )
