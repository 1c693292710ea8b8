"""The production engine over history: events in order of time, timers when they are due."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from services.contracts.decision import Decision
from services.contracts.delivery import Delivery
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine import (
    Outputs,
    PersonState,
    Rules,
    apply_delivery,
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
    of them, chosen by a hash of their id, which are given up at that instant.
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
            state = new_state(person)
            # So no profile is ever due: nobody reads it here, and nothing is decided by it.
            state.emitted_at = NEVER
            self.states[person] = state
        decide(state, event, self._rules, at, self.out)
        if self.out.decisions:
            self._told(state, at)
        due = state.wake_at
        if due is not None and due < self._armed.get(person, NEVER):
            self._armed[person] = due
            heappush(timers, (due, person))

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
                due = state.wake_at
            if due is None or due >= NEVER:
                del armed[person]
            else:
                armed[person] = due
                heappush(timers, (due, person))

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
        self._hear(out.decisions)
        out.decisions.clear()
