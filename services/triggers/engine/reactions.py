"""What an event of one name does to a person, compiled to one function.

Tags first, then the entries that match on them. The common case of the common aggregates
(one more event in the newest bucket) is written out here, everything else calls the tag's own
`update`; a property test holds the two equal. As in `conditions`, the generated text holds
nothing of a definition: keys, paths and limits are constants of the namespace.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.conditions import Condition
from services.contracts.definitions import Tag
from services.contracts.time import Micros
from services.triggers.engine.conditions import ReadTag, Writer
from services.triggers.engine.limits import NUMBER_ABS_MAX, TEXT_BYTES_MAX, UTF8_BYTES_A_CHAR_MAX
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import Rolling
from services.triggers.engine.windows import Window

React = Callable[
    [Mapping[str, Any], PersonState, Micros, Micros, bool, Outputs], tuple[tuple[Any, ...], int]
]
"""`react(properties, state, at, now, late, out)`: updates the tags, counts values that did not
fit, gives the payloads of the entries that match (none for a late event) and a bit for each of
the `Crossings` that may have been one."""

Crossings = Mapping[int, tuple[int, frozenset[float]]]
"""By their keys, tags of which only these numbers matter to some: a bit, and of a count the
numbers that are on another side of something than the one before, of a sum the bounds."""
NO_REACTION: Final[tuple[tuple[Any, ...], int]] = ((), -1)
_TOLD_OF: Final = frozenset({"count", "sum"})
"""The aggregates of which it is known whether they cross anything."""
_NEAR: Final = 1
"""Sums so near to a bound may be on its other side as they are read: rounded."""

_NO_CROSSINGS: Final[Crossings] = {}

Moments = Callable[[PersonState, Micros], Mapping[str, Any]]
"""`moments(state, at)`: what the person's clock and calendar show at an instant, by name."""


def no_moments(state: PersonState, at: Micros) -> Mapping[str, Any]:
    """Of where no tag asks for one."""
    return {}


class Listening(msgspec.Struct, frozen=True, eq=False):
    """A tag that takes in events of these names, compiled; or takes them off, by its `minus`."""

    tag: Tag
    rolling: Rolling
    window: Window
    events: frozenset[str]
    where: Condition | None
    value: str | None
    takes_off: bool = False


def listening_of(tag: Tag, rolling: Rolling, window: Window) -> list[Listening]:
    """What a tag listens to."""
    listens = Listening(tag, rolling, window, frozenset(tag.events), tag.where, tag.value)
    minus = tag.minus
    if minus is None:
        return [listens]
    events, value = frozenset(minus.events), minus.value or tag.value
    return [listens, Listening(tag, rolling, window, events, minus.where, value, takes_off=True)]


def compile_reaction(
    tags: Sequence[Listening],
    entries: Sequence[tuple[Condition | None, Any]],
    readers: Mapping[str, ReadTag],
    moments: Moments = no_moments,
    crossings: Crossings = _NO_CROSSINGS,
) -> React:
    """One function for all tags and entries that listen to one event name.

    `moments` gives what the person's clock showed at the event, for the tags that take that.
    """
    writer = Writer(readers)
    lines = write_reaction(writer, tags, entries, moments, crossings)
    react: React = writer.build("p, s, at, now, late, out", [*lines, "return found, crossed"])
    return react


def write_reaction(
    writer: Writer,
    tags: Sequence[Listening],
    entries: Sequence[tuple[Condition | None, Any]],
    moments: Moments,
    crossings: Crossings,
) -> list[str]:
    """Statements over `p`, `s`, `at`, `now`, `late` and `out`, for `found` and `crossed`; `t` are
    the traits then, and `g` the tags."""
    lines = ["t, g, crossed, found = s.traits, s.tags, 0, ()"]
    lines += writer.read_once(_read_often(tags, entries))
    if any(listening.tag.moment for listening in tags):
        lines.append(f"m = {writer.constant(moments)}(s, at)")
    buckets: dict[tuple[str, int], str] = {}
    for listening in tags:
        group = listening.window.group
        if group not in buckets:
            buckets[group] = f"b{len(buckets)}"
            lines.append(f"{buckets[group]} = {_bucket(listening.window, writer)}")
        crossing = crossings.get(listening.rolling.key)
        update = _update(listening, buckets[group], writer, crossing)
        if listening.where is not None:
            lines.append(f"if {writer.expression(listening.where)}:")
            update = [f"    {line}" for line in update]
        lines += update
    if entries:
        lines.append("if not late:")
    for where, payload in entries:
        name = writer.constant((payload,))
        test = "True" if where is None else writer.expression(where)
        lines.append(f"    if {test}: found += {name}")
    return lines


def _read_often(
    tags: Sequence[Listening], entries: Sequence[tuple[Condition | None, Any]]
) -> list[str]:
    """The properties that more than one clause or tag reads, in order."""
    uses: Counter[str] = Counter()
    for listening in tags:
        uses.update(_properties(listening.where))
        if listening.value is not None:
            uses[listening.value] += 1
    for where, _ in entries:
        uses.update(_properties(where))
    return [path for path, count in uses.items() if count > 1]


def _properties(condition: Condition | None) -> Iterator[str]:
    if condition is None:
        return
    if condition.property is not None:
        yield condition.property
    for part in (*(condition.all_ or ()), *(condition.any_ or ()), condition.not_):
        yield from _properties(part)


def _bucket(window: Window, writer: Writer) -> str:
    kind, size = window.group
    if kind == "fixed":
        return f"at // {writer.constant(size)}"
    if kind == "lifetime":
        return "0"
    bucket = f"{writer.constant(window.bucket_of)}(at)"
    if window.calendar is None:
        return bucket
    # Mostly it is the same day again, and a call costs more than to see that.
    days = writer.constant(window.calendar)
    return f"{days}.day if {days}.since <= at < {days}.until else {bucket}"


def _update(
    listening: Listening, bucket: str, writer: Writer, crossing: tuple[int, frozenset[float]] | None
) -> list[str]:
    """Statements that take the event in."""
    bit, numbers = crossing or (0, frozenset())
    if bit and (listening.takes_off or listening.tag.aggregate not in _TOLD_OF):
        return [f"crossed |= {bit}", *_update(listening, bucket, writer, None)]
    tag, key, rolling = listening.tag, writer.constant(listening.rolling.key), listening.rolling
    update = writer.constant(rolling.take_off if listening.takes_off else rolling.update)
    slow = f"{update}(g, {bucket}, at, now, {'p' if tag.moment is None else 'm'})"
    skip = "out.skipped['tag_value'] += 1"
    crosses = [f"    if d[1] in {writer.constant(numbers)}: crossed |= {bit}"] if numbers else []
    if listening.takes_off or tag.moment is not None:
        return [f"crossed |= {bit}", f"if not {slow}: {skip}"]
    if tag.aggregate == "count":
        return [
            f"d = g.get({key})",
            f"if d is not None and d[-2] == {bucket}:",
            "    d[-1] += 1",
            "    d[1] += 1",
            *crosses,
            "else:",
            f"    crossed |= {bit}",
            f"    {slow}",
        ]
    value = writer.subject(Condition(property=tag.value))
    if tag.aggregate == "sum":
        most = writer.constant(NUMBER_ABS_MAX)
        fast = f"d[-2] == {bucket} and type(v) in NUMERIC and -{most} <= v <= {most}"
        body = ["d[-1] += v", "d[1] += v"]
        if numbers:
            # Mostly all of the bounds are far above.
            low = writer.constant(min(numbers) - _NEAR)
            high = writer.constant(max(numbers) + _NEAR)
            body = [
                "d[-1] += v",
                "u = d[1]",
                "d[1] = w = u + v",
                f"if (u >= {low} or w >= {low}) and (u <= {high} or w <= {high}): crossed |= {bit}",
            ]
    elif tag.aggregate == "last" and listening.window.group[0] == "lifetime":
        most = writer.constant(TEXT_BYTES_MAX // UTF8_BYTES_A_CHAR_MAX)
        fast = f"at >= d[2] and type(v) is str and len(v) <= {most}"
        body = ["d[1] = v", "d[2] = at"]
    else:
        return [f"if not {slow}: {skip}"]
    return [
        f"v = {value}",
        "if v is not None:",
        f"    d = g.get({key})",
        f"    if d is not None and {fast}:",
        *(f"        {line}" for line in body),
        "    else:",
        f"        crossed |= {bit}",
        f"        if not {slow}: {skip}",
    ]
