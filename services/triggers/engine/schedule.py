"""By the calendar, for everybody: `entry.schedule`."""

from services.contracts.event import Event
from services.contracts.time import Micros, parse_duration
from services.triggers.engine.conditions import compile_test
from services.triggers.engine.cron import parse_cron
from services.triggers.engine.fingerprint import fingerprints_behind
from services.triggers.engine.limits import NEVER
from services.triggers.engine.sensors import DUE, Entered, Making, Sensed
from services.triggers.engine.state import PersonState, Slot


class ScheduleSensor:
    """Slot: `[due]`, the next time and the person's own share of the spread after it.

    Whom the audience does not let in then is no candidate: of those who are, each leaves a
    record, and a schedule concerns everybody each time.
    """

    hears: frozenset[str] = frozenset()
    for_everyone = for_blank = True

    def __init__(self, making: Making) -> None:
        trigger, entry = making.trigger, making.trigger.entry.schedule
        assert entry is not None
        self._cron = parse_cron(entry.cron)
        self._zone = entry.time_zone or making.calendar.zone
        self._spread = 1 if entry.spread is None else parse_duration(entry.spread)
        # Of all instants from the one to the other the next time is the other.
        self._since = self._until = NEVER
        self._place = fingerprints_behind(["spread", trigger.id])
        self._send_within = parse_duration(trigger.send_within)
        audience = trigger.audience
        self._lets_in = None if audience is None else compile_test(audience, making.read_tag)

    def hear(
        self, slot: Slot | None, state: PersonState, event: Event, at: Micros, late: bool
    ) -> Sensed:
        """It listens to nothing."""
        return slot, ()

    def look(self, slot: Slot | None, state: PersonState, now: Micros) -> Sensed:
        """Of several times that were missed, one is made up for: the first that is no more
        than `send_within` ago."""
        shift = self._place(state.person) % self._spread
        following = self._slot(self._next(now - shift), shift)
        if slot is None:
            return following, ()
        time = max(slot[DUE] - shift, self._next(now - shift - self._send_within))
        if time + shift > now:
            return following, ()
        if self._lets_in is not None and not self._lets_in({}, state, now):
            return following, ()
        entered = Entered(event_id=f"schedule@{time}", properties={}, origin_received_at=now)
        return following, (entered,)

    def merge(
        self, slot: Slot | None, other: Slot | None, state: PersonState, now: Micros
    ) -> Sensed:
        """It is for each person once: their own time stays."""
        return slot, ()

    def _next(self, after: Micros) -> Micros:
        # Remembered, which changes no answer: nearly everybody waits for the same time.
        if not self._since <= after < self._until:
            until = self._cron.next_after(after, self._zone)
            self._since = min(after, self._since) if until == self._until else after
            self._until = until
        return self._until

    def _slot(self, time: Micros, shift: int) -> Slot | None:
        return None if time == NEVER else [time + shift]
