"""Tags over many values in bounded room: `distinct` and `top_k`."""

from collections.abc import Callable
from math import log2
from typing import Any

from services.contracts.time import Micros
from services.triggers.engine.conditions import Tags
from services.triggers.engine.fingerprint import FINGERPRINT_BYTES, fingerprint, value_text
from services.triggers.engine.limits import (
    DISTINCT_EXACT_MAX,
    NEVER,
    NUMBER_ABS_MAX,
    TEXT_CHARS_MAX,
    TOP_VALUES_MAX,
)
from services.triggers.engine.state import TagState
from services.triggers.engine.tags import Properties, Rolling, get_of
from services.triggers.engine.windows import Window

Evict = Callable[[TagState, Micros], None]
_FINGERPRINT_BITS = 8 * FINGERPRINT_BYTES


def _countable(value: Any) -> bool:
    # Anything JSON calls a scalar, but no number that could not stand in a tag.
    if isinstance(value, str | bool):
        return True
    return isinstance(value, int | float) and abs(value) <= NUMBER_ABS_MAX


def _rankable(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= TEXT_CHARS_MAX
    return not isinstance(value, bool) and _countable(value)


def _open(
    tags: Tags, key: int, total: Any, leaves_at: Micros, now: Micros, evict: Evict
) -> TagState | None:
    """The tag's data, what has left it gone; None where the event's bucket has left already."""
    if leaves_at <= now:
        return None
    tag = tags.get(key)
    if tag is None:
        tag = tags[key] = TagState(NEVER, total, [], {})
    elif now >= tag.leaves_at:
        evict(tag, now)
    tag.leaves_at = min(tag.leaves_at, leaves_at)
    return tag


def distinct(key: int, window: Window, path: str) -> Rolling:
    """How many different values.

    Exact up to 64. Beyond them adaptive sampling (Flajolet, "On adaptive sampling",
    Computing 43, 1990): values whose fingerprint begins with `total` zero bits are kept and
    stand for 2**total each; the standard error is about 1.2 / sqrt(64), 15 percent. Each
    value remembers its last bucket, so the sample follows the window.
    """
    get = get_of(path)

    def evict(tag: TagState, now: Micros) -> None:
        values = tag.values
        for gone in [one for one, bucket in values.items() if window.leaves_at(bucket) <= now]:
            del values[gone]
        tag.leaves_at = min(map(window.leaves_at, values.values()), default=NEVER)
        if not values:
            tag.total = 0

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if value is None or not _countable(value):
            return value is None
        tag = _open(tags, key, 0, window.leaves_at(bucket), now, evict)
        sample = fingerprint(value_text(value))
        if tag is None or sample >> (_FINGERPRINT_BITS - tag.total):
            return True
        values = tag.values
        values[sample] = max(bucket, values.get(sample, bucket))
        while len(values) > DISTINCT_EXACT_MAX:
            tag.total += 1
            tag.values = values = {
                one: seen
                for one, seen in values.items()
                if not one >> (_FINGERPRINT_BITS - tag.total)
            }
        return True

    def read(tag: TagState, now: Micros) -> int:
        if now >= tag.leaves_at:
            evict(tag, now)
        estimate: int = len(tag.values) << tag.total
        return estimate

    return Rolling(
        key=key, update=update, read=read, empty=0, approximate=lambda tag: bool(tag.total > 0)
    )


def top_k(key: int, window: Window, path: str, k: int, half_life: int) -> Rolling:
    """The `k` heaviest values, heaviest first; an event weighs 1 and half as much after each
    `half_life` (microseconds).

    A score is the logarithm to base 2 of the weight, moved to 1970: `log2(weight) +
    at / half_life`. Scores of different moments compare as they stand, and late events add
    up to the same (forward decay, Cormode and others, ICDE 2009). At most 64 values are
    kept, the lightest goes first. A value leaves with the bucket of its last event.
    """
    get = get_of(path)

    def evict(tag: TagState, now: Micros) -> None:
        values = tag.values
        for gone in [one for one, kept in values.items() if window.leaves_at(kept[1]) <= now]:
            del values[gone]
        tag.leaves_at = min((window.leaves_at(kept[1]) for kept in values.values()), default=NEVER)

    def update(tags: Tags, bucket: int, at: Micros, now: Micros, properties: Properties) -> bool:
        value = get(properties)
        if value is None or not _rankable(value):
            return value is None
        tag = _open(tags, key, None, window.leaves_at(bucket), now, evict)
        if tag is None:
            return True
        values, score = tag.values, at / half_life
        kept = values.get(value)
        if kept is None:
            values[value] = [score, bucket]
            if len(values) > TOP_VALUES_MAX:
                del values[min(values, key=lambda one: (values[one][0], value_text(one)))]
        else:
            high, low = max(kept[0], score), min(kept[0], score)
            kept[0] = high + log2(1.0 + 2.0 ** max(low - high, -1000.0))
            kept[1] = max(kept[1], bucket)
        return True

    def read(tag: TagState, now: Micros) -> list[Any]:
        if now >= tag.leaves_at:
            evict(tag, now)
        values = tag.values
        return sorted(values, key=lambda one: (-values[one][0], value_text(one)))[:k]

    return Rolling(key=key, update=update, read=read, empty=[])
