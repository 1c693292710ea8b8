"""Definitions compiled once for a revision: what an event of each name has to touch."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.contracts.definitions import Bundle, Condition, Send, Tag, Trigger
from services.contracts.errors import DefinitionError
from services.contracts.time import Micros, parse_duration
from services.triggers.engine import tags as rolling
from services.triggers.engine.caps import Cap, compile_cap
from services.triggers.engine.check import check
from services.triggers.engine.conditions import (
    Match,
    ReadTag,
    Test,
    compile_match,
    compile_test,
)
from services.triggers.engine.sketches import distinct, top_k
from services.triggers.engine.state import TagData, Tags
from services.triggers.engine.tags import Read, Rolling, Update, tag_key
from services.triggers.engine.windows import Calendar, calendar_of, window_of

DECIDED_STATUSES = frozenset({"live", "paused"})
DEFAULT_ADDRESS_TRAITS = {"mail": "email"}


class Rule(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A compiled trigger; durations in microseconds."""

    trigger: Trigger
    send: Send
    address_trait: str | None
    audience: Condition | None
    audience_holds: Test | None
    dedup_window: int
    cooldown: int | None
    put_off_for: int | None
    send_within: int
    caps: tuple[Cap, ...]


class Plan(msgspec.Struct, frozen=True, eq=False):
    """What events of one name touch. `tags`: for each bucket size its tags' updates, guarded
    by their conditions. `match` gives the rules whose entry matches."""

    tags: tuple[tuple[Callable[[Micros], int], tuple[tuple[Test | None, Update], ...]], ...]
    match: Match | None


class Rules(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All definitions of one revision, compiled. Made by `compile_rules` only."""

    revision: int
    workspace: str
    zone: str
    calendar: Calendar
    late_after: int
    message_id_window: int
    message_ids_max: int
    plans: dict[str, Plan]
    tags: dict[int, tuple[str, Read]]
    estimates: dict[int, Callable[[TagData], bool]]
    read_tag: dict[str, ReadTag]
    tags_empty: dict[str, Any]
    triggers: dict[str, Rule]
    statuses: dict[str, str]
    caps: tuple[Cap, ...]


def _compile_tag(tag: Tag, calendar: Calendar) -> Rolling:
    window, key, path = window_of(tag, calendar), tag_key(tag), tag.value or ""
    if tag.aggregate == "count":
        return rolling.count(key, window)
    if tag.aggregate == "distinct":
        return distinct(key, window, path)
    if tag.aggregate == "top_k":
        return top_k(key, window, path, tag.k, parse_duration(tag.half_life))
    return rolling.SIMPLE[tag.aggregate](key, window, path)


def _reader(tag: Rolling) -> ReadTag:
    key, read, empty = tag.key, tag.read, tag.empty

    def value(tags: Tags, now: Micros) -> Any:
        data = tags.get(key)
        return empty if data is None else read(data, now)

    return value


def _compile_trigger(trigger: Trigger, caps: Sequence[Cap], readers: dict[str, ReadTag]) -> Rule:
    send = trigger.steps[0].send
    cooldown, capped = trigger.reentry.cooldown, trigger.when_capped
    return Rule(
        trigger=trigger,
        send=send,
        address_trait=send.to_trait or DEFAULT_ADDRESS_TRAITS.get(send.channel),
        audience=trigger.audience,
        audience_holds=(
            None if trigger.audience is None else compile_test(trigger.audience, readers)
        ),
        dedup_window=parse_duration(trigger.dedup.window),
        cooldown=None if cooldown is None else parse_duration(cooldown),
        put_off_for=parse_duration(capped.expires_after) if capped.action == "defer" else None,
        send_within=parse_duration(trigger.send_within),
        caps=tuple(cap for cap in caps if cap.counts(trigger.id, send.channel, trigger.category)),
    )


def _compile_plans(
    tags: Sequence[tuple[Tag, Rolling]],
    rules: Sequence[Rule],
    readers: dict[str, ReadTag],
    calendar: Calendar,
) -> dict[str, Plan]:
    names = {name for tag, _ in tags for name in tag.events}
    names |= {name for rule in rules for name in rule.trigger.entry.events}
    plans: dict[str, Plan] = {}
    for name in sorted(names):
        groups: dict[tuple[str, int], list[tuple[Test | None, Update]]] = {}
        bucket_of: dict[tuple[str, int], Callable[[Micros], int]] = {}
        for tag, compiled in tags:
            if name in tag.events:
                window = window_of(tag, calendar)
                where = None if tag.where is None else compile_test(tag.where, {})
                groups.setdefault(window.group, []).append((where, compiled.update))
                bucket_of[window.group] = window.bucket_of
        entering = [
            (rule.trigger.entry.where, rule) for rule in rules if name in rule.trigger.entry.events
        ]
        plans[name] = Plan(
            tuple((bucket_of[group], tuple(updates)) for group, updates in groups.items()),
            compile_match(entering, readers) if entering else None,
        )
    return plans


def compile_rules(bundle: Bundle, *, workspace: str = "default") -> Rules:
    """Compile the definitions of one revision. `workspace` goes into run and send ids.

    Raises:
        DefinitionError: `check` found problems.
    """
    problems = check(bundle)
    if problems:
        raise DefinitionError(problems)
    settings = bundle.workspace
    calendar = calendar_of(settings.time_zone)
    caps = tuple(compile_cap(one) for one in sorted(bundle.policies, key=lambda one: one.id))
    tags = [(tag, _compile_tag(tag, calendar)) for tag in sorted(bundle.tags, key=lambda t: t.id)]
    readers = {tag.id: _reader(compiled) for tag, compiled in tags}
    rules = [
        _compile_trigger(trigger, caps, readers)
        for trigger in sorted(bundle.triggers, key=lambda one: one.id)
        if trigger.status in DECIDED_STATUSES
    ]
    return Rules(
        revision=bundle.revision,
        workspace=workspace,
        zone=settings.time_zone,
        calendar=calendar,
        late_after=parse_duration(settings.late_after),
        message_id_window=parse_duration(settings.message_id_window),
        message_ids_max=settings.message_ids_max,
        plans=_compile_plans(tags, rules, readers, calendar),
        tags={compiled.key: (tag.id, compiled.read) for tag, compiled in tags},
        estimates={
            compiled.key: compiled.approximate
            for _, compiled in tags
            if compiled.approximate is not None
        },
        read_tag=readers,
        tags_empty={tag.id: compiled.empty for tag, compiled in tags},
        triggers={rule.trigger.id: rule for rule in rules},
        statuses={trigger.id: trigger.status for trigger in bundle.triggers},
        caps=caps,
    )
