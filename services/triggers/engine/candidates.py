"""Candidates: one trigger for which something is to be decided in one person now.

Who comes in, who came in and was put off, and who is on a journey and has come to a send.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from services.contracts.decision import Outcome
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.clauses import lookup
from services.triggers.engine.fingerprint import fingerprint_parts, value_text
from services.triggers.engine.limits import (
    DEDUP_KEYS_MAX,
    ENTRIES_MAX,
    NEVER,
    ONCE_KEYS_MAX,
    RUNS_BYTES_MAX,
    RUNS_MAX,
)
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.program import MATCHED, WAIT, WAIT_FOR, SendStep
from services.triggers.engine.rules import Rule, Rules
from services.triggers.engine.state import PersonState, Run, Sending
from services.triggers.engine.waits import decode_properties, encode

WAITS: Final = frozenset({WAIT, WAIT_FOR, MATCHED})


class Candidate(msgspec.Struct, kw_only=True, eq=False):
    """One trigger for which something is to be decided in one person now.

    `run` is set where it entered earlier. It is `entering` until its entry is decided: then
    all checks are made, later those of each send alone. `step` is the number of the step it
    stands at; `deadline` orders candidates of equal priority. `key`, `packed` and `name` are kept
    by `dedup_key`, `packed_properties` and `run_name`, once they are asked for. `held_out` is
    known once the checks came to the holdout.
    """

    rule: Rule
    event_id: str
    properties: dict[str, Any]
    origin_received_at: Micros
    entered_at: Micros
    deadline: Micros
    step: int = 0
    entering: bool = True
    run: Run | None = None
    key: int | None = None
    packed: bytes | None = None
    name: str | None = None
    held_out: bool = False

    @property
    def trigger(self) -> str:
        """The trigger's id, as a run has it."""
        return self.rule.trigger.id

    @property
    def trigger_version(self) -> int:
        """And its version."""
        return self.rule.trigger.version

    @property
    def entered_as(self) -> str:
        """And under which other name they entered, empty where under their own."""
        return "" if self.run is None else self.run.entered_as

    @property
    def send(self) -> SendStep | None:
        """What is to be sent, None for the entry of a journey that begins otherwise."""
        return self.rule.program.send_at(self.step)

    def order(self) -> tuple[int, Micros, str, Micros, str, str]:
        """Candidates of one moment are decided in ascending order: a total one.

        What the person's value adds to the priority is the same for all of them, and so
        changes nothing here.
        """
        trigger = self.rule.trigger
        return (
            -trigger.priority,
            self.deadline,
            trigger.id,
            self.entered_at,
            self.event_id,
            self.entered_as,
        )


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


def entering(event: Event, rules: Iterable[Rule], now: Micros) -> list[Candidate]:
    """Those who come in now by this event, for each of the rules."""
    return [
        coming_in(
            rule,
            now,
            event_id=event.message_id,
            properties=event.properties,
            received_at=event.received_at,
        )
        for rule in rules
    ]


def coming_back(run: Run, rule: Rule) -> Candidate:
    """Somebody whose run is due: put off at a send or an entry, or come to the end of a wait."""
    return Candidate(
        rule=rule,
        event_id=run.event_id,
        properties=decode_properties(run.properties),
        origin_received_at=run.origin_received_at,
        entered_at=run.entered_at,
        deadline=run.expires_at,
        step=run.step,
        entering=is_entry(run),
        run=run,
        packed=run.properties,
        held_out=run.held_out,
    )


def is_entry(run: Run) -> bool:
    """Whether it is the entry that was put off, and nothing of it decided yet."""
    return run.step == 0 and run.reason not in WAITS


def by_age(runs: Iterable[Run]) -> list[Run]:
    """Runs of one person, who entered first before the others: a total order."""
    return sorted(runs, key=_age)


def _age(run: Run) -> tuple[Micros, str, str, str]:
    return run.entered_at, run.trigger, run.event_id, run.entered_as


def by_due(runs: Iterable[Run]) -> list[Run]:
    """Runs of one person in the order in which they are due, then of age."""
    return sorted(runs, key=lambda run: (run.due_at, *_age(run)))


class Moment(msgspec.Struct, kw_only=True, eq=False):
    """The candidates of one event or instant are decided in this: a person at `now`.

    `entered` are those of them that were sent, or newly came in, so far. `at_work` are the
    put-off entries that are decided again and have not had their turn: they keep their places
    among the runs.
    """

    state: PersonState
    sending: Sending
    rules: Rules
    now: Micros
    out: Outputs
    entered: list[Candidate] = []
    at_work: list[Run] = []

    def has_room(self, one: Candidate) -> bool:
        """Whether the person may have one more run."""
        runs = [*self.sending.runs, *self.at_work]
        size = sum(len(run.properties) for run in runs) + len(packed_properties(one))
        return len(runs) < RUNS_MAX and size <= RUNS_BYTES_MAX

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


def packed_properties(one: Candidate) -> bytes:
    """The entry event's properties as a run keeps them."""
    if one.packed is None:
        one.packed = encode(one.properties)
    return one.packed


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


def due_at(run: Run, frees_at: Micros | None) -> Micros:
    """When a put-off candidate is looked at again: free, or expired, whichever comes first."""
    return min(run.expires_at, NEVER if frees_at is None else frees_at)
