"""Candidates and the checks each must pass, in order; the first refusal is recorded.

The order is that of the semantics: paused, consent, audience, rollout, dedup, reentry,
holdout, quiet hours, cap. A check that does not exist yet is simply not in `CHECKS`.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from services.contracts.decision import Outcome
from services.contracts.time import Micros
from services.triggers.engine.caps import full, refusal
from services.triggers.engine.clauses import Subjects, failing, lookup
from services.triggers.engine.fingerprint import fingerprint_parts, value_text
from services.triggers.engine.limits import (
    DEDUP_KEYS_MAX,
    ENTRIES_MAX,
    NEVER,
    ONCE_KEYS_MAX,
    SENDS_MAX,
)
from services.triggers.engine.person import calendar_for
from services.triggers.engine.rules import Rule, Rules
from services.triggers.engine.state import Pending, PersonState, Sending


class Candidate(msgspec.Struct, kw_only=True, eq=False):
    """One trigger that may send to one person now.

    `pending` is set where it entered earlier and was put off; `deadline` orders candidates
    of equal priority. `key` is kept by `dedup_key`, once it is asked for.
    """

    rule: Rule
    event_id: str
    properties: dict[str, Any]
    origin_received_at: Micros
    entered_at: Micros
    deadline: Micros
    pending: Pending | None = None
    key: int | None = None

    def order(self) -> tuple[int, Micros, str, Micros, str]:
        """Candidates of one moment are decided in ascending order: a total one."""
        trigger = self.rule.trigger
        return (-trigger.priority, self.deadline, trigger.id, self.entered_at, self.event_id)


class Refusal(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A check said no. `frees_at`: when it would say yes, if it is known to."""

    outcome: Outcome
    details: dict[str, Any]
    frees_at: Micros | None = None


Check = Callable[[Candidate, PersonState, Sending, Rules, Micros], Refusal | None]


def _paused(
    one: Candidate, state: PersonState, sending: Sending, rules: Rules, now: Micros
) -> Refusal | None:
    if one.rule.trigger.status != "paused":
        return None
    return Refusal(outcome=Outcome.PAUSED, details={})


def _audience(
    one: Candidate, state: PersonState, sending: Sending, rules: Rules, now: Micros
) -> Refusal | None:
    rule = one.rule
    if rule.audience is None or rule.audience_holds is None:
        return None
    if rule.audience_holds(one.properties, state.traits, state.tags, now):
        return None
    subjects = Subjects(
        one.properties, state.traits, lambda tag: rules.read_tag[tag](state.tags, now)
    )
    return Refusal(
        outcome=Outcome.AUDIENCE, details=failing(rule.audience, subjects, "audience") or {}
    )


def _key_values(one: Candidate) -> dict[str, Any] | None:
    """Values of the dedup key's properties, None where one is missing (or none is asked)."""
    paths = one.rule.trigger.dedup.key
    if not paths:
        return None
    values = {path: lookup(one.properties, path) for path in paths}
    scalars = all(isinstance(value, str | int | float | bool) for value in values.values())
    return values if scalars else None


def dedup_key(one: Candidate) -> int:
    """Fingerprint of trigger and key; without a key (or a value of it) of the event's id."""
    if one.key is None:
        values = _key_values(one)
        if values is None:
            parts = ["event", one.event_id]
        else:
            parts = ["key"]
            for path, value in values.items():
                parts += [path, value_text(value)]
        one.key = fingerprint_parts([one.rule.trigger.id, *parts])
    return one.key


def _entered_by_another(one: Candidate, entered_at: Micros | None) -> bool:
    # What a put-off candidate finds of its own entry is no reason against it.
    return entered_at is not None and (one.pending is None or entered_at != one.entered_at)


def _dedup(
    one: Candidate, state: PersonState, sending: Sending, rules: Rules, now: Micros
) -> Refusal | None:
    entered_at = sending.dedup_keys.get(dedup_key(one))
    if entered_at is None or not _entered_by_another(one, entered_at):
        return None
    until = entered_at + one.rule.dedup_window
    if now >= until:
        return None
    details = {"entered_at": entered_at, "until": until, "key": _key_values(one) or {}}
    return Refusal(outcome=Outcome.DEDUP, details=details, frees_at=until)


def _reentry(
    one: Candidate, state: PersonState, sending: Sending, rules: Rules, now: Micros
) -> Refusal | None:
    trigger = one.rule.trigger
    mode = trigger.reentry.mode
    if mode == "always":
        return None
    details: dict[str, Any] = {"mode": mode}
    if mode == "once_per_key":
        entered_at = sending.once_keys.get(dedup_key(one))
        details["key"] = _key_values(one) or {}
    else:
        entered_at = sending.entries.get(trigger.id)
    if entered_at is None or not _entered_by_another(one, entered_at):
        return None
    details["entered_at"] = entered_at
    if mode == "cooldown":
        until = entered_at + (one.rule.cooldown or 0)
        if now >= until:
            return None
        details["until"] = until
        return Refusal(outcome=Outcome.REENTRY, details=details, frees_at=until)
    return Refusal(outcome=Outcome.REENTRY, details=details)


def _cap(
    one: Candidate, state: PersonState, sending: Sending, rules: Rules, now: Micros
) -> Refusal | None:
    caps = one.rule.caps
    if not caps:
        return None
    capped = refusal(sending.sends, caps, now, calendar_for(state, rules))
    if capped is not None:
        details = {
            "policy": capped.policy,
            "count": capped.count,
            "limit": capped.limit,
            "frees_at": capped.frees_at,
        }
        return Refusal(outcome=Outcome.CAP, details=details, frees_at=capped.frees_at)
    if full(sending, rules.caps, now):
        details = {"policy": "sends_max", "count": len(sending.sends), "limit": SENDS_MAX}
        return Refusal(outcome=Outcome.CAP, details=details)
    return None


CHECKS: Final[tuple[Check, ...]] = (_paused, _audience, _dedup, _reentry, _cap)


def first_refusal(
    one: Candidate, state: PersonState, sending: Sending, rules: Rules, now: Micros
) -> Refusal | None:
    """The first check that refuses, None where all pass."""
    for check in CHECKS:
        refused = check(one, state, sending, rules, now)
        if refused is not None:
            return refused
    return None


def _remember(kept: dict[Any, Micros], key: Any, at: Micros, bound: int) -> None:
    # Taken out first, so that the order of the dict stays the order of entry.
    kept.pop(key, None)
    kept[key] = at
    if len(kept) > bound:
        del kept[next(iter(kept))]


def enter(one: Candidate, sending: Sending) -> None:
    """Record the entry that dedup and re-entry are measured from."""
    key, at = dedup_key(one), one.entered_at
    _remember(sending.dedup_keys, key, at, DEDUP_KEYS_MAX)
    mode = one.rule.trigger.reentry.mode
    if mode == "once_per_key":
        _remember(sending.once_keys, key, at, ONCE_KEYS_MAX)
    elif mode != "always":
        _remember(sending.entries, one.rule.trigger.id, at, ENTRIES_MAX)


def due_at(pending: Pending, frees_at: Micros | None) -> Micros:
    """When a put-off candidate is looked at again: free, or expired, whichever comes first."""
    return min(pending.expires_at, NEVER if frees_at is None else frees_at)
