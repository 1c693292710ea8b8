"""A second engine, slow and obviously right, for triggers that plain events enter.

It keeps everything that ever happened to one person and answers each question by going through
all of it. With the engine it shares the definitions and the contract values, nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.contracts.command import run_id, send_id
from services.contracts.conditions import Condition
from services.contracts.decision import Outcome
from services.contracts.definitions import Trigger
from services.contracts.steps import Handoff, Offer, SetTag, Split
from services.contracts.time import Micros, parse_duration
from tests.engine.oracle import OneSend
from tests.engine.reference_recalls import Recalls
from tests.engine.reference_values import (
    Line,
    Made,
    Refused,
    Run,
    clock_shows,
    draw,
    same_key,
)
from tests.engine.reference_walk import is_journey, walk

RUNS_MAX = 16
WORKSPACE = "default"
TOLD_OF_HELD_OUT = {Outcome.ENTERED, Outcome.STEPPED, Outcome.WOULD_HAVE_SENT, Outcome.ENDED}


@dataclass(kw_only=True)
class Reference(Recalls):
    """One person's log, record by record; each gives the lines that it led to."""

    # What happens.

    def event(
        self,
        name: str,
        event_id: str,
        properties: Mapping[str, Any],
        now: Micros,
        *,
        occurred_at: Micros,
        late: bool,
    ) -> list[Line]:
        """Something happened, for the first time."""
        before = len(self.lines)
        self.now = now
        self.review()
        self.person.done.append(name)
        self.exits(name, event_id, properties)
        if not late:
            self.matches(name, event_id, properties, occurred_at)
        new = [
            Run(trigger=one.id, version=one.version, event_id=event_id, properties=properties,
                at=now)
            for one in self.bundle.triggers
            if name in one.entry.events and one.status in ("live", "paused") and not late
        ]  # fmt: skip
        self.moment(now, new)
        return self.lines[before:]

    def exits(self, name: str, event_id: str, properties: Mapping[str, Any]) -> None:
        """Whoever leaves by this event goes, wherever they stand."""
        self.leaves(name, event_id, properties)
        for one in sorted(self.waiting, key=Run.age):
            trigger = self.definition(one)
            exit_ = None if trigger is None else trigger.exit
            if exit_ is None or name not in exit_.events or not self.is_decided(one):
                continue
            fits = exit_.where is None or self.holds(exit_.where, properties)
            if fits and same_key(properties, one.properties, exit_.key):
                self.say(one, Outcome.EXIT, by=event_id)
                self.over(one)

    def matches(
        self, name: str, event_id: str, properties: Mapping[str, Any], occurred_at: Micros
    ) -> None:
        """Whoever waits for this event has it."""
        for one in self.waiting:
            wanted = None if one.stop is None else one.stop.step.wait_for
            if wanted is None or self.definition(one) is None or not self.is_decided(one):
                continue
            if one.came is not None:
                continue
            in_time = one.since <= occurred_at <= one.since + parse_duration(wanted.within)
            fits = wanted.where is None or self.holds(wanted.where, properties)
            same = same_key(properties, one.properties, wanted.key)
            if name in wanted.events and in_time and fits and same:
                one.came, one.due_at = event_id, self.now

    def moment(self, now: Micros, new: list[Run]) -> list[Line]:
        """Decide what is due and what is new, best first; who is decided goes on."""
        before = len(self.lines)
        self.now, self.passed = now, []
        self.review()
        candidates = [*self.due(), *new]
        while candidates:
            in_order = sorted(candidates, key=self.rank)
            candidates = [
                one for one in in_order if not one.ended and self.decide(one) and self.goes_on(one)
            ]
        assert self.at_work == []
        return self.lines[before:]

    def due(self) -> list[Run]:
        """Whose time has come: they go on, those who come to a send are decided."""
        candidates = []
        self.at_work = [
            one for one in self.waiting if one.due_at <= self.now and self.status(one) != "paused"
        ]
        self.waiting = [one for one in self.waiting if one not in self.at_work]
        for one in sorted(self.at_work, key=lambda run: (run.due_at, run.age())):
            if not self.is_decided(one):
                self.say(one, Outcome.PAUSED)
                self.over(one)
            elif self.definition(one) is None:
                self.say(one, Outcome.EXPIRED)
                self.over(one)
            elif one.why is None:
                if self.goes_on(one):
                    candidates.append(one)
            elif self.now < one.expires_at:
                candidates.append(one)
            else:
                self.say(one, Outcome.EXPIRED)
                if not one.begun:
                    self.over(one)
                elif self.goes_on(one):
                    candidates.append(one)
        return candidates

    def give_up(self, id_: str, now: Micros) -> list[Line]:
        """A send failed: its place is free, and whoever waits for one looks again."""
        self.now = now
        self.review()
        self.heard(id_)
        for made in self.made:
            if made.send_id == id_:
                made.given_up = True
        for one in self.waiting:
            trigger = self.definition(one)
            if one.why is Outcome.CAP and trigger is not None and self.is_decided(one):
                free = self.room_at(one, trigger, self.asks(one, trigger).channel)
                one.due_at = min(one.due_at, one.expires_at, free)
        return self.moment(now, [])

    # A candidate.

    def rank(self, one: Run) -> tuple[int, Micros, str, Micros, str]:
        """The total order of candidates."""
        trigger = self.known(one)
        deadline = one.expires_at if one.put_off else self.now + parse_duration(trigger.send_within)
        return (-trigger.priority, deadline, one.trigger, one.at, one.event_id)

    def decide(self, one: Run) -> bool:
        """One candidate: the first refusal, or what it came for; whether it then goes on."""
        trigger = self.known(one)
        newly = one not in self.at_work
        refused = self.refusal(one, trigger)
        crowded = newly and len(self.waiting) + len(self.at_work) >= RUNS_MAX
        if refused is None and crowded and is_journey(trigger):
            refused = Refused(outcome=Outcome.CAP)
        if refused is not None and (refused.again_at is None or crowded):
            self.say(one, refused.outcome, winner=refused.winner)
            if one.begun:
                return True
            self.over(one)
            return False
        if newly:
            one.entered_as = self.key(one, trigger)
            one.measured = trigger.reentry.mode != "always"
            self.entries.append(one)
            self.at_work.append(one)
        if refused is None:
            self.passes(one, trigger)
        else:
            self.put_off(one, trigger, refused)
        if newly or refused is None:
            self.displace(one, trigger)
            self.passed.append(one)
        if refused is None and not is_journey(trigger):
            self.over(one)
        return refused is None and is_journey(trigger)

    def put_off(self, one: Run, trigger: Trigger, refused: Refused) -> None:
        assert refused.again_at is not None
        if not one.put_off:
            one.expires_at = self.now + parse_duration(trigger.when_capped.expires_after)
        one.put_off, one.why = True, refused.outcome
        self.park(one, min(refused.again_at, one.expires_at))
        self.say(one, refused.outcome, again_at=one.due_at)

    def displace(self, one: Run, trigger: Trigger) -> None:
        """Who waits for less than `one` goes."""
        lost = []
        for other in self.live():
            if one.held_out and not other.held_out:
                continue
            theirs = self.known(other)
            grouped = trigger.group is not None and theirs.group == trigger.group
            rival = grouped and other.trigger != one.trigger
            awaited = other.why is Outcome.ARBITRATION and self.better(one, other)
            if awaited or (rival and trigger.priority > theirs.priority):
                lost.append(other)
        self.take_back(
            lambda wish: Outcome.ARBITRATION if wish.run in lost else None, winner=one.trigger
        )
        for other in lost:
            self.say(other, Outcome.ARBITRATION, winner=one.trigger)
            self.over(other)

    # Going on.

    def passes(self, one: Run, trigger: Trigger) -> None:
        """It is sent; of those that do not begin with a send: they are in."""
        first = trigger.steps[0].send
        if one.begun or first is not None:
            self.sends(one, trigger)
        else:
            self.say(one, Outcome.ENTERED)
        if not one.begun and is_journey(trigger):
            one.begun, one.path = True, walk(trigger.steps, Traveller(self, one))
            if first is not None:
                one.stop = next(one.path)

    def goes_on(self, one: Run) -> bool:
        """From where it stands to the next stop; whether that is a send to be decided now."""
        assert one.path is not None
        if one.stop is not None and one.stop.step.wait_for is not None:
            way = "on_timeout" if one.came is None else "then"
            self.say(one, Outcome.STEPPED, way=way, by=one.came, since=one.since)
        if one.stop is not None and one.stop.step.wait is not None:
            self.say(one, Outcome.STEPPED, since=one.since)
        came, one.came, one.put_off, one.why = one.came is not None, None, False, None
        try:
            one.stop = next(one.path) if one.stop is None else one.path.send(came)
        except StopIteration as over:
            self.ends(one, over.value)
            return False
        one.step, one.since = one.stop.number, self.now
        wait, wait_for = one.stop.step.wait, one.stop.step.wait_for
        if wait is not None:
            until = self.now + (parse_duration(wait.for_) if wait.for_ else 0)
            if wait.until is not None:
                until = clock_shows(wait.until, until, self.zone())
            if until == self.now:
                return self.goes_on(one)
            self.park(one, until)
        elif wait_for is not None:
            self.park(one, self.now + parse_duration(wait_for.within))
        return one.stop.step.send is not None

    def ends(self, one: Run, end: tuple[int, str] | None) -> None:
        """At an `end`, or because there is nothing more: then where it was last."""
        one.step, result = (one.step, "done") if end is None else end
        self.say(one, Outcome.ENDED, way=result)
        self.over(one)

    def park(self, one: Run, until: Micros) -> None:
        one.due_at = until
        self.at_work.remove(one)
        self.waiting.append(one)

    def over(self, one: Run) -> None:
        """It is no run any more, or never was."""
        one.ended = True
        self.waiting = [other for other in self.waiting if other is not one]
        self.at_work = [other for other in self.at_work if other is not one]

    def sends(self, one: Run, trigger: Trigger) -> None:
        """It goes out, or would have."""
        send = OneSend(
            at=self.now,
            decided=len(self.lines),
            trigger=one.trigger,
            channel=self.asks(one, trigger).channel,
            category=trigger.category,
        )
        id_ = self.send_id(one)
        self.made.append(Made(send=send, send_id=id_, held_out=one.held_out))
        if one.held_out:
            self.say(one, Outcome.WOULD_HAVE_SENT)
        else:
            self.commands(one, Outcome.SENT, "send", send.channel)

    def commands(self, one: Run, outcome: Outcome, kind: str, channel: str) -> None:
        """Something is asked of the dispatcher."""
        trigger, tiers, bonus = self.known(one), self.bundle.workspace.value_tiers, 0
        if tiers is not None:
            bonus = tiers.bonuses.get(self.person.traits.get(tiers.trait, ""), 0)
        priority = min(100, trigger.priority + bonus)
        lane = "high" if priority >= 90 else "normal"
        if trigger.category == "transactional":
            lane = "transactional"
        until = self.now + parse_duration(trigger.send_within)
        asked = (kind, channel, until)
        self.say(one, outcome, priority=priority, lane=lane, asked=asked)
        self.wish(one, self.send_id(one), channel if kind == "send" else None, until)

    def send_id(self, one: Run) -> str:
        run = run_id(WORKSPACE, one.trigger, self.person.id, one.event_id)
        return send_id(WORKSPACE, one.trigger, self.person.id, run, one.step)

    def say(self, one: Run, outcome: Outcome, **more: Any) -> None:
        self.lines.append(
            Line(
                trigger=one.trigger,
                version=one.version,
                step=one.step,
                event_id=one.event_id,
                outcome=outcome,
                held_out=one.held_out and outcome in TOLD_OF_HELD_OUT,
                **more,
            )
        )


@dataclass(frozen=True)
class Traveller:
    """A run on its way: what the steps between two stops ask of the person and do to them."""

    reference: Reference
    run: Run

    def holds(self, condition: Condition) -> bool:
        """Of the entry's event, and of the person now."""
        return self.reference.holds(condition, self.run.properties)

    def arm(self, number: int, split: Split) -> int:
        """By a number that stands for person, trigger and step."""
        weights = [arm.weight for arm in split.arms]
        person = self.reference.person.id
        place = draw("split", self.run.trigger, person, str(number)) % sum(weights)
        return next(n for n in range(len(weights)) if place < sum(weights[: n + 1]))

    def came_by(self, number: int, way: object) -> None:
        """Told."""
        self.run.step = number
        self.reference.say(self.run, Outcome.STEPPED, way=way)

    def tag(self, number: int, tag: SetTag) -> None:
        """A trait, unless the person is held out."""
        traits = self.reference.person.traits
        if not self.run.held_out and tag.remove is not None:
            traits.pop(tag.remove, None)
        elif not self.run.held_out and tag.set is not None:
            traits[tag.set] = tag.value
        self.came_by(number, None)

    def ask(self, number: int, wish: Offer | Handoff) -> None:
        """Asked for, unless the person is held out."""
        self.run.step = number
        if self.run.held_out:
            self.reference.say(self.run, Outcome.WOULD_HAVE_SENT)
        elif isinstance(wish, Offer):
            self.reference.commands(self.run, Outcome.OFFERED, "offer", "webhook")
        else:
            self.reference.commands(self.run, Outcome.HANDED_OFF, "handoff", "webhook")
