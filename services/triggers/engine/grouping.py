"""A person's segments and life cycles as the log goes on, and what happens because of them.

A change happens to the person as an event in the same fold: exits, waits, entries and tags
listen to it as to any other. What such an event moves is looked at with the next record or
the next instant, so that no moment goes on for ever.
"""

from collections.abc import Sequence

from services.contracts.event import TRACK, Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, entering
from services.triggers.engine.exits import leave
from services.triggers.engine.groups import Change, Cycle, Groups
from services.triggers.engine.journey import match_waits
from services.triggers.engine.limits import NEVER
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.reactions import NO_REACTION
from services.triggers.engine.rules import Rules
from services.triggers.engine.sensing import SOON, hear, next_due, watch
from services.triggers.engine.state import Membership, PersonState, Stage


def pass_time(state: PersonState, rules: Rules, now: Micros, out: Outputs) -> list[Candidate]:
    """Let entries that follow tags, and groups, look as of every instant up to now at which time
    changed something for them; gives who comes in.

    To be called before anything reads a tag as of now: what a window held before is gone then.
    """
    candidates: list[Candidate] = []
    groups, membership = rules.groups, state.membership
    if groups is not None and membership is not None:
        while (at := membership.due_at) <= now:
            candidates += watch(state, rules, now, until=at)
            membership.due_at = NEVER
            changes = groups.whole.look(membership, state, at)
            candidates = _happen(
                changes, str(at), state, rules, now, out, candidates, at=at, received_at=now
            )
    return candidates + watch(state, rules, now)


def regroup(
    state: PersonState,
    event: Event,
    rules: Rules,
    now: Micros,
    out: Outputs,
    candidates: list[Candidate],
    *,
    late: bool,
) -> list[Candidate]:
    """See which groups an event has moved, and let that happen too; gives who comes in by all.

    A late event moves people without letting anybody in.
    """
    groups, membership = rules.groups, state.membership
    if groups is None or membership is None:
        return candidates
    part = groups.hearing.get(event.name)
    if membership.due_at <= now + SOON:
        part = groups.whole
        membership.due_at = NEVER
    elif part is None:
        return candidates
    changes = part.look(membership, state, now)
    candidates = _happen(
        changes, event.message_id, state, rules, now, out, candidates,
        at=now, received_at=event.received_at, late=late,
    )  # fmt: skip
    state.next_due = next_due(state, rules)
    return candidates


def _happen(
    changes: Sequence[Change],
    cause: str,
    state: PersonState,
    rules: Rules,
    now: Micros,
    out: Outputs,
    candidates: list[Candidate],
    *,
    at: Micros,
    received_at: Micros,
    late: bool = False,
) -> list[Candidate]:
    """Tell changes of `at` as events, one after the other; `candidates` are not decided yet."""
    assert rules.groups is not None
    for change in changes:
        state.changed = True
        event = Event(
            person=state.person,
            type=TRACK,
            name=change.name,
            message_id=f"{change.name}/{change.mark}@{cause}",
            occurred_at=at,
            received_at=received_at,
            properties=change.properties,
            user_id=state.user_id,
        )
        react = rules.reactions.get(event.name)
        found, crossed = NO_REACTION
        if react is not None:
            found, crossed = react(event.properties, state, at, now, late, out)
        if event.name in rules.awaited:
            candidates = leave(state, event, rules, now, out, candidates)
            if not late:
                match_waits(state, event, rules, at, now)
        candidates = candidates + hear(state, event, rules, at, now, late=late, crossed=crossed)
        if found:
            candidates = candidates + entering(event, found, now)
        if event.name in rules.groups.hearing:
            look_soon(state, now)
    return candidates


def look_soon(state: PersonState, now: Micros) -> None:
    """Look at all groups again by itself: something they read was moved by what was decided."""
    if state.membership is not None:
        state.membership.due_at = min(state.membership.due_at, now + SOON)
        state.next_due = min(state.next_due, state.membership.due_at)


def let_go(state: PersonState, rules: Rules) -> None:
    """Forget groups that are gone or mean something else now; the rest stay as they are."""
    groups, membership = rules.groups, state.membership
    if membership is None:
        return
    if groups is None:
        state.membership = None
        return
    keys = {one.key for one in groups.whole.circles}
    segments = membership.segments
    membership.segments = {key: is_in for key, is_in in segments.items() if key in keys}


def find_place(state: PersonState, rules: Rules, now: Micros, *, is_new: bool) -> None:
    """Put the person where they belong in groups that are new to them; that is no event.

    A life cycle that was changed goes on from the state they are in, if it still has that.
    Whoever is new themselves begins outside all segments, and is looked at soon.
    """
    groups = rules.groups
    if groups is None:
        return
    is_new = is_new and state.membership is None
    membership = state.membership or Membership()
    before, membership.stages = membership.stages, {}
    fresh: list[Cycle] = []
    for cycle in groups.whole.cycles:
        stage = before.get(cycle.id)
        if stage is None or stage.mark != cycle.mark:
            kept = stage is not None and stage.label in cycle.states
            stage = Stage(
                label=stage.label if stage is not None and kept else cycle.initial,
                since=stage.since if stage is not None and kept else now,
                mark=cycle.mark,
            )
            fresh.append(cycle)
        membership.stages[cycle.id] = stage
    outside = [one for one in groups.whole.circles if one.key not in membership.segments]
    for circle in outside:
        membership.segments[circle.key] = False
    state.membership = membership
    if is_new:
        membership.due_at = now + SOON
    elif fresh or outside:
        _settle_in(membership, groups, fresh, state, now)
        for circle in outside:
            circle.look(membership, state, now)


def _settle_in(
    membership: Membership, groups: Groups, fresh: list[Cycle], state: PersonState, now: Micros
) -> None:
    for cycle in fresh:
        for _ in cycle.advance(membership.stages[cycle.id], state, now):
            pass
    groups.whole.look_again(membership, state, now)


def join_groups(state: PersonState, other: PersonState) -> None:
    """Where two people who turn out to be one begin from, before their tags are joined.

    Whoever of the two was in a segment was in it; of a life cycle the state of the one who was
    seen first holds, for theirs is the longer story. What both together are now is looked at
    afterwards, by `regroup_joined`.
    """
    mine, theirs = state.membership, other.membership
    if mine is None or theirs is None:
        state.membership = mine or theirs
        return
    for key, is_in in theirs.segments.items():
        mine.segments[key] = is_in or mine.segments.get(key, False)
    seen, met = state.first_seen_at, other.first_seen_at
    if met is not None and (seen is None or met < seen):
        mine.stages.update(theirs.stages)


def regroup_joined(
    state: PersonState, other: str, rules: Rules, now: Micros, out: Outputs
) -> list[Candidate]:
    """Look at all groups of somebody whom another turned out to be; gives who comes in."""
    groups, membership = rules.groups, state.membership
    if groups is None or membership is None:
        return []
    membership.due_at = NEVER
    changes = groups.whole.look(membership, state, now)
    return _happen(changes, f"{other}@{now}", state, rules, now, out, [], at=now, received_at=now)
