"""Between two people's logs: asking for one, and being nothing but a forwarding address.

A link between two logs keeps the order in which it was written to, and may say again what it
said: each hop bears the place in its maker's log, and what is no later than the last is a
repetition. So along each link, and along every chain of them, all arrives once and in order.
"""

from collections.abc import Iterable
from typing import Final, Literal

from services.contracts.codec import encode_event, encode_hop, encode_json
from services.contracts.control import HOPS_MAX, Answer, Ask, Forward
from services.contracts.delivery import Delivery
from services.contracts.errors import Malformed
from services.contracts.event import PERSON_CHARS_MAX, Event
from services.contracts.time import Micros
from services.triggers.engine.limits import ASK_AGAIN_AFTER, ASKED_MAX, ASKING_MAX, MERGED_MAX
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.state import Asked, PersonState

_RESERVED: Final = "\x00"
"""Nobody's id begins with it."""


def ask_for(state: PersonState, other: str, out: Outputs) -> None:
    """The person turned out to be `other` too: ask for what is known of them, once."""
    asked = open_asks(state)
    if other == state.person or other in state.merged or other in asked:
        return
    if not 0 < len(other) <= PERSON_CHARS_MAX or other.startswith(_RESERVED):
        return
    if len(asked) >= ASKING_MAX:
        return  # SDKs say again who somebody is, whenever they log in
    state.asking.append(Asked(person=other, by=state.person, at=state.now))
    out.hops.append(Ask(person=other, by=state.person, at=state.now, position=state.applied))


def ask_again(state: PersonState, now: Micros, out: Outputs) -> None:
    """Ask once more for those who have not answered for long: sends wait for that."""
    for asked in state.asking:
        if not asked.answered and now >= asked.at + ASK_AGAIN_AFTER:
            asked.at = now
            source = None if asked.by == state.person else state.person
            out.hops.append(
                Ask(
                    person=asked.person,
                    by=asked.by,
                    at=now,
                    source=source,
                    position=state.applied,
                )
            )


def open_asks(state: PersonState) -> list[str]:
    """Those who have yet to answer."""
    return [asked.person for asked in state.asking if not asked.answered]


def answered(state: PersonState, person: str, by: str) -> Asked | None:
    """An answer came: what was waiting for it waits no longer, or will not begin to."""
    for asked in state.asking:
        if (asked.person, asked.by, asked.answered) == (person, by, False):
            state.asking.remove(asked)
            return asked
    state.asking.append(Asked(person=person, by=by, at=state.now, answered=True))
    return None


def ask_on(state: PersonState, handed: Iterable[Asked]) -> None:
    """Wait for those, too, whom another asked who was taken in: the answers are forwarded."""
    for theirs in handed:
        met = (theirs.person, theirs.by, not theirs.answered)
        for mine in state.asking:
            if (mine.person, mine.by, mine.answered) == met:
                state.asking.remove(mine)
                break
        else:
            theirs.wanted_at = None
            state.asking.append(theirs)
    # Those that nobody waits for are the first to be forgotten.
    while len(state.asking) > ASKED_MAX:
        state.asking.remove(min(state.asking, key=lambda one: (not one.answered, one.at)))


def is_repeated(state: PersonState, ask: Ask) -> bool:
    """Whether something of later was folded from the log of the one who asks.

    It was heard when it came first, then: whoever asked and has been taken in since would take
    everything back by it, and each of the two lead to the other.
    """
    return 0 <= ask.position <= state.merged.get(ask.source or ask.by, -1)


def is_new(state: PersonState, source: str, position: int) -> bool:
    """Whether a hop of `source` was not folded before; it is remembered then."""
    merged = state.merged
    if position <= merged.get(source, -1):
        return False
    merged.pop(source, None)
    merged[source] = position
    if len(merged) > MERGED_MAX:
        del merged[next(iter(merged))]
    return True


def forward_event(state: PersonState, event: Event, now: Micros, out: Outputs) -> None:
    """Hand on an event that came for one who is somebody else now."""
    out.counts["forwarded"] += 1
    _forward(state, "event", encode_event(event), (), now, out)


def forward_delivery(state: PersonState, delivery: Delivery, now: Micros, out: Outputs) -> None:
    """Hand on what became of a send to one who is somebody else now."""
    _forward(state, "delivery", encode_json(delivery), (), now, out)


def forward_answer(state: PersonState, answer: Answer, now: Micros, out: Outputs) -> None:
    """Hand on what one was asking for who is somebody else now."""
    _forward(state, "answer", encode_hop(answer), (), now, out)


def forward_again(state: PersonState, forward: Forward, now: Micros, out: Outputs) -> None:
    """Hand on what was handed on before.

    Raises:
        Malformed: `too_many_hops`; the state is as it was.
    """
    _forward(state, forward.kind, forward.body, forward.path, now, out)


def _forward(
    state: PersonState,
    kind: Literal["event", "delivery", "answer"],
    body: bytes,
    path: tuple[str, ...],
    now: Micros,
    out: Outputs,
) -> None:
    person, target = state.person, state.merged_into
    assert target is not None
    if person not in path:
        if len(path) >= HOPS_MAX:
            raise Malformed("too_many_hops", "a record was forwarded too often")
        path = (*path, person)
    elif not _leads_on(path, person, target):
        path = (person,)  # it was taken another way then: the ring is not the same any more
    state.now = now
    out.hops.append(
        Forward(
            person=target,
            source=person,
            at=now,
            position=state.applied,
            kind=kind,
            body=body,
            path=path,
        )
    )


def is_for_ring(state: PersonState, answer: Answer, path: tuple[str, ...]) -> bool:
    """Whether addresses lead in a ring, and this is the one to take that in for all in it.

    People who ask each other in a ring may all answer, and nobody is left to take it in. What
    was handed over goes round until the least id of the ring takes it; from then on that one
    takes every state that comes, and a no once it has gone all the way round: no state can be
    under way before it then. Only a state begins that: with nothing known, an event would be
    decided as if nothing had been sent.
    """
    person, target = state.person, state.merged_into
    round_ = person in path
    if target is None or open_asks(state):
        return answer.state is not None or round_
    if answer.state is None or not round_:
        return False
    return person == min(path[path.index(person) :]) and _leads_on(path, person, target)


def _leads_on(path: tuple[str, ...], person: str, target: str) -> bool:
    after = path.index(person) + 1
    return after == len(path) or path[after] == target
