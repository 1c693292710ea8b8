"""The tags of a workspace, compiled: what each takes in, and how each is read."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from services.contracts.cleaning import CONFIRM_EVENT
from services.contracts.definitions import Bundle, Tag
from services.contracts.time import Micros, parse_duration
from services.triggers.engine import tags as rolling
from services.triggers.engine.conditions import ReadTag
from services.triggers.engine.derived import Made, compile_derived, in_order
from services.triggers.engine.local import EPOCH, local_of, own_calendar
from services.triggers.engine.quality import Guarded, guards, kept_out
from services.triggers.engine.reactions import Listening, Moments, listening_of
from services.triggers.engine.readings import Inputs, Reading
from services.triggers.engine.since import DaysClock, recency, tenure
from services.triggers.engine.sketches import distinct, top_k
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import Rolling, tag_key
from services.triggers.engine.windows import Calendar, Window, window_of

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_OF_HOUR: Final = 60


class CompiledTags(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`rolling` in the order of their ids; `derived` so that each comes behind its inputs.

    `guarded` are those that outliers are kept out of, as they are without that.
    """

    rolling: tuple[tuple[Tag, Rolling], ...]
    listening: tuple[Listening, ...]
    derived: tuple[tuple[str, Made], ...]
    readings: dict[str, Reading]
    guarded: tuple[Guarded, ...]


def compile_tags(bundle: Bundle, calendar: Calendar) -> CompiledTags:
    """Compile checked tags; `calendar` is the workspace's."""
    compiled: list[tuple[Tag, Rolling]] = []
    listening: list[Listening] = []
    readings: dict[str, Reading] = {}
    guarded: list[Guarded] = []
    for tag in sorted(bundle.tags, key=lambda one: one.id):
        if tag.derive is None:
            window = window_of(tag, calendar)
            one = _compile_rolling(tag, window)
            is_guarded = guards(tag, bundle.workspace.cleaning)
            if is_guarded:
                guarded.append(Guarded(tag, one, window))
                one = kept_out(one, tag.value or "")
            compiled.append((tag, one))
            listening += listening_of(tag, one, window)
            readings[tag.id] = _reading(tag, one, confirmed=is_guarded)
    derived: list[tuple[str, Made]] = []
    for tag in in_order(bundle.tags):
        readings[tag.id], made = compile_derived(tag, readings, calendar)
        derived.append((tag.id, made))
    return CompiledTags(
        rolling=tuple(compiled),
        listening=tuple(listening),
        derived=tuple(derived),
        readings=readings,
        guarded=tuple(guarded),
    )


def _compile_rolling(tag: Tag, window: Window) -> Rolling:
    key, path = tag_key(tag), tag.moment or tag.value or ""
    if tag.aggregate == "count":
        return rolling.count(key, window)
    if tag.aggregate == "sum":
        minus = "" if tag.minus is None else tag.minus.value or ""
        return rolling.sum_(key, window, path, minus)
    if tag.aggregate == "distinct":
        return distinct(key, window, path)
    if tag.aggregate == "top_k":
        return top_k(key, window, path, tag.k, parse_duration(tag.half_life))
    if tag.aggregate == "recency":
        return recency(key)
    if tag.aggregate == "tenure":
        return tenure(key)
    assert tag.aggregate is not None
    return rolling.SIMPLE[tag.aggregate](key, window, path)


def _reading(tag: Tag, compiled: Rolling, *, confirmed: bool) -> Reading:
    events = frozenset((*tag.events, CONFIRM_EVENT) if confirmed else tag.events)
    if tag.minus is not None:
        events |= frozenset(tag.minus.events)
    key, basis = compiled.key, (str(compiled.key),)
    read = _reader(compiled)
    if tag.aggregate in ("recency", "tenure"):
        clock = DaysClock(key)
        inputs = Inputs(events=events, clocks=((clock, None),), basis=basis)
        return Reading(read=read, inputs=inputs, clock=clock)
    return Reading(
        read=read,
        inputs=Inputs(events=events, keys=(key,), basis=basis),
        total_of=key if compiled.total_stands else None,
        sum_of=key if tag.aggregate == "sum" else None,
        empty=compiled.empty,
    )


def _reader(tag: Rolling) -> ReadTag:
    key, read, empty = tag.key, tag.read, tag.empty

    def total(state: PersonState, now: Micros) -> Any:
        data = state.tags.get(key)
        if data is None:
            return empty
        return data[rolling.TOTAL] if now < data[rolling.LEAVES_AT] else read(data, now)

    def value(state: PersonState, now: Micros) -> Any:
        data = state.tags.get(key)
        return empty if data is None else read(data, now)

    return total if tag.total_stands else value


def moments_of(calendar: Calendar) -> Moments:
    """What the person's clock shows; `calendar` is the workspace's."""

    def moments(state: PersonState, at: Micros) -> Mapping[str, Any]:
        day, minute = local_of(own_calendar(state, calendar).zone, at)
        text = (EPOCH + timedelta(days=day)).isoformat()
        return {
            "hour": minute // _MINUTES_OF_HOUR,
            "weekday": _WEEKDAYS[(EPOCH.weekday() + day) % len(_WEEKDAYS)],
            "day": text,
            "month": text[:7],
        }

    return moments
