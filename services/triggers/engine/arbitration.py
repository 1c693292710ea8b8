"""Between candidates: exclusive groups, and holding one back for a better one to come.

Better is who has the higher priority; among equals whoever was there first stays. What a
holdout keeps back takes nobody's place who is really sent to; it yields to both kinds.
"""

from collections.abc import Iterator
from typing import Any, Final

from services.contracts.decision import Outcome
from services.triggers.engine.candidates import Candidate, Moment, Refusal, by_age
from services.triggers.engine.rules import Rule
from services.triggers.engine.sensing import is_held
from services.triggers.engine.state import Run

_WAITS_FOR_BETTER: Final = Outcome.ARBITRATION.value


def arbitration(one: Candidate, moment: Moment) -> Refusal | None:
    """Refuse who meets a better one; hold who asks to wait for one, once."""
    window, group = one.rule.arbitration_window, one.rule.trigger.group
    if group is not None:
        rival = _rival(one, group, moment)
        if rival is not None:
            return rival
    if window is None or one.run is not None:
        return None
    for other in moment.entered:
        if _better(other.rule, one.rule) and (one.held_out or not other.held_out):
            return _lost(one.rule, other.rule, other.event_id, moment)
    return Refusal(
        outcome=Outcome.ARBITRATION, details={}, frees_at=moment.now + window, waits=True
    )


def _rival(one: Candidate, group: str, moment: Moment) -> Refusal | None:
    """Another of the group that stays: it went before in this moment, or waits and is no worse."""
    for other in moment.entered:
        if _of_group(other.rule, one.rule, group) and (one.held_out or not other.held_out):
            return _lost(one.rule, other.rule, other.event_id, moment, group=group)
    for pending, rule in _live(moment):
        if (
            _of_group(rule, one.rule, group)
            and rule.trigger.priority >= one.rule.trigger.priority
            and (one.held_out or not pending.held_out)
        ):
            return _lost(one.rule, rule, pending.event_id, moment, group=group)
    return None


def displaced(winner: Candidate, moment: Moment) -> list[tuple[Run, Refusal]]:
    """Who waits no longer, now that `winner` was sent or has newly entered; taken from the
    state."""
    lost: list[tuple[Run, Refusal]] = []
    group = winner.rule.trigger.group
    for pending, rule in _live(moment):
        if winner.held_out and not pending.held_out:
            continue
        if rule.trigger.priority >= winner.rule.trigger.priority:
            continue
        if group is not None and _of_group(rule, winner.rule, group):
            reason = _lost(rule, winner.rule, winner.event_id, moment, group=group)
        elif pending.reason == _WAITS_FOR_BETTER and _better(winner.rule, rule):
            reason = _lost(rule, winner.rule, winner.event_id, moment)
        else:
            continue
        lost.append((pending, reason))
    if lost:
        gone = {id(pending) for pending, _ in lost}
        pendings = moment.sending.runs
        moment.sending.runs = [one for one in pendings if id(one) not in gone]
    return lost


def outdone(moment: Moment) -> list[tuple[Run, Refusal]]:
    """Of runs that came together by a merge, those who meet a better one of their group."""
    lost: list[tuple[Run, Refusal]] = []
    stays: list[tuple[Run, Rule]] = []
    live = sorted(_live(moment), key=lambda one: (one[0].held_out, -one[1].trigger.priority))
    for run, rule in live:
        group, priority = rule.trigger.group, rule.trigger.priority
        rival = None
        if group is not None:
            for other, better in stays:
                if _of_group(better, rule, group) and better.trigger.priority >= priority:
                    rival = _lost(rule, better, other.event_id, moment, group=group)
                    break
        if rival is None:
            stays.append((run, rule))
        else:
            lost.append((run, rival))
    return lost


def _live(moment: Moment) -> Iterator[tuple[Run, Rule]]:
    """Runs of triggers that would go on with them: who entered first before the others."""
    for pending in by_age(moment.sending.runs):
        rule = moment.rules.versions.of(pending)
        if rule is not None and not is_held(pending, moment.rules):
            yield pending, rule


def _of_group(other: Rule, one: Rule, group: str) -> bool:
    return other.trigger.group == group and other.trigger.id != one.trigger.id


def _better(other: Rule, one: Rule) -> bool:
    return (
        other.trigger.priority > one.trigger.priority
        and other.trigger.category == one.trigger.category
    )


def _lost(
    loser: Rule, winner: Rule, event_id: str, moment: Moment, *, group: str | None = None
) -> Refusal:
    bonus = moment.bonus
    details: dict[str, Any] = {
        "winner": winner.trigger.id,
        "winner_event_id": event_id,
        "winner_priority": winner.trigger.priority + bonus,
        "priority": loser.trigger.priority + bonus,
    }
    if group is not None:
        details["group"] = group
    return Refusal(outcome=Outcome.ARBITRATION, details=details)
