"""The checks that each candidate must pass, in order; the first refusal is recorded.

The order is that of the semantics: paused, consent, audience, rollout, dedup, reentry,
holdout, (arbitration,) quiet hours, (merge,) cap; from quiet hours on where there is
something to send. Arbitration comes where those are left whom nothing but the hour and the
caps can keep back: no other makes anybody wait, or takes their place.
"""

from typing import Any, Final

from services.contracts.decision import Outcome
from services.contracts.time import Micros
from services.triggers.engine.arbitration import arbitration
from services.triggers.engine.candidates import (
    Candidate,
    Check,
    Moment,
    Refusal,
    dedup_key,
    key_values,
)
from services.triggers.engine.caps import full, refusal, sends_before
from services.triggers.engine.clauses import Subjects, failing
from services.triggers.engine.consents import CONSENT_TRAIT
from services.triggers.engine.fingerprint import hundredth
from services.triggers.engine.hops import ask_again, open_asks
from services.triggers.engine.limits import ASK_AGAIN_AFTER, RUNS_MAX, SENDS_MAX, SHADOW_SENDS_MAX
from services.triggers.engine.person import calendar_for
from services.triggers.engine.quiet import quiet_until
from services.triggers.engine.rules import PAUSED

TRANSACTIONAL: Final = "transactional"


def _paused(one: Candidate, moment: Moment) -> Refusal | None:
    if one.rule.trigger.status == PAUSED:
        return Refusal(outcome=Outcome.PAUSED, details={})
    if moment.rules.stopped:
        return Refusal(outcome=Outcome.PAUSED, details={"stopped": "all"})
    channel = _stopped_channel(one, moment)
    if channel is None:
        return None
    return Refusal(outcome=Outcome.PAUSED, details={"stopped": channel})


def _stopped_channel(one: Candidate, moment: Moment) -> str | None:
    if one.send is None or one.send.send.channel not in moment.rules.stopped_channels:
        return None
    return one.send.send.channel


def _stopped(one: Candidate, moment: Moment) -> Refusal | None:
    """Whoever came to a send of a channel that is stopped stays there, free to go at once."""
    channel = _stopped_channel(one, moment)
    if channel is None:
        return None
    details = {"stopped": channel}
    return Refusal(outcome=Outcome.PAUSED, details=details, frees_at=moment.now, waits=True)


def _consent(one: Candidate, moment: Moment) -> Refusal | None:
    given = moment.state.traits.get(CONSENT_TRAIT)
    if given is None and not moment.rules.opt_in:
        return None
    category = one.rule.trigger.category
    if category == TRANSACTIONAL:
        return None
    # Who enters otherwise than by a send needs one channel that is open; each send asks again.
    channels = one.rule.program.channels if one.send is None else (one.send.send.channel,)
    refused: Refusal | None = None
    for channel in channels:
        refused = consent_refusal(category, channel, given, moment.rules.opt_in)
        if refused is None:
            break
    return refused


def consent_refusal(category: str, channel: str, given: Any, opt_in: bool) -> Refusal | None:
    """Whether `given`, the trait `consent`, forbids messages of a category by a channel.

    An answer may be for all of a category, all of a channel, or one of both (`sms.marketing`).
    """
    if category == TRANSACTIONAL:
        return None
    # An answer that is none of true, false and null is an answer too, and no consent.
    if given is not None and not isinstance(given, dict):
        return Refusal(outcome=Outcome.CONSENT, details={"refused": CONSENT_TRAIT})
    asked = (category, channel)
    both = f"{channel}.{category}"
    answers = {name: given.get(name) for name in (*asked, both)} if given else {}
    for name, answer in answers.items():
        if answer is not None and answer is not True:
            return Refusal(outcome=Outcome.CONSENT, details={"refused": name})
    if True in answers.values() or not opt_in:
        return None
    return Refusal(outcome=Outcome.CONSENT, details={"missing": list(asked)})


def _audience(one: Candidate, moment: Moment) -> Refusal | None:
    rule, state, rules, now = one.rule, moment.state, moment.rules, moment.now
    if rule.audience is None or rule.audience_holds is None:
        return None
    if rule.audience_holds(one.properties, state, now):
        return None
    subjects = Subjects(one.properties, state.traits, lambda tag: rules.read_tag[tag](state, now))
    return Refusal(
        outcome=Outcome.AUDIENCE, details=failing(rule.audience, subjects, "audience") or {}
    )


def _rollout(one: Candidate, moment: Moment) -> Refusal | None:
    trigger, person = one.rule.trigger, moment.state.person
    if trigger.rollout == 100 or person in moment.rules.test_people:
        return None
    place = hundredth("rollout", trigger.id, person)
    if place < trigger.rollout:
        return None
    return Refusal(outcome=Outcome.ROLLOUT, details={"place": place, "percent": trigger.rollout})


def _entered_by_another(one: Candidate, entered_at: Micros | None) -> bool:
    # What a put-off candidate finds of its own entry is no reason against it.
    return entered_at is not None and (one.run is None or entered_at != one.entered_at)


def _dedup(one: Candidate, moment: Moment) -> Refusal | None:
    entered_at = moment.sending.dedup_keys.get(dedup_key(one))
    if entered_at is None or not _entered_by_another(one, entered_at):
        return None
    until = entered_at + one.rule.dedup_window
    if moment.now >= until:
        return None
    details = {"entered_at": entered_at, "until": until, "key": key_values(one) or {}}
    return Refusal(outcome=Outcome.DEDUP, details=details, frees_at=until)


def _reentry(one: Candidate, moment: Moment) -> Refusal | None:
    trigger = one.rule.trigger
    mode = trigger.reentry.mode
    if mode == "always":
        return None
    details: dict[str, Any] = {"mode": mode}
    if mode == "once_per_key":
        entered_at = moment.sending.once_keys.get(dedup_key(one))
        details["key"] = key_values(one) or {}
    else:
        entered_at = moment.sending.entries.get(trigger.id)
    if entered_at is None or not _entered_by_another(one, entered_at):
        return None
    details["entered_at"] = entered_at
    if mode == "cooldown":
        until = entered_at + (one.rule.cooldown or 0)
        if moment.now >= until:
            return None
        details["until"] = until
        return Refusal(outcome=Outcome.REENTRY, details=details, frees_at=until)
    return Refusal(outcome=Outcome.REENTRY, details=details)


def repeats(one: Candidate, moment: Moment) -> Refusal | None:
    """Whether it is refused for what entered before."""
    return _dedup(one, moment) or _reentry(one, moment)


def _holdout(one: Candidate, moment: Moment) -> Refusal | None:
    """Refuses nobody: it tells the checks after it, and the send, who is held out."""
    trigger, person = one.rule.trigger, moment.state.person
    one.held_out = (
        trigger.holdout > 0
        and person not in moment.rules.test_people
        and hundredth("holdout", trigger.id, person) < trigger.holdout
    )
    return None


def _quiet_hours(one: Candidate, moment: Moment) -> Refusal | None:
    if one.send is None or one.send.quiet is None:
        return None
    zone = calendar_for(moment.state, moment.rules).zone
    until = quiet_until(one.send.quiet, zone, moment.now)
    if until is None:
        return None
    return Refusal(
        outcome=Outcome.QUIET_HOURS,
        details={"zone": zone, "until": until},
        frees_at=until,
        waits=one.rule.trigger.in_quiet_hours == "defer",
    )


def _merge(one: Candidate, moment: Moment) -> Refusal | None:
    """As long as anybody is asked for, nobody knows all the sends that the caps count."""
    if not moment.state.asking or one.send is None or not one.send.caps:
        return None
    asked = open_asks(moment.state)
    if not asked:
        return None
    ask_again(moment.state, moment.now, moment.out)
    return Refusal(
        outcome=Outcome.MERGE,
        details={"asked": asked},
        frees_at=moment.now + ASK_AGAIN_AFTER,
        waits=True,
    )


def _cap(one: Candidate, moment: Moment) -> Refusal | None:
    if one.send is None or not one.send.caps:
        return None
    caps = one.send.caps
    sending, rules, now, held_out = moment.sending, moment.rules, moment.now, one.held_out
    sends = sends_before(sending, held_out=held_out)
    capped = refusal(sends, caps, now, calendar_for(moment.state, rules))
    if capped is not None:
        details = {
            "policy": capped.policy,
            "count": capped.count,
            "limit": capped.limit,
            "frees_at": capped.frees_at,
        }
        waits = one.rule.trigger.when_capped.action == "defer"
        return Refusal(outcome=Outcome.CAP, details=details, frees_at=capped.frees_at, waits=waits)
    if full(sending, rules.caps, now, held_out=held_out):
        limit = SHADOW_SENDS_MAX if held_out else SENDS_MAX
        details = {"policy": "sends_max", "count": len(sends), "limit": limit}
        return Refusal(outcome=Outcome.CAP, details=details)
    return None


def _room(one: Candidate, moment: Moment) -> Refusal | None:
    """Whoever begins a journey needs a place among the runs to its end."""
    if one.run is not None or not one.rule.program.is_journey or moment.has_room(one):
        return None
    count = len(moment.sending.runs) + len(moment.at_work)
    details = {"policy": "runs_max", "count": count, "limit": RUNS_MAX}
    return Refusal(outcome=Outcome.CAP, details=details)


ENTRY_CHECKS: Final[tuple[Check, ...]] = (
    _paused,
    _consent,
    _audience,
    _rollout,
    _dedup,
    _reentry,
    _holdout,
    arbitration,
    _quiet_hours,
    _merge,
    _cap,
    _room,
)
SEND_CHECKS: Final[tuple[Check, ...]] = (_stopped, _consent, _quiet_hours, _merge, _cap)
"""Of each send of a journey, once its entry is decided. A holdout was drawn there."""


def first_refusal(one: Candidate, moment: Moment) -> Refusal | None:
    """The first check that refuses, None where all pass."""
    for check in ENTRY_CHECKS if one.entering else SEND_CHECKS:
        refused = check(one, moment)
        if refused is not None:
            return refused
    return None
