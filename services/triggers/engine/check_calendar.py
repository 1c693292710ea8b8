"""What is wrong with entries by the profile and by the calendar."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Final

from services.contracts.conditions import Condition
from services.contracts.definitions import Tag, Trigger
from services.contracts.entries import Entry, Schedule, TagChange, Threshold
from services.contracts.time import MINUTE, parse_duration
from services.triggers.engine.check_conditions import Problems, TagKind, check_condition
from services.triggers.engine.cron import BadCron, parse_cron, period_of
from services.triggers.engine.windows import known_zones

_NEVER_NEGATIVE: Final = ("count", "distinct", "recency", "tenure")


def check_calendar_entry(
    entry: Entry, place: str, problems: Problems, *, tag_kinds: Mapping[str, TagKind]
) -> None:
    """Add what is wrong with `tag_change`, `threshold` and `schedule` (a `date` that fits the
    schema is right). `tag_kinds` as for conditions."""
    if entry.tag_change is not None:
        _check_tag_change(entry.tag_change, f"{place}.tag_change", problems, tag_kinds)
    if entry.threshold is not None:
        _check_threshold(entry.threshold, f"{place}.threshold", problems, tag_kinds)
    if entry.schedule is not None:
        _check_schedule(entry.schedule, f"{place}.schedule", problems)


def _check_tag_change(
    entry: TagChange, place: str, problems: Problems, tag_kinds: Mapping[str, TagKind]
) -> None:
    if entry.change != "changed":
        clause = Condition(tag=entry.tag, op=entry.op, value=entry.value)
        check_condition(clause, place, problems, tag_kinds=tag_kinds)
        return
    if entry.tag not in tag_kinds:
        problems.append((f"{place}.tag", f"unknown tag {entry.tag!r}"))
    for name in ("op", "value"):
        if getattr(entry, name) is not None:
            reason = "change changed takes none: every other value counts"
            problems.append((f"{place}.{name}", reason))


def never_crossed(triggers: Sequence[Trigger], tags: Sequence[Tag]) -> Iterator[tuple[str, str]]:
    """Thresholds that no value can cross."""
    aggregates = {tag.id: tag.aggregate for tag in tags if tag.minus is None}
    for trigger in triggers:
        entry = trigger.entry.threshold
        if entry is None or entry.share_of is not None or not entry.bound <= 0:
            continue
        aggregate = aggregates.get(entry.tag)
        if aggregate in _NEVER_NEGATIVE:
            place = f"triggers.{trigger.id}.entry.threshold.bound"
            yield place, f"never crossed: a {aggregate} is never below 0"


def _check_threshold(
    entry: Threshold, place: str, problems: Problems, tag_kinds: Mapping[str, TagKind]
) -> None:
    before = len(problems)
    for name in ("tag", "share_of"):
        tag = getattr(entry, name)
        if tag is not None and tag not in tag_kinds:
            problems.append((f"{place}.{name}", f"unknown tag {tag!r}"))
        elif tag is not None and tag_kinds[tag] not in ("number", "any"):
            what = "list" if tag_kinds[tag] == "list" else "label"
            reason = f"the value of tag {tag!r} is a {what}: a threshold needs a number"
            problems.append((f"{place}.{name}", reason))
    if not isfinite(entry.bound):
        problems.append((f"{place}.bound", "not a finite number"))
    if len(problems) > before:
        return
    if entry.share_of is not None:
        if entry.share_of == entry.tag:
            problems.append((f"{place}.share_of", "a tag's share of itself never changes"))
        if entry.bound <= 0:
            problems.append((f"{place}.bound", "a share is greater than 0, such as 0.5"))


def _check_schedule(entry: Schedule, place: str, problems: Problems) -> None:
    if entry.time_zone is not None and entry.time_zone not in known_zones():
        reason = f"unknown time zone {entry.time_zone!r}: write an IANA name"
        problems.append((f"{place}.time_zone", reason))
    spread = None
    if entry.spread is not None:
        try:
            spread = parse_duration(entry.spread)
        except ValueError as error:
            problems.append((f"{place}.spread", str(error)))
    try:
        period = period_of(parse_cron(entry.cron))
    except BadCron as error:
        problems.append((f"{place}.cron", str(error)))
        return
    if period is None:
        problems.append((f"{place}.cron", "never due: no month has such a day"))
    elif spread is not None and spread > period:
        reason = f"longer than the {period // MINUTE} minutes to the next time"
        problems.append((f"{place}.spread", reason))
