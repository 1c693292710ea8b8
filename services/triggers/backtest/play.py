"""The production engine over history: events in order of time, timers when they are due."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from services.contracts.control import Answer, Ask, Forward
from services.contracts.decision import Decision
from services.contracts.delivery import Delivery
from services.contracts.errors import Malformed
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine import (
    Outputs,
    PersonState,
    Rules,
    apply_answer,
    apply_ask,
    apply_delivery,
    apply_forward,
    decide,
    new_state,
    wake,
)
from services.triggers.engine.fingerprint import fingerprint
from services.triggers.engine.limits import NEVER

PERCENT: Final = 100

Hear = Callable[[list[Decision]], None]
"""What was decided at one instant for one person; the list is used again afterwards."""


class Play:
    """Every person's state under one set of rules, moved by the engine alone.

    Each send is accepted at the instant at which it is decided, but for `fail_share` percent
    of them, chosen by a hash of their id, which are given up at that instant. Who turn out to
    be one are one at that instant, too.
    """

    def __init__(self, rules: Rules, hear: Hear, *, fail_share: int = 0) -> None:
        self.states: dict[str, PersonState] = {}
        self.out = Outputs()
        self._rules = rules
        self._hear = hear
        self._fail_share = fail_share
        self._timers: list[tuple[Micros, str]] = []
        self._armed: dict[str, Micros] = {}

    def happen(self, event: Event, at: Micros) -> None:
        """Fold one event at `at`, which never goes back; what is due before comes first.

        Raises:
            Malformed: the engine takes no event of this time.
        """
        timers = self._timers
        if timers and timers[0][0] < at:
            self.advance(at)
        person = event.person
        state = self.states.get(person)
        if state is None:
            state = self._new(person)
        state.applied += 1
        decide(state, event, self._rules, at, self.out)
        if self.out.decisions:
            self._told(state, at)
        due = state.wake_at
        if due is not None and due < self._armed.get(person, NEVER):
            self._armed[person] = due
            heappush(timers, (due, person))
        if self.out.hops:
            self._carry(at)

    def advance(self, until: Micros) -> None:
        """Let time pass to just before `until`: everybody's timers, in the order in which
        they are due."""
        timers, armed, out = self._timers, self._armed, self.out
        while timers and timers[0][0] < until:
            at, person = heappop(timers)
            if armed.get(person) != at:
                continue  # armed earlier since
            state = self.states[person]
            due = state.wake_at
            if due is not None and due <= at:
                wake(state, self._rules, at, out)
                if out.decisions:
                    self._told(state, at)
                if out.hops:
                    self._carry(at)
                due = state.wake_at
            if due is None or due >= NEVER:
                del armed[person]
            else:
                armed[person] = due
                heappush(timers, (due, person))

    def one_with(self, people: set[str]) -> set[str]:
        """These people and all who turned out to be one of them: what happens to one of them
        depends on the others, and on nobody else."""
        found, looked_at = set(people), set[str]()
        while found - looked_at:
            for person in found - looked_at:
                looked_at.add(person)
                state = self.states.get(person)
                if state is not None:
                    found |= state.merged.keys()
                    found |= set() if state.merged_into is None else {state.merged_into}
        return found

    def _new(self, person: str) -> PersonState:
        state = self.states[person] = new_state(person)
        # So no profile is ever due: nobody reads it here, and nothing is decided by it.
        state.emitted_at = NEVER
        return state

    def _carry(self, at: Micros) -> None:
        """Bring what goes from one person's log to another's, in the order it was written."""
        out, rules = self.out, self._rules
        hops: deque[Ask | Answer | Forward] = deque()
        while out.hops or hops:
            hops += out.hops
            out.hops.clear()
            hop = hops.popleft()
            state = self.states.get(hop.person) or self._new(hop.person)
            state.applied += 1
            try:
                if isinstance(hop, Ask):
                    apply_ask(state, hop, rules, at, out)
                elif isinstance(hop, Answer):
                    apply_answer(state, hop, rules, at, out)
                else:
                    apply_forward(state, hop, rules, at, out)
            except Malformed:
                continue  # live, a dead letter: forwarded in circles
            if out.decisions:
                self._told(state, at)
            state.emitted_at = NEVER
            out.profiles.clear()
            due = state.wake_at
            if due is not None and due < self._armed.get(hop.person, NEVER):
                self._armed[hop.person] = due
                heappush(self._timers, (due, hop.person))

    def _told(self, state: PersonState, at: Micros) -> None:
        """Deliver what was commanded, then tell what was decided."""
        out = self.out
        while out.commands:
            commands, out.commands = out.commands, []
            for command in commands:
                failed = (
                    self._fail_share and fingerprint(command.send_id) % PERCENT < self._fail_share
                )
                delivery = Delivery(
                    send_id=command.send_id,
                    person=command.person,
                    trigger=command.trigger,
                    channel=command.channel,
                    status="failed" if failed else "accepted",
                    attempts=1,
                    received_at=at,
                )
                apply_delivery(state, delivery, self._rules, at, out)
        out.notices.clear()  # what was sent has been accepted: nothing waits to be taken back
        self._hear(out.decisions)
        out.decisions.clear()
