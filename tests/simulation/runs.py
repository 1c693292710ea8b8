"""Judges runs by their records: each begins once, goes only forward, and ends, or is still there.

A candidate is over with its first decision that puts nothing off; one that goes on a journey
with a record that ends it.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import Bundle, Trigger
from services.contracts.event import FUTURE_TOLERANCE, Event
from services.contracts.steps import WaitFor
from services.contracts.time import DAY, parse_duration
from tests.engine.reference_walk import in_order, is_journey
from tests.simulation.reference import Happened

_BEGIN = {Outcome.ENTERED, Outcome.SENT, Outcome.WOULD_HAVE_SENT}
_END = {
    Outcome.ENDED,
    Outcome.EXIT,
    Outcome.PAUSED,
    Outcome.ARBITRATION,
    Outcome.DEDUP,
    Outcome.REENTRY,
}
"""What ends a run that has begun: its own end, its trigger's, another's that is better."""


def version_of(bundle: Bundle, id_: str, version: int) -> Trigger | None:
    """A version of a trigger that people can be under way in."""
    for trigger in (*bundle.triggers, *bundle.pinned):
        if (trigger.id, trigger.version) == (id_, version):
            return trigger
    return None


def is_decided(bundle: Bundle, id_: str) -> bool:
    """Whether the trigger, as it is now, does anything at all."""
    return any(one.id == id_ and one.status in ("live", "paused") for one in bundle.triggers)


def _ends_it(one: Decision) -> bool:
    if one.outcome in _END:
        return True
    # A version that is gone; a place that merged people have no room for.
    return "missing" in one.details or one.details.get("policy") == "runs_max"


def ends_of(decided: Sequence[Decision], trigger: Trigger | None) -> list[Decision]:
    """The records with which a candidate is over: there has to be one, or it still waits."""
    final = [one for one in decided if "deferred_until" not in one.details]
    if trigger is None or not is_journey(trigger) or not final or final[0].outcome not in _BEGIN:
        return final
    return [one for one in final[1:] if _ends_it(one)]


def goes_forward(decided: Sequence[Decision]) -> Iterator[str]:
    """Step after step, each once, under one version and name, and nothing after the end."""
    names = {(one.trigger_version, one.run_id) for one in decided if one.run_id is not None}
    if len(names) > 1:
        yield f"goes under several names: {names}"
    final = [one for one in decided if "deferred_until" not in one.details]
    steps = [one.step for one in final if one.outcome is not Outcome.ENTERED and not _ends_it(one)]
    if any(later <= earlier for earlier, later in pairwise(steps)):
        yield f"does not go forward: {steps}"
    for before, after in pairwise(decided):
        if before.outcome is Outcome.ENDED:
            yield f"went on after its end with {after.outcome}"


def waits_kept(
    decided: Sequence[tuple[int, Decision]], trigger: Trigger, events: Sequence[Happened]
) -> Iterator[str]:
    """Nobody goes on before the time is over or what is awaited came, or misses what came."""
    steps = list(in_order(trigger.steps))
    by_id = {event.message_id: event for _, _, event in events}
    entry = by_id.get(decided[0][1].event_id)
    for (began, _), (went_on, one) in pairwise(decided):
        step = steps[one.step]
        if one.outcome is not Outcome.STEPPED:
            continue
        if step.wait is not None:
            lasts = 0 if step.wait.for_ is None else parse_duration(step.wait.for_)
            if one.now < one.details["since"] + lasts:
                yield f"step {one.step} did not wait"
        elif step.wait_for is not None and entry is not None:
            came = [
                (began < at < went_on, event.message_id)
                for at, _, event in events
                if began <= at <= went_on and _is_awaited(event, step.wait_for, entry, one)
            ]
            yield from (f"step {one.step} {told}" for told in _awaited(one, step.wait_for, came))


def _awaited(one: Decision, wanted: WaitFor, came: list[tuple[bool, str]]) -> Iterator[str]:
    """`came` says of each event whether it surely came while the run waited: in the records
    in which the wait began and ended it may have come before or after it."""
    if one.details["way"] == "then":
        if one.details["matched_event_id"] not in [id_ for _, id_ in came]:
            yield "went on by an event that is not awaited"
        return
    if one.now < one.details["since"] + parse_duration(wanted.within):
        yield "timed out too early"
    missed = [id_ for surely, id_ in came if surely]
    if missed:
        yield f"timed out though {missed} came"


def _is_awaited(event: Event, wanted: WaitFor, entry: Event, one: Decision) -> bool:
    since, received = one.details["since"], event.received_at
    own = received if event.occurred_at > received + FUTURE_TOLERANCE else event.occurred_at
    in_time = since <= own <= since + parse_duration(wanted.within) and own >= received - DAY
    same = all(event.properties.get(k) == entry.properties.get(k) for k in wanted.key)
    return event.name in wanted.events and in_time and same
