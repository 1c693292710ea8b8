"""The engine's three calls: an event happened, a delivery came back, time passed.

Each changes the person's state in place, puts what follows from it into the outputs, and
leaves `wake_at` None or later than `now`. All is decided by state, input, rules and `now`.
"""

from services.contracts.delivery import Delivery
from services.contracts.errors import Malformed
from services.contracts.event import ALIAS, FUTURE_TOLERANCE, TRACK, Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, coming_in
from services.triggers.engine.cleaning import report_duplicate
from services.triggers.engine.dedup import first_time
from services.triggers.engine.exits import leave
from services.triggers.engine.fingerprint import fingerprint
from services.triggers.engine.hops import forward_delivery, forward_event
from services.triggers.engine.journey import match_waits
from services.triggers.engine.limits import INSTANT_MAX, NEVER, SNAPSHOT_EVERY
from services.triggers.engine.outliers import keep_known
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import absorb, snapshot
from services.triggers.engine.rules import Rule, Rules
from services.triggers.engine.sending import release, settle
from services.triggers.engine.sensing import adopt, hear, look, next_due, watch
from services.triggers.engine.state import PersonState

OTHER_PERSON = "a state was given a record of another person"


def decide(  # noqa: C901  (hot: written out)
    state: PersonState, event: Event, rules: Rules, now: Micros, out: Outputs
) -> None:
    """Fold one event: deduplicate, update tags, decide what is due and what it triggers.

    `now` is the time of the record in the log; the person's own time never goes back.

    Raises:
        Malformed: `bad_time`, an instant outside 1970 to 2100, or `impossible`, a value that a
            rule of cleaning refuses. Nothing was changed.
    """
    if event.person != state.person:
        raise ValueError(OTHER_PERSON)
    at, outcome = event.occurred_at, "applied"
    if at > event.received_at + FUTURE_TOLERANCE:
        at, outcome = event.received_at, "clamped"
    if not (0 <= now < INSTANT_MAX and -INSTANT_MAX < at < INSTANT_MAX):
        raise Malformed("bad_time", "an instant outside 1970 to 2100")
    cleaner, faults = rules.quality.cleaners.get(event.name), None
    if cleaner is not None and state.merged_into is None:
        event, faults = cleaner.clean(event, state.traits)
    if now < state.now:
        now = state.now
    state.now = now
    begun = None
    if state.revision != rules.revision:
        if state.merged_into is not None:
            forward_event(state, event, now, out)
            return
        begun = adopt_rules(state, rules, now)
    if not first_time(state, event.message_id, now, rules):
        out.counts["duplicate"] += 1
        report_duplicate(event, state.applied, now, out)
        conclude(state, rules, now, out, begun)
        return
    late = at < now - rules.late_after
    if late:
        outcome = "late"
    elif event.type == ALIAS:
        outcome = "alias"
    out.counts[outcome] += 1
    if faults is not None:
        event = rules.quality.weigh(state, event, faults, at, now, out)
    # What nearly every event says of the person; `absorb` takes in all of it.
    last_seen_at = state.last_seen_at
    if (
        last_seen_at is None
        or at < last_seen_at
        or event.context
        or event.type != TRACK
        or state.user_id is None
        or event.anonymous_id is not None
    ):
        absorb(state, event, at, out)
    else:
        state.last_seen_at = at
    state.changed = True
    due_at = state.next_due
    if now >= due_at:
        begun = (begun or []) + watch(state, rules, now)
        due_at = state.next_due
    react = rules.reactions.get(event.name)
    found = react and react(event.properties, state, at, now, late, out)
    wake_at = state.emitted_at + SNAPSHOT_EVERY
    if wake_at > due_at:
        wake_at = due_at
    if found or begun or now >= wake_at or event.name in rules.hearing:
        candidates = begun or []
        if event.name in rules.hearing:
            candidates = leave(state, event, rules, now, out, candidates)
            if not late:
                match_waits(state, event, rules, at, now)
            candidates += hear(state, event, rules, at, now, late=late)
        if found:
            candidates += _entering(event, found, now)
        conclude(state, rules, now, out, candidates)
    else:
        state.wake_at = wake_at


def apply_delivery(
    state: PersonState, delivery: Delivery, rules: Rules, now: Micros, out: Outputs
) -> None:
    """Commit a reservation that was accepted, release one that failed.

    The first verdict on a send stands; applying it again, or one on an unknown send,
    changes nothing.

    Raises:
        Malformed: `bad_time`, as `decide`.
    """
    if delivery.person != state.person:
        raise ValueError(OTHER_PERSON)
    if not 0 <= now < INSTANT_MAX:
        raise Malformed("bad_time", "an instant outside 1970 to 2100")
    if state.merged_into is not None:
        forward_delivery(state, delivery, max(now, state.now), out)
        return
    now, begun = _advance(state, rules, now)
    sending, key = state.sending, fingerprint(delivery.send_id)
    for sent in sending.sends if sending is not None else ():
        if sent.key == key and not sent.accepted:
            assert sending is not None
            if delivery.status == "accepted":
                sent.accepted = True
                sending.accepted += 1
                sending.last_message_at = now
            else:
                sending.sends.remove(sent)
                sending.failed += 1
                release(state, sending, rules, now)
            state.changed = True
            break
    conclude(state, rules, now, out, begun)


def wake(state: PersonState, rules: Rules, now: Micros, out: Outputs) -> None:
    """Time passed: decide what is due and hand out a profile that was put off."""
    if state.merged_into is not None:
        state.wake_at = None
        return
    now, begun = _advance(state, rules, now)
    conclude(state, rules, now, out, begun)


def _advance(
    state: PersonState, rules: Rules, now: Micros
) -> tuple[Micros, list[Candidate] | None]:
    now = max(now, state.now)
    state.now = now
    return now, adopt_rules(state, rules, now) if state.revision != rules.revision else None


def adopt_rules(state: PersonState, rules: Rules, now: Micros) -> list[Candidate]:
    """Go over to another revision of the definitions; gives whoever comes in by that alone.

    Tags that are gone, or aggregate something else now, take their data with them.
    """
    state.tags = {key: data for key, data in state.tags.items() if key in rules.tags}
    state.revision = rules.revision
    state.seen_until = 0
    keep_known(state, rules.quality.known)
    state.changed = True
    return adopt(state, rules, now)


def _entering(event: Event, rules: tuple[Rule, ...], now: Micros) -> list[Candidate]:
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


def conclude(
    state: PersonState,
    rules: Rules,
    now: Micros,
    out: Outputs,
    candidates: list[Candidate] | None,
) -> None:
    """Decide the candidates and what is due, hand out a profile that is, say when to wake."""
    if now >= state.next_due:
        candidates = (candidates or []) + look(state, rules, now)
    runs = () if state.sending is None else state.sending.runs
    if candidates or runs:
        if candidates or any(run.due_at <= now for run in runs):
            settle(state, candidates or [], rules, now, out)
        state.next_due = next_due(state, rules)
    wake_at = None
    if state.changed:
        wake_at = state.emitted_at + SNAPSHOT_EVERY
        if now >= wake_at:
            snapshot(state, rules, now, out)
            wake_at = None
    if state.next_due < NEVER:
        wake_at = state.next_due if wake_at is None else min(wake_at, state.next_due)
    state.wake_at = wake_at
