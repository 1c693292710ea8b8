"""All cleaning of one revision, compiled: what `decide` asks before and after deduplication."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.cleaning import CONFIRM_EVENT, OUTLIERS, Cleaning
from services.contracts.definitions import Tag
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.cleaning import Cleaner, Found, compile_rule, events_of, report
from services.triggers.engine.conditions import ReadTag, Test, compile_test
from services.triggers.engine.outliers import Weigher, confirm, key_of
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import Rolling, Update
from services.triggers.engine.weighed import Held
from services.triggers.engine.windows import Window

KEPT_OUT_OF: Final = "average"
"""The aggregate that outliers do not enter."""


class Guarded(msgspec.Struct, frozen=True, eq=False):
    """A tag that outliers are kept out of, compiled as if they were not."""

    tag: Tag
    rolling: Rolling
    window: Window


class Average(msgspec.Struct, frozen=True, eq=False):
    """How such a tag takes in what was confirmed."""

    events: frozenset[str]
    where: Test | None
    path: str
    window: Window
    update: Update


class Quality(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The rules by the names of the events they are about."""

    cleaners: dict[str, Cleaner]
    weighers: dict[str, Weigher]
    averages: tuple[Average, ...]
    known: frozenset[int]
    """The keys of all distributions."""

    def weigh(
        self,
        state: PersonState,
        event: Event,
        found: list[Found],
        at: Micros,
        now: Micros,
        out: Outputs,
    ) -> Event:
        """The cleaned event with its outliers named; what was found is handed out."""
        weigher = self.weighers.get(event.name)
        if weigher is not None:
            event = weigher.weigh(state, event, at, found)
        if event.name == CONFIRM_EVENT:
            found += confirm(state, event, self.weighers, self._confirmed, now)
        if found:
            report(event, found, state.applied, now, out)
        return event

    def _confirmed(
        self, state: PersonState, held: Held, properties: Mapping[str, Any], now: Micros
    ) -> None:
        for average in self.averages:
            if held.name not in average.events or average.path not in properties[OUTLIERS]:
                continue
            if average.where is None or average.where(properties, state, now):
                bucket = average.window.bucket_of(held.at)
                average.update(state.tags, bucket, held.at, now, properties)


def kept_out(rolling: Rolling, path: str) -> Rolling:
    """The same tag, blind to values that the event names as outliers."""
    update = rolling.update

    def unless_outlier(
        tags: Any, bucket: int, at: Micros, now: Micros, properties: Mapping[str, Any]
    ) -> bool:
        if OUTLIERS in properties and path in properties[OUTLIERS]:
            return True
        return update(tags, bucket, at, now, properties)

    return msgspec.structs.replace(rolling, update=unless_outlier)


def guards(tag: Tag, rules: Sequence[Cleaning]) -> bool:
    """Whether outliers are kept out of a tag."""
    return tag.aggregate == KEPT_OUT_OF and any(
        rule.outlier is not None
        and rule.property == tag.value
        and not set(rule.events or ()).isdisjoint(tag.events)
        for rule in rules
    )


def _average(guarded: Guarded, readers: Mapping[str, ReadTag]) -> Average:
    tag = guarded.tag
    where = None if tag.where is None else compile_test(tag.where, readers)
    update = guarded.rolling.update
    return Average(frozenset(tag.events), where, tag.value or "", guarded.window, update)


def compile_quality(
    rules: Sequence[Cleaning], guarded: Sequence[Guarded], readers: Mapping[str, ReadTag]
) -> Quality:
    """Compile checked rules; `guarded` are the tags that outliers are kept out of."""
    compiled = [compile_rule(rule) for rule in rules]
    judging = [one for one in compiled if one.rule.outlier is not None]
    names = {name for rule in rules for name in events_of(rule)}
    judged = {name for one in judging for name in events_of(one.rule)}
    if judged:
        # A confirmation needs no rules, but somebody has to look at it.
        names.add(CONFIRM_EVENT)
    return Quality(
        cleaners={
            name: Cleaner([one for one in compiled if name in events_of(one.rule)])
            for name in sorted(names)
        },
        weighers={
            name: Weigher([one for one in judging if name in events_of(one.rule)])
            for name in sorted(judged)
        },
        averages=tuple(_average(one, readers) for one in guarded),
        known=frozenset(map(key_of, judging)),
    )
