"""Candidates: one trigger that may send to one person now, and what refuses or enters one."""

from collections.abc import Callable
from typing import Any

import msgspec

from services.contracts.decision import Outcome
from services.contracts.time import Micros
from services.triggers.engine.clauses import lookup
from services.triggers.engine.fingerprint import fingerprint_parts, value_text
from services.triggers.engine.limits import (
    DEDUP_KEYS_MAX,
    ENTRIES_MAX,
    NEVER,
    ONCE_KEYS_MAX,
)
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.rules import Rule, Rules
from services.triggers.engine.state import PersonState, Run, Sending


class Candidate(msgspec.Struct, kw_only=True, eq=False):
    """One trigger that may send to one person now.

    `run` is set where it entered earlier and was put off; `deadline` orders candidates
    of equal priority. `key` is kept by `dedup_key`, once it is asked for. `held_out` is known
    once the checks came to the holdout.
    """

    rule: Rule
    event_id: str
    properties: dict[str, Any]
    origin_received_at: Micros
    entered_at: Micros
    deadline: Micros
    run: Run | None = None
    key: int | None = None
    held_out: bool = False

    @property
    def trigger(self) -> str:
        """The trigger's id, as a put-off send has it."""
        return self.rule.trigger.id

    @property
    def trigger_version(self) -> int:
        """And its version."""
        return self.rule.trigger.version

    def order(self) -> tuple[int, Micros, str, Micros, str]:
        """Candidates of one moment are decided in ascending order: a total one.

        What the person's value adds to the priority is the same for all of them, and so
        changes nothing here.
        """
        trigger = self.rule.trigger
        return (-trigger.priority, self.deadline, trigger.id, self.entered_at, self.event_id)


def coming_in(
    rule: Rule, now: Micros, *, event_id: str, properties: dict[str, Any], received_at: Micros
) -> Candidate:
    """Somebody who comes in now, by an event received at that time."""
    return Candidate(
        rule=rule,
        event_id=event_id,
        properties=properties,
        origin_received_at=received_at,
        entered_at=now,
        deadline=now + rule.send_within,
    )


class Moment(msgspec.Struct, kw_only=True, eq=False):
    """The candidates of one event or instant are decided in this: a person at `now`.

    `entered` are those of them that were sent or put off so far, best first.
    """

    state: PersonState
    sending: Sending
    rules: Rules
    now: Micros
    out: Outputs
    entered: list[Candidate] = []

    @property
    def bonus(self) -> int:
        """What the person's value adds to every priority."""
        tiers = self.rules.value_tiers
        if tiers is None:
            return 0
        tier = lookup(self.state.traits, tiers.trait)
        return tiers.bonuses.get(tier, 0) if isinstance(tier, str) else 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A check said no. `frees_at`: when it would say yes, if it is known to; `waits`: the
    candidate is to be put off until then."""

    outcome: Outcome
    details: dict[str, Any]
    frees_at: Micros | None = None
    waits: bool = False


Check = Callable[[Candidate, Moment], Refusal | None]


def key_values(one: Candidate) -> dict[str, Any] | None:
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
        values = key_values(one)
        if values is None:
            parts = ["event", one.event_id]
        else:
            parts = ["key"]
            for path, value in values.items():
                parts += [path, value_text(value)]
        one.key = fingerprint_parts([one.rule.trigger.id, *parts])
    return one.key


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


def due_at(pending: Run, frees_at: Micros | None) -> Micros:
    """When a put-off candidate is looked at again: free, or expired, whichever comes first."""
    return min(pending.expires_at, NEVER if frees_at is None else frees_at)
