"""Why a person did or did not get a trigger: from the records, then from what is stored.

What was decided is told from the decision records alone. Where nothing was decided, the entry
is evaluated again on the events given and the profile as it is stored, clause by clause. Same
arguments, same explanation.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from services.contracts.decision import CANCELLED, Decision, Outcome
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.explain_entry import (
    Finding,
    of_audience,
    of_events,
    of_exit,
    of_values,
)
from services.triggers.engine.explain_steps import (
    label_at,
    last_run,
    of_missed,
    of_runs,
    places_of,
    rule_of,
)
from services.triggers.engine.explain_texts import decision_text, instant
from services.triggers.engine.limits import NEVER
from services.triggers.engine.rules import Rule, Rules, entry_kind
from services.triggers.engine.sensors import DUE
from services.triggers.engine.state import PersonState, decode_state, encode_state
from services.triggers.engine.still import slot_of

DECISIONS_TOLD_MAX: Final = 20
"""The newest; how many there are is always told."""
_DONE: Final = frozenset({Outcome.SENT, Outcome.OFFERED, Outcome.HANDED_OFF})


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer for one person and one trigger, the profile being that of `as_of`.

    `verdict`: `put_off` or `under_way` where a run waits, else the outcome of the newest
    decision, else `waiting`, `not_reached` (of a step that was asked for),
    `entry_not_matched`, `no_event` (none given concerns the entry), `no_record` (the entry
    matches now and yet nothing was decided) or `not_decided` (the trigger is not in force).
    """

    person: str
    trigger: str
    as_of: Micros
    revision: int
    verdict: str
    sentence: str
    decisions: int = 0
    findings: tuple[Finding, ...] = ()


def explain(
    state: PersonState,
    trigger_id: str,
    rules: Rules,
    decisions: Iterable[Decision],
    now: Micros,
    events: Sequence[Event] = (),
    *,
    step: int | None = None,
) -> Explanation:
    """Say why this person did or did not get a trigger, as far as `now`.

    `decisions` may be those of any person and trigger, in the order of their log; `events`
    are the person's last, oldest first. With `step`, a number counted through all steps from
    0 on, it is of that step alone, where somebody has come in. Nothing given is changed.
    """
    # Reading a tag lets go of what has left its window: a copy does.
    state = decode_state(encode_state(state))
    now = max(now, state.now)
    recorded = _recorded(state.person, trigger_id, decisions)
    findings = [_of_decision(one, rules) for one in recorded[-DECISIONS_TOLD_MAX:]]
    rule = rules.triggers.get(trigger_id)
    if rule is None:
        status = rules.statuses.get(trigger_id, "unknown")
        told = "there is no such trigger" if status == "unknown" else f"the trigger is {status}"
        verdict, sentence = "not_decided", f"{told}: it decides nothing"
        findings.append(Finding(kind="status", sentence=sentence, details={"status": status}))
    else:
        under_way = list(of_runs(state, trigger_id, rules, events, now))
        walked = [one for one in recorded if CANCELLED not in one.details]
        missed = list(of_missed(last_run(walked), rules, under_way))
        waiting = [*under_way, *_waiting(state, rule, rules)]
        entry = [*of_events(state, rule, rules, events, now), *of_values(state, rule, rules, now)]
        findings += [*waiting, *missed, *([] if recorded else entry)]
        findings += of_exit(state, rule, rules, events, now)
        findings += of_audience(state, rule, rules, events, now)
        verdict, sentence = _verdict(recorded, waiting, entry, rules)
        if step is not None and (last := last_run(recorded)):
            told_of = [*(_of_decision(one, rules) for one in last), *under_way, *missed]
            findings = [one for one in told_of if one.step == step]
            verdict, sentence = _of_step(step, findings, last[-1])
    return Explanation(
        person=state.person,
        trigger=trigger_id,
        as_of=now,
        revision=rules.revision,
        verdict=verdict,
        sentence=f"{trigger_id} for {state.person}: {sentence}",
        decisions=len(recorded),
        findings=tuple(findings),
    )


def _recorded(person: str, trigger_id: str, decisions: Iterable[Decision]) -> list[Decision]:
    """The records that concern them, once each: a restart writes some again, the same."""
    found: dict[bytes, Decision] = {}
    for one in decisions:
        if one.person == person and one.trigger == trigger_id:
            found.setdefault(msgspec.json.encode(one), one)
    return sorted(found.values(), key=lambda one: one.now)


def _of_decision(one: Decision, rules: Rules) -> Finding:
    return Finding(
        kind="decision",
        sentence=_text_of(one, rules),
        at=one.now,
        event_id=one.event_id,
        outcome=str(one.outcome),
        step=one.step,
        holds=one.outcome in _DONE,
        details=one.details,
    )


def _text_of(one: Decision, rules: Rules) -> str:
    """What a record says, with its step where there is more than one."""
    rule = rule_of(rules, one.trigger, one.trigger_version)
    if one.outcome is Outcome.ENTERED or rule is None or not rule.program.is_journey:
        return decision_text(one)
    return decision_text(one, label_at(places_of(rule), one.step))


def _of_step(step: int, findings: list[Finding], last: Decision) -> tuple[str, str]:
    """The verdict on one step of the last run: what waits at it, else what is told of it last."""
    for one in findings:
        if one.kind in ("put_off", "under_way") and one.event_id == last.event_id:
            return one.kind, one.sentence
        if one.kind == "step":
            return "not_reached", one.sentence
    for one in reversed(findings):
        if one.outcome is not None:
            return one.outcome, one.sentence
    return "not_reached", f"version {last.trigger_version} has no step {step}"


def _verdict(
    recorded: list[Decision], waiting: list[Finding], entry: list[Finding], rules: Rules
) -> tuple[str, str]:
    for kind in ("put_off", "under_way"):
        found = next((one for one in waiting if one.kind == kind), None)
        if found is not None:
            return kind, found.sentence
    if recorded:
        return str(recorded[-1].outcome), _text_of(recorded[-1], rules)
    value = next((one for one in entry if one.kind == "value" and one.holds is False), None)
    awaited = next((one for one in waiting if one.at is not None), None)
    if awaited is not None and value is None:
        return "waiting", awaited.sentence
    return _of_entry(entry)


def _of_entry(entry: list[Finding]) -> tuple[str, str]:
    """What the entry lacks: its first place that no event and no value satisfies."""
    places: dict[str, list[Finding]] = {}
    for one in entry:
        places.setdefault(one.place, []).append(one)
    for told in places.values():
        if not any(one.holds for one in told):
            newest = told[-1]
            known = newest.holds is not None
            return "entry_not_matched" if known else "no_event", newest.sentence
    if len(places) > 1:
        parts = "every part of the entry is there: not in this order, in time and with one key"
        return "entry_not_matched", parts
    if places:
        return "no_record", "the entry matches as things stand now, and nothing is recorded of it"
    return "no_event", "its entry asks for no event, and it was not their turn yet"


def _waiting(state: PersonState, rule: Rule, rules: Rules) -> Iterator[Finding]:
    kind = entry_kind(rule.trigger.entry)
    if kind is None:
        return
    details = {kind: msgspec.to_builtins(getattr(rule.trigger.entry, kind))}
    for key, (other, _) in rules.sensors.items():
        if other.trigger.id != rule.trigger.id:
            continue
        slot = slot_of(state, key)
        due = NEVER if slot is None else slot[DUE]
        if due < NEVER:
            sentence = f"the entry ({kind}) has begun and is looked at again at {instant(due)}"
            yield Finding(kind="waiting", sentence=sentence, at=due, details=details)
        else:
            begun = "has not begun" if slot is None else "waits for no instant"
            yield Finding(
                kind="waiting", sentence=f"the entry ({kind}) {begun} for them", details=details
            )
