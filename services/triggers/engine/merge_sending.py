"""What came of two people's candidates, brought together: sends, entries and runs.

Of two entries that one person would not have had both, the later one's run ends: it is
refused now by what it would have met then. What was sent before stays sent.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from services.contracts.decision import Outcome
from services.contracts.time import Micros
from services.triggers.engine.arbitration import outdone
from services.triggers.engine.candidates import (
    Moment,
    Refusal,
    by_age,
    coming_back,
    dedup_key,
)
from services.triggers.engine.caps import join_sends
from services.triggers.engine.checks import repeats
from services.triggers.engine.limits import (
    DEDUP_KEYS_MAX,
    ENTRIES_MAX,
    ONCE_KEYS_MAX,
    OPENS_MAX,
    RUNS_BYTES_MAX,
    RUNS_MAX,
    SENDS_MAX,
    SHADOW_SENDS_MAX,
)
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.recalls import displaced_with
from services.triggers.engine.records import told
from services.triggers.engine.rules import Rules
from services.triggers.engine.state import PersonState, Run, Sending


def merge_sending(
    state: PersonState, other: PersonState, rules: Rules, now: Micros, out: Outputs
) -> None:
    """Take in what came of the other's candidates; runs that end by it leave their records."""
    mine, theirs = state.sending, other.sending
    if theirs is None:
        return
    if mine is None:
        mine = state.sending = Sending()
    moment = Moment(state=state, sending=mine, rules=rules, now=now, out=out)
    for run in theirs.runs:
        run.entered_as = run.entered_as or other.person
    repeated = [
        *_repeated(mine, theirs, moment, of_other=False),
        *_repeated(theirs, mine, moment, of_other=True),
    ]
    for one in theirs.opens:
        one.entered_as = one.entered_as or other.person
    mine.runs += theirs.runs
    mine.opens = sorted([*mine.opens, *theirs.opens], key=lambda one: one.until)[-OPENS_MAX:]
    mine.sends = join_sends(mine.sends, theirs.sends, rules.caps, now, SENDS_MAX)
    mine.shadow = join_sends(mine.shadow, theirs.shadow, rules.caps, now, SHADOW_SENDS_MAX)
    for run, refused in repeated:
        _end(run, refused, moment)
    mine.dedup_keys = _later(mine.dedup_keys, theirs.dedup_keys, DEDUP_KEYS_MAX)
    mine.once_keys = _later(mine.once_keys, theirs.once_keys, ONCE_KEYS_MAX)
    mine.entries = _later(mine.entries, theirs.entries, ENTRIES_MAX)
    lost = outdone(moment)
    displaced_with(lost, moment)
    for run, refused in lost:
        _end(run, refused, moment)
    for run in _too_many(mine):
        details = {"policy": "runs_max", "count": len(mine.runs), "limit": RUNS_MAX}
        _end(run, Refusal(outcome=Outcome.CAP, details=details), moment)
    mine.accepted += theirs.accepted
    mine.failed += theirs.failed
    times = [one for one in (mine.last_message_at, theirs.last_message_at) if one is not None]
    mine.last_message_at = max(times, default=None)


def _end(run: Run, refused: Refusal, moment: Moment) -> None:
    moment.sending.runs = [one for one in moment.sending.runs if one is not run]
    told(run, refused.outcome, refused.details, moment)


def _repeated(
    sending: Sending, known: Sending, moment: Moment, *, of_other: bool
) -> Iterator[tuple[Run, Refusal]]:
    """Runs that would not have been entered, had it been known what the other had entered.

    Forgets their entries: only those that stand are measured from.
    """
    for run in by_age(sending.runs):
        rule = moment.rules.versions.of(run)
        if rule is None:
            continue
        one, entered_at = coming_back(run, rule), run.entered_at
        one.run = None
        key, trigger = dedup_key(one), run.trigger
        # Of two at one instant the person's own goes before the other's.
        before = entered_at + of_other
        met = Sending(
            dedup_keys=_at(known.dedup_keys, key, before),
            once_keys=_at(known.once_keys, key, before),
            entries=_at(known.entries, trigger, before),
        )
        then = msgspec.structs.replace(moment, sending=met, now=entered_at)
        refused = repeats(one, then)
        if refused is not None:
            yield run, refused
            _forget(sending.dedup_keys, key, entered_at)
            _forget(sending.once_keys, key, entered_at)
            _forget(sending.entries, trigger, entered_at)


def _forget(kept: dict[Any, Micros], name: Any, at: Micros) -> None:
    if kept.get(name) == at:
        del kept[name]


def _at(kept: Mapping[Any, Micros], name: Any, before: Micros) -> dict[Any, Micros]:
    at = kept.get(name, before)
    return {name: at} if at < before else {}


def _later(
    mine: Mapping[Any, Micros], theirs: Mapping[Any, Micros], bound: int
) -> dict[Any, Micros]:
    """The later instant of each, oldest first."""
    both = dict(mine)
    for name, at in theirs.items():
        both[name] = max(at, both.get(name, at))
    latest = sorted(both.items(), key=lambda one: one[1])[-bound:]
    return dict(latest)


def _too_many(sending: Sending) -> list[Run]:
    """Runs past the bound: who entered last has no place."""
    size, kept = 0, 0
    over = []
    for run in by_age(sending.runs):
        if kept >= RUNS_MAX or size + len(run.properties) > RUNS_BYTES_MAX:
            over.append(run)
        else:
            kept += 1
            size += len(run.properties)
    return over
