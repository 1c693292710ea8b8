"""A second engine, slow and obviously right, for triggers that plain events enter.

It keeps everything that ever happened to one person and answers each question by going through
all of it. With the engine it shares the definitions and the contract values, nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from services.contracts.decision import Outcome
from services.contracts.definitions import Bundle, Trigger
from services.contracts.time import HOUR, Micros, parse_duration
from tests.engine.oracle import OneSend, counted, counts, day_bounds, local, period_name

WAITING_MAX = 16
HALF_HOUR = HOUR // 2


@dataclass(frozen=True, kw_only=True)
class Line:
    """A decision as this engine sees it; `priority` and `lane` where something is sent."""

    trigger: str
    event_id: str
    outcome: Outcome
    again_at: Micros | None = None
    winner: str | None = None
    priority: int | None = None
    lane: str | None = None


@dataclass(kw_only=True)
class Entry:
    """One candidate, from the event on; `why` it waits, if it does.

    `entered_as` is the dedup key it came in under; `measured`: re-entry was limited then.
    """

    trigger: str
    event_id: str
    key: object
    at: Micros
    again: bool = False
    entered_as: object = None
    measured: bool = False
    expires_at: Micros = 0
    due_at: Micros = 0
    why: Outcome | None = None
    held_out: bool = False


@dataclass(kw_only=True)
class Made:
    """One send, real or kept back by a holdout."""

    send: OneSend
    event_id: str
    held_out: bool
    given_up: bool = False


@dataclass(kw_only=True)
class Refused:
    """The first refusal; with `again_at` it waits until then."""

    outcome: Outcome
    again_at: Micros | None = None
    winner: str | None = None


def place(purpose: str, trigger: str, person: str) -> int:
    """Where a person stands from 0 to 99."""
    text = "".join(f"{len(part)}:{part}" for part in (purpose, trigger, person))
    return int(blake2b(text.encode(), digest_size=8).hexdigest(), 16) % 100


def channel_of(trigger: Trigger) -> str:
    """Where its one message goes."""
    send = trigger.steps[0].send
    assert send is not None
    return send.channel


def consents(given: object, opt_in: bool, category: str, channel: str) -> bool:
    """One no is a no; else one yes is a yes; else the workspace's mode."""
    if category == "transactional":
        return True
    if given is None:
        return not opt_in
    if not isinstance(given, dict):
        return False
    said = [given[name] for name in (category, channel) if given.get(name) is not None]
    return all(one is True for one in said) and (bool(said) or not opt_in)


@dataclass(kw_only=True)
class Reference:
    """One person under a bundle. Clock times of quiet hours have to be full or half hours."""

    bundle: Bundle
    person: str
    traits: dict[str, Any] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    waiting: list[Entry] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    passed: list[Entry] = field(default_factory=list)

    def event(
        self, name: str, event_id: str, key: object, now: Micros, *, late: bool
    ) -> list[Line]:
        """Something happened, for the first time."""
        new = [
            Entry(trigger=one.id, event_id=event_id, key=key, at=now)
            for one in self.bundle.triggers
            if name in one.entry.events and one.status in ("live", "paused") and not late
        ]
        return self.moment(now, new)

    def moment(self, now: Micros, new: list[Entry]) -> list[Line]:
        """Decide what is due and what is new, best first."""
        before = len(self.lines)
        due = [one for one in self.waiting if one.due_at <= now]
        self.waiting = [one for one in self.waiting if one.due_at > now]
        candidates = list(new)
        for one in due:
            trigger = self.trigger(one.trigger)
            if trigger is None or trigger.status in ("draft", "archived"):
                self.say(one, Outcome.PAUSED)
            elif now >= one.expires_at:
                self.say(one, Outcome.EXPIRED)
            else:
                candidates.append(one)
        candidates.sort(key=self.rank)
        self.passed = []
        for one in candidates:
            self.decide(one, now)
        return self.lines[before:]

    def rank(self, one: Entry) -> tuple[int, Micros, str, Micros, str]:
        """The total order of candidates."""
        trigger = self.known(one.trigger)
        deadline = one.expires_at if one.again else one.at + parse_duration(trigger.send_within)
        return (-trigger.priority, deadline, one.trigger, one.at, one.event_id)

    def decide(self, one: Entry, now: Micros) -> None:
        """One candidate: the first refusal, or a send."""
        trigger = self.known(one.trigger)
        refused = self.refusal(one, trigger, now)
        newly = not one.again
        if refused is not None and (refused.again_at is None or len(self.waiting) >= WAITING_MAX):
            self.say(one, refused.outcome, winner=refused.winner)
            return
        if newly:
            one.expires_at = now + parse_duration(trigger.when_capped.expires_after)
            one.entered_as = self.key(one, trigger)
            one.measured = trigger.reentry.mode != "always"
            self.entries.append(one)
        if refused is not None:
            assert refused.again_at is not None
            one.again, one.why = True, refused.outcome
            one.due_at = min(refused.again_at, one.expires_at)
            self.waiting.append(one)
            self.say(one, refused.outcome, again_at=one.due_at)
        else:
            self.send(one, trigger, now)
        if newly or refused is None:
            self.displace(one, trigger)
            self.passed.append(one)

    def refusal(self, one: Entry, trigger: Trigger, now: Micros) -> Refused | None:
        """All checks in their order."""
        workspace, channel = self.bundle.workspace, channel_of(trigger)
        opt_in = workspace.consent == "opt_in"
        tested = self.person in workspace.test_people
        one.held_out = False
        if trigger.status == "paused":
            return Refused(outcome=Outcome.PAUSED)
        if not consents(self.traits.get("consent"), opt_in, trigger.category, channel):
            return Refused(outcome=Outcome.CONSENT)
        if trigger.audience is not None and self.traits.get("vip") is not True:
            return Refused(outcome=Outcome.AUDIENCE)
        if not tested and place("rollout", one.trigger, self.person) >= trigger.rollout:
            return Refused(outcome=Outcome.ROLLOUT)
        mine = [other for other in self.entries if other.trigger == one.trigger]
        key, window = self.key(one, trigger), parse_duration(trigger.dedup.window)
        latest = [other for other in mine if other.entered_as == key][-1:]
        if any(other is not one and now < other.at + window for other in latest):
            return Refused(outcome=Outcome.DEDUP)
        mine = [other for other in mine if other.measured]
        if trigger.reentry.mode == "once" and any(other is not one for other in mine[-1:]):
            return Refused(outcome=Outcome.REENTRY)
        cooldown = parse_duration(trigger.reentry.cooldown or "1s")
        if trigger.reentry.mode == "cooldown" and any(
            other is not one and now < other.at + cooldown for other in mine[-1:]
        ):
            return Refused(outcome=Outcome.REENTRY)
        one.held_out = not tested and place("holdout", one.trigger, self.person) < trigger.holdout
        return (
            self.conflict(one, trigger, now)
            or self.night(trigger, channel, now)
            or self.full(one, trigger, channel, now)
        )

    def conflict(self, one: Entry, trigger: Trigger, now: Micros) -> Refused | None:
        """Exclusive groups first, then the wait for a better one."""
        there = [other for other in self.passed if one.held_out or not other.held_out]
        live = [
            other
            for other in self.waiting
            if (one.held_out or not other.held_out) and self.would_send(other)
        ]
        if trigger.group is not None:
            rivals = [*there, *(o for o in live if self.priority(o) >= trigger.priority)]
            for other in rivals:
                same_group = self.known(other.trigger).group == trigger.group
                if same_group and other.trigger != one.trigger:
                    return Refused(outcome=Outcome.ARBITRATION, winner=other.trigger)
        if trigger.arbitration_window is None or one.again:
            return None
        for other in there:
            if self.better(other, one):
                return Refused(outcome=Outcome.ARBITRATION, winner=other.trigger)
        again_at = now + parse_duration(trigger.arbitration_window)
        return Refused(outcome=Outcome.ARBITRATION, again_at=again_at)

    def displace(self, one: Entry, trigger: Trigger) -> None:
        """Who waits for less than `one` goes."""
        for other in list(self.waiting):
            if not self.would_send(other) or (one.held_out and not other.held_out):
                continue
            theirs = self.known(other.trigger)
            grouped = trigger.group is not None and theirs.group == trigger.group
            rival = grouped and other.trigger != one.trigger
            awaited = other.why is Outcome.ARBITRATION and self.better(one, other)
            if awaited or (rival and trigger.priority > theirs.priority):
                self.waiting.remove(other)
                self.say(other, Outcome.ARBITRATION, winner=one.trigger)

    def night(self, trigger: Trigger, channel: str, now: Micros) -> Refused | None:
        """Half an hour after the other, until the clock shows no quiet hour."""
        end = now
        while trigger.category != "transactional" and self.is_quiet(channel, end):
            end += HALF_HOUR - end % HALF_HOUR
        if end == now:
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

    def full(self, one: Entry, trigger: Trigger, channel: str, now: Micros) -> Refused | None:
        """Caps over what stands, and for who is held out also over what was kept back."""
        frees_at = self.room_at(one, trigger, channel, now)
        if frees_at == now:
            return None
        waits = trigger.when_capped.action == "defer"
        return Refused(outcome=Outcome.CAP, again_at=frees_at if waits else None)

    def room_at(self, one: Entry, trigger: Trigger, channel: str, now: Micros) -> Micros:
        """The first instant with room under every policy, if nothing else is sent."""
        wanted = OneSend(
            at=now, decided=0, trigger=one.trigger, channel=channel, category=trigger.category
        )
        sends = [
            made.send
            for made in self.made
            if not made.given_up and (one.held_out or not made.held_out)
        ]
        free = now
        for policy in self.bundle.policies:
            if not counts(policy, wanted):
                continue
            at = now
            while len(counted(policy, sends, at, self.zone())) >= policy.limit:
                if policy.window in ("day", "week", "month"):
                    at = self.next_period(policy.window, at)
                else:
                    span = parse_duration(policy.window)
                    at = min(send.at + span for send in sends if send.at + span > at)
            free = max(free, at)
        return free

    def next_period(self, window: str, now: Micros) -> Micros:
        """Day after day, until it is another day, week or month."""
        at = now
        while period_name(window, at, self.zone()) == period_name(window, now, self.zone()):
            at = day_bounds(local(at, self.zone()).date(), self.zone())[1]
        return at

    def send(self, one: Entry, trigger: Trigger, now: Micros) -> None:
        """It went out, or would have."""
        send = OneSend(
            at=now,
            decided=len(self.lines),
            trigger=one.trigger,
            channel=channel_of(trigger),
            category=trigger.category,
        )
        self.made.append(Made(send=send, event_id=one.event_id, held_out=one.held_out))
        if one.held_out:
            self.say(one, Outcome.WOULD_HAVE_SENT)
            return
        tiers, bonus = self.bundle.workspace.value_tiers, 0
        if tiers is not None:
            bonus = tiers.bonuses.get(self.traits.get(tiers.trait, ""), 0)
        priority = min(100, trigger.priority + bonus)
        lane = "high" if priority >= 90 else "normal"
        if trigger.category == "transactional":
            lane = "transactional"
        line = Line(
            trigger=one.trigger, event_id=one.event_id, outcome=Outcome.SENT, priority=priority,
            lane=lane,
        )  # fmt: skip
        self.lines.append(line)

    def give_up(self, trigger: str, event_id: str, now: Micros) -> list[Line]:
        """A send failed: its place is free, and whoever waits for one looks again."""
        for made in self.made:
            if (made.send.trigger, made.event_id) == (trigger, event_id):
                made.given_up = True
        for one in self.waiting:
            rule = self.trigger(one.trigger)
            if one.why is Outcome.CAP and rule is not None and rule.status in ("live", "paused"):
                free = self.room_at(one, rule, channel_of(rule), now)
                one.due_at = min(one.due_at, one.expires_at, free)
        return self.moment(now, [])

    def say(
        self,
        one: Entry,
        outcome: Outcome,
        *,
        again_at: Micros | None = None,
        winner: str | None = None,
    ) -> None:
        self.lines.append(
            Line(
                trigger=one.trigger,
                event_id=one.event_id,
                outcome=outcome,
                again_at=again_at,
                winner=winner,
            )
        )

    def trigger(self, id_: str) -> Trigger | None:
        return next((one for one in self.bundle.triggers if one.id == id_), None)

    def known(self, id_: str) -> Trigger:
        trigger = self.trigger(id_)
        assert trigger is not None
        return trigger

    def key(self, one: Entry, trigger: Trigger) -> object:
        """Another key's values are other values; without a key each event is its own."""
        return (trigger.dedup.key, one.key) if trigger.dedup.key else one.event_id

    def would_send(self, one: Entry) -> bool:
        trigger = self.trigger(one.trigger)
        return trigger is not None and trigger.status == "live"

    def priority(self, one: Entry) -> int:
        return self.known(one.trigger).priority

    def better(self, other: Entry, one: Entry) -> bool:
        """Higher priority, same category."""
        same = self.known(other.trigger).category == self.known(one.trigger).category
        return same and self.priority(other) > self.priority(one)

    def zone(self) -> str:
        """The person's, or the workspace's."""
        zone: Mapping[str, str] = self.traits
        return zone.get("timezone", self.bundle.workspace.time_zone)
