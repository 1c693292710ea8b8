"""What is wrong with definitions, each problem with its place: before, not while, deciding."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from services.contracts.definitions import (
    CAP_WINDOW_MAX,
    AnyDefinition,
    Bundle,
    Policy,
    Scope,
    Trigger,
    Workspace,
)
from services.contracts.entries import Entry
from services.contracts.steps import CHANNELS
from services.contracts.templates import Template
from services.contracts.time import parse_duration
from services.triggers.engine.check_calendar import check_calendar_entry, never_crossed
from services.triggers.engine.check_cleaning import cleaning_problems
from services.triggers.engine.check_conditions import Problems, TagKind, check_condition
from services.triggers.engine.check_derived import check_derived
from services.triggers.engine.check_segments import check_lifecycle, check_segment
from services.triggers.engine.check_sending import (
    arbitration_problems,
    quiet_hours_problems,
    value_tiers_problems,
)
from services.triggers.engine.check_steps import all_steps, check_steps, step_conditions
from services.triggers.engine.check_tags import (
    check_rolling,
    conditions_of_tag,
    kind_of_tag,
    room_problems,
)
from services.triggers.engine.check_templates import template_problems
from services.triggers.engine.check_waiting import (
    check_duration,
    check_events,
    check_waiting,
    conditions_of,
)
from services.triggers.engine.clauses import segment_name
from services.triggers.engine.limits import (
    LIFECYCLES_MAX,
    POLICIES_MAX,
    SEGMENTS_MAX,
    TAGS_MAX,
    TEMPLATES_MAX,
    TRIGGERS_MAX,
)
from services.triggers.engine.windows import (
    CALENDAR_UNITS,
    known_zones,
)

_CATEGORIES: Final = ("marketing", "transactional")


def check(bundle: Bundle) -> list[tuple[str, str]]:
    """Problems as (place, reason), in a fixed order; empty where all is well.

    A place is a dotted path with ids for names: `triggers.cart_left.entry.where.all[0].tag`.
    """
    problems: Problems = []
    for kind, definitions, count_max in (
        ("tags", bundle.tags, TAGS_MAX),
        ("triggers", bundle.triggers, TRIGGERS_MAX),
        ("policies", bundle.policies, POLICIES_MAX),
        ("segments", bundle.segments, SEGMENTS_MAX),
        ("lifecycles", bundle.lifecycles, LIFECYCLES_MAX),
        ("templates", bundle.templates, TEMPLATES_MAX),
    ):
        ids = Counter(one.id for one in definitions)
        problems += [(f"{kind}.{id_}", "two have this id") for id_, n in ids.items() if n > 1]
        if len(definitions) > count_max:
            problems.append((kind, f"{len(definitions)}, at most {count_max} are allowed"))
    _check_workspace(bundle.workspace, problems)
    tag_kinds = _check_tags(bundle, problems)
    _check_groups(bundle, tag_kinds, problems)
    templates = {one.id: one for one in bundle.templates}
    for template in bundle.templates:
        place = f"templates.{template.id}"
        if _shape_fits(template, place, problems):
            told = template_problems(template, tag_kinds)
            problems += [(f"{place}.{name}", reason) for name, reason in told]
    for trigger in bundle.triggers:
        _check_trigger(trigger, f"triggers.{trigger.id}", tag_kinds, templates, problems)
    problems += never_crossed(bundle.triggers, bundle.tags)
    for policy in bundle.policies:
        _check_policy(policy, f"policies.{policy.id}", bundle.triggers, problems)
    if not problems:
        problems += room_problems(bundle.tags)
    return problems


def _check_tags(bundle: Bundle, problems: Problems) -> dict[str, TagKind]:
    """Check tags; gives what can be asked of each."""
    kinds: dict[str, TagKind] = {}
    before = len(problems)
    for tag in bundle.tags:
        place, found = f"tags.{tag.id}", Problems()
        conditions_of_tag(tag, place, found)
        if not found and _shape_fits(tag, place, found):
            check_rolling(tag, place, found)
            kinds[tag.id] = kind_of_tag(tag)
        # Whoever asks for one that is wrong is not told that there is none.
        kinds.setdefault(tag.id, "any")
        problems += found
    if len(problems) == before:
        check_derived(bundle.tags, kinds, problems)
    return kinds


def _check_groups(bundle: Bundle, tag_kinds: dict[str, TagKind], problems: Problems) -> None:
    """Check life cycles and segments, and add to `tag_kinds` what can be asked of them."""
    of_tags = dict(tag_kinds)
    for lifecycle in bundle.lifecycles:
        place = f"lifecycles.{lifecycle.id}"
        if lifecycle.id in of_tags:
            problems.append((f"{place}.id", "a tag is called so: its state reads as a tag"))
        if _shape_fits(lifecycle, place, problems):
            check_lifecycle(lifecycle, place, problems, tag_kinds=of_tags)
        tag_kinds.setdefault(lifecycle.id, lifecycle.states)
    known = dict(tag_kinds)
    for segment in bundle.segments:
        place = f"segments.{segment.id}"
        if _shape_fits(segment, place, problems):
            check_segment(segment, place, problems, tag_kinds=known)
        tag_kinds[segment_name(segment.id)] = "any"


def _shape_fits(definition: AnyDefinition, place: str, problems: Problems) -> bool:
    """Whether a definition obeys its schema: one made in code was never asked."""
    try:
        msgspec.convert(msgspec.to_builtins(definition), type(definition))
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        problems.append((place + path.rstrip("`"), reason))
    except (TypeError, RecursionError):
        problems.append((place, "not made of values that a definition may hold"))
    else:
        return True
    return False


def _check_workspace(workspace: Workspace, problems: Problems) -> None:
    if not _shape_fits(workspace, "workspace", problems):
        return
    if workspace.time_zone not in known_zones():
        reason = f"unknown time zone {workspace.time_zone!r}: write an IANA name"
        problems.append(("workspace.time_zone", reason))
    check_duration(workspace.late_after, "workspace.late_after", problems)
    check_duration(workspace.message_id_window, "workspace.message_id_window", problems)
    cleaning = cleaning_problems(workspace.cleaning)
    for found in (quiet_hours_problems(workspace), value_tiers_problems(workspace), cleaning):
        problems += [(f"workspace.{name}", reason) for name, reason in found]


def _check_trigger(
    trigger: Trigger,
    place: str,
    tag_kinds: dict[str, TagKind],
    templates: Mapping[str, Template],
    problems: Problems,
) -> None:
    before = len(problems)
    for name, condition in (*conditions_of(trigger), *step_conditions(trigger)):
        check_condition(condition, f"{place}.{name}", problems, tag_kinds=tag_kinds)
    if len(problems) > before or not _shape_fits(trigger, place, problems):
        return
    _check_entry(trigger.entry, f"{place}.entry", problems)
    check_waiting(trigger, place, problems)
    check_calendar_entry(trigger.entry, f"{place}.entry", problems, tag_kinds=tag_kinds)
    durations = [
        ("dedup.window", trigger.dedup.window),
        ("when_capped.expires_after", trigger.when_capped.expires_after),
        ("send_within", trigger.send_within),
    ]
    if trigger.arbitration_window is not None:
        durations.append(("arbitration_window", trigger.arbitration_window))
    before = len(problems)
    for name, text in durations:
        check_duration(text, f"{place}.{name}", problems)
    if len(problems) == before:
        found = arbitration_problems(trigger)
        problems += [(f"{place}.{name}", reason) for name, reason in found]
    reentry = trigger.reentry
    if reentry.mode == "cooldown" and reentry.cooldown is None:
        problems.append((f"{place}.reentry.cooldown", "mode cooldown needs one"))
    elif reentry.mode != "cooldown" and reentry.cooldown is not None:
        reason = f"mode {reentry.mode} takes none"
        problems.append((f"{place}.reentry.cooldown", reason))
    elif reentry.cooldown is not None:
        check_duration(reentry.cooldown, f"{place}.reentry.cooldown", problems)
    if reentry.mode == "once_per_key" and not trigger.dedup.key:
        problems.append((f"{place}.dedup.key", "mode once_per_key needs a key"))
    check_steps(trigger, place, problems, templates=templates)


_ENTRY_KINDS: Final = (
    "sequence", "absence", "inactivity", "tag_change", "threshold", "date", "schedule",
)  # fmt: skip


def _check_entry(entry: Entry, place: str, problems: Problems) -> None:
    given = [name for name in ("events", *_ENTRY_KINDS) if getattr(entry, name)]
    if len(given) != 1:
        ways = ", ".join(("events", *_ENTRY_KINDS))
        found = ", ".join(given) or "none"
        problems.append((place, f"exactly one of {ways} is needed, found {found}"))
    elif entry.where is not None and not entry.events:
        problems.append((f"{place}.where", "belongs to `events`"))
    check_events(entry.events, f"{place}.events", problems)


def _check_policy(
    policy: Policy, place: str, triggers: Sequence[Trigger], problems: Problems
) -> None:
    if not _shape_fits(policy, place, problems):
        return
    if policy.window not in CALENDAR_UNITS:
        span = check_duration(policy.window, f"{place}.window", problems)
        if span is not None and span > parse_duration(CAP_WINDOW_MAX):
            reason = f"longer than {CAP_WINDOW_MAX}: a person's state would have no bound"
            problems.append((f"{place}.window", reason))
    reason_or_none = _scope_problem(policy.scope, triggers)
    if reason_or_none is not None:
        problems.append((f"{place}.scope.value", reason_or_none))


def _scope_problem(scope: Scope, triggers: Sequence[Trigger]) -> str | None:
    if scope.kind == "all":
        return None if scope.value is None else "scope all takes no value"
    if scope.value is None:
        return f"scope {scope.kind} needs a value"
    if scope.kind == "trigger":
        named = next((one for one in triggers if one.id == scope.value), None)
        if named is None:
            return f"unknown trigger {scope.value!r}"
        if named.category == "transactional":
            return "a transactional trigger is exempt: only its category can be capped"
        if all(step.send is None for _, step in all_steps(named.steps)):
            return "without effect: it sends nothing, and no cap counts offers and tasks"
        return None
    known = CHANNELS if scope.kind == "channel" else _CATEGORIES
    if scope.value not in known:
        return f"unknown {scope.kind} {scope.value!r}, known are {', '.join(known)}"
    return None
