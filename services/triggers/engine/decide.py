"""The engine's three calls: an event happened, a delivery came back, time passed.

Each changes the person's state in place, puts what follows from it into the outputs, and
leaves `wake_at` None or later than `now`. All is decided by state, input, rules and `now`.
"""

from services.contracts.delivery import Delivery
from services.contracts.errors import Malformed
from services.contracts.event import ALIAS, FUTURE_TOLERANCE, IDENTIFY, TRACK, Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, entering
from services.triggers.engine.cleaning import report_duplicate
from services.triggers.engine.concerned import UNCONCERNED
from services.triggers.engine.dedup import first_time
from services.triggers.engine.exits import leave
from services.triggers.engine.fingerprint import fingerprint
from services.triggers.engine.grouping import find_place, let_go, look_soon, pass_time, regroup
from services.triggers.engine.hops import forward_delivery, forward_event
from services.triggers.engine.journey import match_waits
from services.triggers.engine.limits import INSTANT_MAX, NEVER, SNAPSHOT_EVERY
from services.triggers.engine.outliers import keep_known
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import absorb, snapshot
from services.triggers.engine.reactions import NO_REACTION
from services.triggers.engine.recalls import heard, review
from services.triggers.engine.rules import Rules
from services.triggers.engine.sending import release, settle
from services.triggers.engine.sensing import adopt, come_in, look, next_due, stir
from services.triggers.engine.state import NO_REVISION, PersonState

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
    cleaner, both, react, hear, awaited = rules.concerned.get(event.name, UNCONCERNED)
    faults = None
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
        begun = adopt_rules(state, rules, now, out)
    if not first_time(state, event.message_id, now, rules):
        _come_again(state, event, rules, now, out, begun)
        return
    kind, late = event.type, at < now - rules.late_after
    out.counts["late" if late else "alias" if kind == ALIAS else outcome] += 1
    if faults is not None:
        event = rules.quality.weigh(state, event, faults, at, now, out)
    if now >= state.next_due:
        begun = (begun or []) + pass_time(state, rules, now, out)
    # What nearly every event says of the person; `absorb` takes in all of it.
    last_seen_at = state.last_seen_at
    if (
        last_seen_at is None
        or at < last_seen_at
        or event.context
        or kind != TRACK
        or state.user_id is None
        or event.anonymous_id is not None
    ):
        absorb(state, event, at, out)
        if kind == IDENTIFY:
            review(state, rules, now, out)
    else:
        state.last_seen_at = at
    state.changed = True
    if both is not None:
        found, came = both(event.properties, state, at, now, late, out, event)
    else:
        found, crossed = NO_REACTION
        if react is not None:
            found, crossed = react(event.properties, state, at, now, late, out)
        if awaited:
            begun = _heed(state, event, rules, at, now, late, out, begun or [])
        came = () if hear is None else hear(state, event, at, now, late, crossed)
    for rule, entered in came:
        begun = (begun or []) + come_in(rule, entered, now)
    wake_at, due_at = state.emitted_at + SNAPSHOT_EVERY, state.next_due
    if wake_at > due_at:
        wake_at = due_at
    if found or begun or now >= wake_at or awaited:
        candidates = (begun or []) + (entering(event, found, now) if found else [])
        if rules.groups is not None:
            candidates = regroup(state, event, rules, now, out, candidates, late=late)
        conclude(state, rules, now, out, candidates)
    else:
        state.wake_at = wake_at


def _heed(
    state: PersonState,
    event: Event,
    rules: Rules,
    at: Micros,
    now: Micros,
    late: bool,
    out: Outputs,
    begun: list[Candidate],
) -> list[Candidate]:
    """Runs in progress: some end with this event, others have waited for it."""
    begun = leave(state, event, rules, now, out, begun)
    if not late:
        match_waits(state, event, rules, at, now)
    return begun


def _come_again(
    state: PersonState,
    event: Event,
    rules: Rules,
    now: Micros,
    out: Outputs,
    begun: list[Candidate] | None,
) -> None:
    """A duplicate: it moves the person's time, and nothing else."""
    out.counts["duplicate"] += 1
    report_duplicate(event, state.applied, now, out)
    conclude(state, rules, now, out, begun)


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
    now, begun = _advance(state, rules, now, out)
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
    if sending is not None:
        heard(sending, key)
    conclude(state, rules, now, out, begun)


def wake(state: PersonState, rules: Rules, now: Micros, out: Outputs) -> None:
    """Time passed: decide what is due and hand out a profile that was put off."""
    if state.merged_into is not None:
        state.wake_at = None
        return
    now, begun = _advance(state, rules, now, out)
    conclude(state, rules, now, out, begun)


def _advance(
    state: PersonState, rules: Rules, now: Micros, out: Outputs
) -> tuple[Micros, list[Candidate] | None]:
    now = max(now, state.now)
    state.now = now
    return now, adopt_rules(state, rules, now, out) if state.revision != rules.revision else None


def adopt_rules(
    state: PersonState, rules: Rules, now: Micros, out: Outputs | None
) -> list[Candidate]:
    """Go over to another revision of the definitions; gives whoever comes in by that alone.

    Tags that are gone, or aggregate something else now, take their data with them. What is under
    way and not wanted any more is taken back, unless this is not yet the one who asked (None).
    """
    state.tags = {key: data for key, data in state.tags.items() if key in rules.tags}
    is_new, state.revision = state.revision == NO_REVISION, rules.revision
    state.seen_until = 0
    if rules.shown is None:
        state.shown = None
    keep_known(state, rules.quality.known)
    state.changed = True
    if out is not None:
        review(state, rules, now, out)
    let_go(state, rules)
    begun = [] if out is None else pass_time(state, rules, now, out)
    find_place(state, rules, now, is_new=is_new)
    return begun + adopt(state, rules, now)


def conclude(
    state: PersonState,
    rules: Rules,
    now: Micros,
    out: Outputs,
    candidates: list[Candidate] | None,
) -> None:
    """Decide the candidates and what is due, hand out a profile that is, say when to wake."""
    if now >= state.next_due:
        candidates = (candidates or []) + pass_time(state, rules, now, out)
        candidates += look(state, rules, now)
        if rules.shown is not None:
            rules.shown.look(state, now)
            state.next_due = next_due(state, rules)
    runs = () if state.sending is None else state.sending.runs
    if candidates or runs:
        if candidates or any(run.due_at <= now for run in runs):
            traits = state.traits
            settle(state, candidates or [], rules, now, out)
            if state.traits is not traits:
                stir(state, rules, now)
                if rules.groups is not None:
                    look_soon(state, now)
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
