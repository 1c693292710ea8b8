"""The checks of the second engine: who is refused by what, asked of all that ever happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.contracts.conditions import Condition
from services.contracts.decision import Outcome
from services.contracts.definitions import Bundle, Trigger
from services.contracts.steps import Send
from services.contracts.time import HOUR, Micros, parse_duration
from tests.engine.oracle import OneSend, counted, counts, day_bounds, local, period_name
from tests.engine.reference_values import (
    Line,
    Made,
    Person,
    Refused,
    Run,
    consents,
    holds,
    of_key,
    place,
)
from tests.engine.reference_walk import sends

HALF_HOUR = HOUR // 2


@dataclass(kw_only=True)
class Checks:
    """One person under a bundle. Clock times of quiet hours have to be full or half hours.

    `waiting` are the runs that wait, as long as they do; `at_work` those that do not at the
    moment, `passed` who was sent or came in at it so far.
    """

    bundle: Bundle
    person: Person
    now: Micros = 0
    made: list[Made] = field(default_factory=list)
    entries: list[Run] = field(default_factory=list)
    waiting: list[Run] = field(default_factory=list)
    at_work: list[Run] = field(default_factory=list)
    passed: list[Run] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def refusal(self, one: Run, trigger: Trigger) -> Refused | None:
        """All checks in their order; of a run that has begun those that each send has to pass."""
        if one.begun:
            channel = self.asks(one, trigger).channel
            if not self.agrees(trigger, channel):
                return Refused(outcome=Outcome.CONSENT)
            return self.night(trigger, channel) or self.full(one, trigger, channel)
        if self.status(one) == "paused":
            return Refused(outcome=Outcome.PAUSED)
        first = trigger.steps[0].send
        asked = [send.channel for send in ([first] if first else sends(trigger.steps))]
        if asked and not any(self.agrees(trigger, channel) for channel in asked):
            return Refused(outcome=Outcome.CONSENT)
        if trigger.audience is not None and not self.holds(trigger.audience, one.properties):
            return Refused(outcome=Outcome.AUDIENCE)
        tested = self.person.id in self.bundle.workspace.test_people
        if not tested and place("rollout", one.trigger, self.person.id) >= trigger.rollout:
            return Refused(outcome=Outcome.ROLLOUT)
        refused = self.again(one, trigger)
        if refused is not None:
            return refused
        mine = place("holdout", one.trigger, self.person.id)
        one.held_out = not tested and mine < trigger.holdout
        conflict = self.conflict(one, trigger)
        if conflict is not None or first is None:
            return conflict
        return self.night(trigger, first.channel) or self.full(one, trigger, first.channel)

    def agrees(self, trigger: Trigger, channel: str) -> bool:
        opt_in = self.bundle.workspace.consent == "opt_in"
        given = self.person.traits.get("consent")
        return consents(given, opt_in, trigger.category, channel)

    def again(self, one: Run, trigger: Trigger) -> Refused | None:
        """What an earlier entry of the same trigger, or with the same key, forbids."""
        mine = [other for other in self.entries if other.trigger == one.trigger]
        key, window = self.key(one, trigger), parse_duration(trigger.dedup.window)
        latest = [other for other in mine if other.entered_as == key][-1:]
        if any(other is not one and self.now < other.at + window for other in latest):
            return Refused(outcome=Outcome.DEDUP)
        others = [other for other in [o for o in mine if o.measured][-1:] if other is not one]
        cooldown = parse_duration(trigger.reentry.cooldown or "1s")
        cooling = any(self.now < other.at + cooldown for other in others)
        mode = trigger.reentry.mode
        if (mode == "once" and others) or (mode == "cooldown" and cooling):
            return Refused(outcome=Outcome.REENTRY)
        return None

    def conflict(self, one: Run, trigger: Trigger) -> Refused | None:
        """Exclusive groups first, then the wait for a better one."""
        there = [other for other in self.passed if one.held_out or not other.held_out]
        live = [other for other in self.live() if one.held_out or not other.held_out]
        if trigger.group is not None:
            rivals = [*there, *(o for o in live if self.priority(o) >= trigger.priority)]
            for other in rivals:
                same_group = self.known(other).group == trigger.group
                if same_group and other.trigger != one.trigger:
                    return Refused(outcome=Outcome.ARBITRATION, winner=other.trigger)
        if trigger.arbitration_window is None or one.put_off:
            return None
        for other in there:
            if self.better(other, one):
                return Refused(outcome=Outcome.ARBITRATION, winner=other.trigger)
        again_at = self.now + parse_duration(trigger.arbitration_window)
        return Refused(outcome=Outcome.ARBITRATION, again_at=again_at)

    def night(self, trigger: Trigger, channel: str) -> Refused | None:
        """Half an hour after the other, until the clock shows no quiet hour."""
        end = self.now
        while trigger.category != "transactional" and self.is_quiet(channel, end):
            end += HALF_HOUR - end % HALF_HOUR
        if end == self.now:
            return None
        waits = trigger.in_quiet_hours == "defer"
        return Refused(outcome=Outcome.QUIET_HOURS, again_at=end if waits else None)

    def is_quiet(self, channel: str, moment: Micros) -> bool:
        """What the person's clock shows, against what is written down."""
        shown = local(moment, self.zone()).strftime("%H:%M")
        for one in self.bundle.workspace.quiet_hours:
            over_midnight = one.start > one.end
            after, before = shown >= one.start, shown < one.end
            inside = (after or before) if over_midnight else (after and before)
            if inside and (not one.channels or channel in one.channels):
                return True
        return False

    def full(self, one: Run, trigger: Trigger, channel: str) -> Refused | None:
        """Caps over what stands, and for who is held out also over what was kept back."""
        frees_at = self.room_at(one, trigger, channel)
        if frees_at == self.now:
            return None
        waits = trigger.when_capped.action == "defer"
        return Refused(outcome=Outcome.CAP, again_at=frees_at if waits else None)

    def room_at(self, one: Run, trigger: Trigger, channel: str) -> Micros:
        """The first instant with room under every policy, if nothing else is sent."""
        wanted = OneSend(
            at=self.now, decided=0, trigger=one.trigger, channel=channel, category=trigger.category
        )
        there = [
            made.send
            for made in self.made
            if not made.given_up and (one.held_out or not made.held_out)
        ]
        free = self.now
        for policy in self.bundle.policies:
            if not counts(policy, wanted):
                continue
            at = self.now
            while len(counted(policy, there, at, self.zone())) >= policy.limit:
                if policy.window in ("day", "week", "month"):
                    at = self.next_period(policy.window, at)
                else:
                    span = parse_duration(policy.window)
                    at = min(send.at + span for send in there if send.at + span > at)
            free = max(free, at)
        return free

    def next_period(self, window: str, now: Micros) -> Micros:
        """Day after day, until it is another day, week or month."""
        at = now
        while period_name(window, at, self.zone()) == period_name(window, now, self.zone()):
            at = day_bounds(local(at, self.zone()).date(), self.zone())[1]
        return at

    # Looking things up.

    def definition(self, one: Run) -> Trigger | None:
        """The version a run entered on: today's, or one that is kept for those who did."""
        for trigger in (*self.bundle.triggers, *self.bundle.pinned):
            if (trigger.id, trigger.version) == (one.trigger, one.version):
                return trigger
        return None

    def known(self, one: Run) -> Trigger:
        trigger = self.definition(one)
        assert trigger is not None
        return trigger

    def status(self, one: Run) -> str:
        """What the trigger is today, whatever the version of the run."""
        today = [trigger.status for trigger in self.bundle.triggers if trigger.id == one.trigger]
        return today[0] if today else "removed"

    def is_decided(self, one: Run) -> bool:
        return self.status(one) in ("live", "paused")

    def asks(self, one: Run, trigger: Trigger) -> Send:
        """The send at which a run stands."""
        send = (trigger.steps[0] if one.stop is None else one.stop.step).send
        assert send is not None
        return send

    def live(self) -> list[Run]:
        """Who keeps a place in a group: all that wait, and the begun wherever they are."""
        runs = [*self.waiting, *(one for one in self.at_work if one.begun)]
        return [
            one
            for one in sorted(runs, key=Run.age)
            if self.status(one) == "live" and self.definition(one) is not None
        ]

    def key(self, one: Run, trigger: Trigger) -> object:
        """Another key's values are other values; without a key each event is its own."""
        names = trigger.dedup.key
        values = of_key(one.properties, names) if names else None
        return one.event_id if values is None else (names, values)

    def priority(self, one: Run) -> int:
        return self.known(one).priority

    def better(self, other: Run, one: Run) -> bool:
        """Higher priority, same category."""
        same = self.known(other).category == self.known(one).category
        return same and self.priority(other) > self.priority(one)

    def zone(self) -> str:
        """The person's, or the workspace's."""
        zone: Mapping[str, str] = self.person.traits
        return zone.get("timezone", self.bundle.workspace.time_zone)

    def holds(self, condition: Condition, properties: Mapping[str, Any]) -> bool:
        """Of these properties, and of the person now."""
        tags = {
            tag.id: len([name for name in self.person.done if name in tag.events])
            for tag in self.bundle.tags
        }
        return holds(condition, properties, self.person.traits, tags)
