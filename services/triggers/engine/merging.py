"""Two people turn out to be one: the three records by which one takes in the other.

B asks A, A answers with its whole state and is from then on an address that forwards to B, B
takes the state in. While anybody is asked for, B holds sends that are under caps. Every call
leaves `wake_at` as the others do. docs/decisions/0007-merging-people.md says why so.
"""

import msgspec

from services.contracts.codec import decode_answer, decode_delivery, decode_event
from services.contracts.command import Moved
from services.contracts.control import Answer, Ask, Forward
from services.contracts.decision import Outcome
from services.contracts.errors import Malformed
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate
from services.triggers.engine.decide import (
    OTHER_PERSON,
    adopt_rules,
    apply_delivery,
    conclude,
    decide,
)
from services.triggers.engine.grouping import pass_time
from services.triggers.engine.hops import (
    answered,
    ask_on,
    forward_again,
    forward_answer,
    is_for_ring,
    is_new,
    is_repeated,
    open_asks,
)
from services.triggers.engine.limits import (
    ALIASES_MAX,
    HANDED_BYTES_MAX,
    INSTANT_MAX,
    MERGED_MAX,
)
from services.triggers.engine.merge_states import merge_states
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import moved
from services.triggers.engine.recalls import review
from services.triggers.engine.rules import Rules
from services.triggers.engine.sensing import watch
from services.triggers.engine.state import (
    NO_REVISION,
    PersonState,
    decode_state,
    encode_state,
    new_state,
)

_HELD = Outcome.MERGE.value


def apply_ask(state: PersonState, ask: Ask, rules: Rules, now: Micros, out: Outputs) -> None:
    """Somebody says to be this person too: hand everything over, unless another has it.

    Of two who ask each other the one with the lesser id hands over; the other waits for that.

    Raises:
        Malformed: `bad_time`, as `decide`.
    """
    now = _begin(state, ask.person, now)
    if is_repeated(state, ask):
        return
    if state.merged_into is not None:
        state.now = now
        if (ask.by, ask.at) != (state.merged_into, state.handed_at):
            _answer(state, ask.by, None, now, out)
        return
    for asked in state.asking:
        if asked.person == ask.by and not asked.answered and ask.by < state.person:
            asked.wanted_at = ask.at
            return
    _hand_over(state, ask, rules, now, out)


def apply_answer(
    state: PersonState, answer: Answer, rules: Rules, now: Micros, out: Outputs
) -> None:
    """Who was asked has answered: take in what they were, or learn that they are another.

    Raises:
        Malformed: `bad_time`, as `decide`, or the state cannot be read.
    """
    now = _begin(state, answer.person, now)
    handed = _handed(answer)
    if not is_new(state, answer.source, answer.position):
        return
    if state.merged_into is not None and not is_for_ring(state, answer, ()):
        forward_answer(state, answer, now, out)
        return
    _take(state, answer, handed, rules, now, out)


def apply_forward(
    state: PersonState, forward: Forward, rules: Rules, now: Micros, out: Outputs
) -> None:
    """Something came for one whom the person took in: it happens to the person.

    Raises:
        Malformed: what `decide` and the others raise, or the record cannot be read.
    """
    now = _begin(state, forward.person, now)
    source, position = forward.source, forward.position
    if position <= state.merged.get(source, -1):
        return
    answer = decode_answer(forward.body) if forward.kind == "answer" else None
    if state.merged_into is not None and (
        answer is None or not is_for_ring(state, answer, forward.path)
    ):
        forward_again(state, forward, now, out)
        is_new(state, source, position)
        return
    if answer is not None:
        handed = _handed(answer)
        is_new(state, source, position)
        state.merged.setdefault(answer.source, -1)
        _take(state, answer, handed, rules, now, out)
        return
    if forward.kind == "event":
        event = msgspec.structs.replace(decode_event(forward.body), person=state.person)
        decide(state, event, rules, now, out)
    else:
        delivery = msgspec.structs.replace(decode_delivery(forward.body), person=state.person)
        apply_delivery(state, delivery, rules, now, out)
    is_new(state, source, position)


def _begin(state: PersonState, person: str, now: Micros) -> Micros:
    if person != state.person:
        raise ValueError(OTHER_PERSON)
    if not 0 <= now < INSTANT_MAX:
        raise Malformed("bad_time", "an instant outside 1970 to 2100")
    return max(now, state.now)


def _handed(answer: Answer) -> PersonState | None:
    return None if answer.state is None else decode_state(answer.state)


def _answer(
    state: PersonState, person: str, handed: bytes | None, now: Micros, out: Outputs
) -> None:
    out.hops.append(
        Answer(
            person=person,
            source=state.person,
            at=now,
            position=state.applied,
            state=handed,
        )
    )


def _hand_over(state: PersonState, ask: Ask, rules: Rules, now: Micros, out: Outputs) -> bool:
    """Answer with all that is known, and be nothing but an address from now on.

    False, and nothing is changed, where that is too much for a record.
    """
    kept, to = state.asking, ask.by
    # Of two who ask each other the one that hands over does not wait for the other.
    state.asking = [one for one in kept if one.person != to or one.answered]
    whole = encode_state(state)
    if len(whole) > HANDED_BYTES_MAX:
        state.asking = kept
        _answer(state, to, None, now, out)
        return False
    for asked in state.asking:
        if asked.wanted_at is not None:
            _answer(state, asked.person, None, now, out)
    _answer(state, to, whole, now, out)
    state.now = now
    state.merged_into = to
    moved(state, rules, out)
    out.notices.append(Moved(person=state.person, into=to, at=now))
    kept_fields = {
        "v": state.v,
        "person": state.person,
        "applied": state.applied,
        "now": state.now,
        "merged_into": to,
        "merged": state.merged,
        "handed_at": ask.at,
    }
    blank = new_state(state.person)
    for name in PersonState.__struct_fields__:
        setattr(state, name, kept_fields.get(name, getattr(blank, name)))
    return True


def _take(
    state: PersonState,
    answer: Answer,
    handed: PersonState | None,
    rules: Rules,
    now: Micros,
    out: Outputs,
) -> None:
    """Go on as both, or without them.

    Who stands for a ring stays an address, and decides nothing under a cap, until all that was
    handed over in the ring is here: whatever else goes round comes after the state it is for.
    """
    asked = answered(state, answer.source, answer.person)
    wanted_at = None if asked is None else asked.wanted_at
    if handed is None and wanted_at is not None:
        wanted = Ask(person=state.person, by=answer.source, at=wanted_at)
        if _hand_over(state, wanted, rules, now, out):
            return
    if handed is not None:
        now = max(now, handed.now)
    state.now = now
    begun = adopt_rules(state, rules, now, out) if state.revision != rules.revision else []
    if now >= state.next_due:
        begun += pass_time(state, rules, now, out)
    if handed is not None:
        begun += _bring_up(handed, rules, now)
        # What was not answered then never is: we are the one they asked for.
        met = answer.source if wanted_at is not None else None
        ask_on(state, [one for one in handed.asking if (one.person, one.by) != (state.person, met)])
        _remember(state, handed, answer.source)
        begun += merge_states(state, handed, rules, now, out)
        review(state, rules, now, out)
        state.changed = True
    whole = not open_asks(state)
    if whole:
        if state.merged_into is not None:
            out.notices.append(Moved(person=state.person, into=state.person, at=now))
        state.merged_into = state.handed_at = None
        for run in state.sending.runs if state.sending is not None else ():
            if run.reason == _HELD:
                run.due_at = now
    conclude(state, rules, now, out, begun)
    if not whole and state.merged_into is not None:
        state.revision = NO_REVISION


def _bring_up(handed: PersonState, rules: Rules, now: Micros) -> list[Candidate]:
    """Let what was handed over come to this time and these rules, by itself."""
    handed.now = now
    begun = adopt_rules(handed, rules, now, None) if handed.revision != rules.revision else []
    return begun + watch(handed, rules, now)


def _remember(state: PersonState, handed: PersonState, source: str) -> None:
    """Whom they took in is taken in here, by way of them."""
    others = {one: -1 for one in handed.merged if one != state.person}
    others.update(state.merged)
    while len(others) > MERGED_MAX:
        del others[next(iter(others))]
    state.merged = others
    known = dict.fromkeys((*state.aliases, *handed.aliases, source))
    known.pop(state.person, None)
    state.aliases = tuple(known)[:ALIASES_MAX]
