"""Lint across definitions: what is right by itself and yet may be in another's way. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from services.contracts.definitions import Bundle, Policy, Trigger
from services.contracts.steps import Step
from services.contracts.time import DAY, Micros, parse_duration
from services.triggers.definitions.disjoint import disjoint
from services.triggers.definitions.values import Definition, kind_of, make_bundle, place_of
from services.triggers.engine.lint import warnings
from services.triggers.engine.program import each_step, inner_lists

NAMED_MAX: Final = 5
"""Triggers that one warning names; the others are counted."""
WAYS_MAX: Final = 500
"""Ways through a journey that are followed; one with more is not measured against caps."""

_CALENDAR: Final[dict[str, Micros]] = {"day": DAY, "week": 7 * DAY, "month": 28 * DAY}

_OVERLAP: Final = (
    "{} enters on the same and sends on the same channel, and the same people may be in both: "
    "tell them apart, or give them one group"
)

Warned = tuple[str, str]


def conflicts(in_force: Bundle, changed: Sequence[Definition]) -> list[Warned]:
    """What is worth another look about `changed` once they are in force beside the others:
    place and reason, in a fixed order. Nothing here is a reason to refuse.
    """
    before: tuple[Definition, ...] = (*in_force.triggers, *in_force.policies)
    standing = {(kind_of(one), one.id): one for one in before}
    standing |= {(kind_of(one), one.id): one for one in changed}
    others = make_bundle(in_force.revision, list(standing.values()))
    told = list(warnings(make_bundle(0, list(changed))))
    for one in sorted(changed, key=lambda one: (kind_of(one), one.id)):
        if isinstance(one, Trigger):
            told += _of_trigger(one, others)
        elif isinstance(one, Policy):
            told += _of_policy(one, others)
    return told


def _of_trigger(trigger: Trigger, others: Bundle) -> Iterator[Warned]:
    if trigger.status in ("paused", "archived"):
        return
    place = place_of("trigger", trigger.id)
    live = [one for one in others.triggers if one.id != trigger.id and one.status != "paused"]
    rivals = [one for one in live if trigger.group is not None and one.group == trigger.group]
    tied = [one.id for one in rivals if one.priority == trigger.priority]
    if tied:
        reason = f"{_names(tied)} of group {trigger.group} has the same priority: ids decide"
        yield f"{place}.group", reason
    meeting = [one.id for one in live if one not in rivals and _meet(trigger, one)]
    if meeting:
        yield f"{place}.audience", _OVERLAP.format(_names(meeting))
    for policy in others.policies:
        yield from _against(trigger, policy, f"{place}.steps")


def _of_policy(policy: Policy, others: Bundle) -> Iterator[Warned]:
    place = place_of("policy", policy.id)
    live = [one for one in others.triggers if one.status != "paused"]
    if policy.scope.kind != "all" and not any(_sends(one, policy) for one in live):
        yield f"{place}.scope", "nothing in force sends what this cap counts: it is never met"
    for other in others.policies:
        if other.id != policy.id and _stricter(other, policy):
            yield f"{place}.limit", f"never met: the cap {other.id} is stricter for all it counts"
    for trigger in live:
        for _, reason in _against(trigger, policy, ""):
            yield f"{place}.limit", f"{trigger.id}: {reason}"


def _names(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:NAMED_MAX])
    return shown if len(ids) <= NAMED_MAX else f"{shown} and {len(ids) - NAMED_MAX} more"


def _meet(one: Trigger, other: Trigger) -> bool:
    """Whether the same event of the same person can make both send on the same channel."""
    return (
        bool(_doors(one) & _doors(other))
        and bool(_channels(one) & _channels(other))
        and not disjoint(one.audience, other.audience)
        and not disjoint(one.entry.where, other.entry.where)
        and not disjoint(one.audience, other.entry.where)
        and not disjoint(one.entry.where, other.audience)
    )


def _doors(trigger: Trigger) -> set[tuple[str, str]]:
    """What a person comes in by: two triggers that share one may fire at the same instant."""
    entry = trigger.entry
    found = {("event", name) for name in entry.events}
    if entry.sequence is not None:
        found |= {("event", name) for name in entry.sequence.parts[-1].events}
    if entry.absence is not None:
        found |= {("absence", name) for name in entry.absence.without.events}
    if entry.inactivity is not None:
        found |= {("inactivity", name) for name in entry.inactivity.events}
    if entry.tag_change is not None:
        found.add(("tag", entry.tag_change.tag))
    if entry.threshold is not None:
        found.add(("tag", entry.threshold.tag))
    if entry.date is not None:
        found.add(("date", entry.date.trait))
    if entry.schedule is not None:
        found.add(("schedule", entry.schedule.cron))
    return found


def _channels(trigger: Trigger) -> set[str]:
    return {step.send.channel for step in each_step(trigger.steps) if step.send is not None}


def _counted(step: Step, trigger: Trigger, policy: Policy) -> bool:
    """Whether the policy counts what this step sends."""
    if step.send is None:
        return False
    kind, value = policy.scope.kind, policy.scope.value
    if trigger.category == "transactional" and (kind, value) != ("category", "transactional"):
        return False
    mine = {"channel": step.send.channel, "category": trigger.category, "trigger": trigger.id}
    return kind == "all" or mine[kind] == value


def _sends(trigger: Trigger, policy: Policy) -> bool:
    return any(_counted(step, trigger, policy) for step in each_step(trigger.steps))


def _against(trigger: Trigger, policy: Policy, place: str) -> Iterator[Warned]:
    """A cap that binds in every run: one run alone asks for more than it allows."""
    window = _CALENDAR.get(policy.window) or parse_duration(policy.window)
    most = max((_most_within(sent, window) for _, sent in _ways(trigger, policy)), default=0)
    if most > policy.limit:
        asked = f"one run sends up to {most} messages within {policy.window}"
        yield place, f"{asked}, of which the cap {policy.id} lets {policy.limit} pass"


def _most_within(sent: Sequence[Micros], window: Micros) -> int:
    return max(
        (sum(1 for at in sent[first:] if at < sent[first] + window) for first in range(len(sent))),
        default=0,
    )


Way = tuple[Micros, tuple[Micros, ...]]
"""How long a way through the steps takes at least, and when it sends."""


def _ways(trigger: Trigger, policy: Policy) -> set[Way]:
    """Every way through a journey, none where there are more than `WAYS_MAX`."""
    ways: set[Way] = {(0, ())}
    for step in trigger.steps:
        ways = {after for way in ways for after in _after(step, way, trigger, policy)}
        if len(ways) > WAYS_MAX:
            return set()
    return ways


def _after(step: Step, way: Way, trigger: Trigger, policy: Policy) -> set[Way]:
    elapsed, sent = way
    if _counted(step, trigger, policy):
        return {(elapsed, (*sent, elapsed))}
    if step.wait is not None and step.wait.for_ is not None:
        return {(elapsed + parse_duration(step.wait.for_), sent)}
    lists = list(inner_lists(step))
    if not lists:
        return {way}
    found: set[Way] = set()
    for name, inner in lists:
        starts: set[Way] = {way}
        if step.wait_for is not None and name == "wait_for.on_timeout":
            starts = {(elapsed + parse_duration(step.wait_for.within), sent)}
        for one in inner:
            starts = {after for start in starts for after in _after(one, start, trigger, policy)}
        found |= starts
        if len(found) > WAYS_MAX:
            break
    return found


def _stricter(other: Policy, policy: Policy) -> bool:
    """Whether `other` always binds before `policy` does: it counts all that this one counts."""
    windows = [policy.window, other.window]
    if any(window in _CALENDAR for window in windows):
        if windows[0] != windows[1]:
            return False
        longer = True
    else:
        longer = parse_duration(other.window) >= parse_duration(policy.window)
    covers = other.scope == policy.scope or (
        other.scope.kind == "all"
        and (policy.scope.kind, policy.scope.value) != ("category", "transactional")
        and policy.scope.kind != "trigger"
    )
    tied = (other.limit, other.window, other.scope) == (policy.limit, policy.window, policy.scope)
    return covers and longer and other.limit <= policy.limit and (not tied or other.id < policy.id)
