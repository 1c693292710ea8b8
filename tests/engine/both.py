"""One log played to the engine and to the reference, which have to decide alike."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.contracts.command import Cancel
from services.contracts.decision import CANCELLED, Decision
from services.contracts.definitions import Bundle
from services.contracts.event import FUTURE_TOLERANCE
from services.contracts.time import DAY, HOUR, Micros
from services.triggers.engine.limits import NEVER
from tests.engine.build import PERSON, Log, at
from tests.engine.reference import TOLD_OF_HELD_OUT, Reference
from tests.engine.reference_values import Line, Person

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago",
    "Africa/Cairo",
]  # fmt: skip
STARTS = [
    at("2026-03-28T16:00:00"),
    at("2026-10-24T16:00:00"),
    at("2026-04-04T10:00:00"),
    at("2026-09-05T20:00:00"),
]
"""Before changes of clocks in some of the zones."""
ENTRY_WINDOWS = 5 * HOUR
"""The windows of dedup and re-entry that the tests draw."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing in a person's log, `after` the one before it.

    With an `edge` it comes so far from an instant at which something is due, or the last entry's
    windows end. Its own time is `ago`, or with an `own_edge` so far from where somebody began to
    wait for something, or ends it. Without `ticks` nothing happened before it, though something
    may have been due. What is `meant` for somebody is what they wait for, or leave by.
    """

    kind: str
    after: Micros
    edge: int | None
    name: str
    properties: Mapping[str, Any]
    ago: Micros
    own_edge: int | None = None
    which: int
    ticks: bool


@dataclass(kw_only=True)
class Both:
    """The same log for the engine and the reference; after each record they agree."""

    log: Log
    slow: Reference
    traits: list[dict[str, Any]]
    seen: int = 0
    played: int = 0
    told: int = 0
    judged: set[str] = field(default_factory=set)

    def compare(self, expected: list[Line]) -> None:
        """Decisions, commands, and what waits for when."""
        decisions = self.log.out.decisions[self.seen :]
        self.seen = len(self.log.out.decisions)
        assert [self._line(one) for one in decisions] == expected
        assert all(one.now == self.log.now for one in decisions)
        told = [one for one in self.log.out.decisions if one.send_id is not None]
        ids = [one.send_id for one in told if CANCELLED not in one.details]
        back = [one.send_id for one in told if CANCELLED in one.details]
        assert back == [one.send_id for one in self.log.out.notices if isinstance(one, Cancel)]
        assert back == self.slow.taken_back
        assert ids == [one.send_id for one in self.log.out.commands]
        assert max(Counter(ids).values(), default=1) == 1
        sending = self.log.state.sending
        runs = [] if sending is None else sending.runs
        assert sorted(
            (one.trigger, one.trigger_version, one.event_id, one.step, one.due_at) for one in runs
        ) == sorted(
            (one.trigger, one.version, one.event_id, one.step, one.due_at)
            for one in self.slow.waiting
        )
        due = [one.due_at for one in self.slow.waiting if self.slow.status(one) != "paused"]
        assert self.log.state.next_due == min(due, default=NEVER)

    def _line(self, one: Decision) -> Line:
        ways = [one.details[name] for name in ("way", "arm", "result") if name in one.details]
        back = CANCELLED in one.details
        command = (
            None
            if back
            else next((c for c in self.log.out.commands if c.send_id == one.send_id), None)
        )
        asked = None
        if command is not None:
            assert command.expires_at is not None
            asked = command.kind, command.channel, command.expires_at
        return Line(
            trigger=one.trigger,
            version=one.trigger_version,
            step=one.step,
            event_id=one.event_id,
            outcome=one.outcome,
            again_at=one.details.get("deferred_until"),
            winner=one.details.get("winner"),
            priority=None if command is None else command.priority,
            lane=None if command is None else command.lane,
            way=ways[0] if ways else None,
            by=one.details.get("matched_event_id") or one.details.get("exit_event_id"),
            since=one.details.get("since"),
            asked=asked,
            held_out="holdout" in one.details
            or ("held_out" in one.details and one.outcome in TOLD_OF_HELD_OUT),
            taken_back=back,
        )

    def wake(self, now: Micros) -> None:
        """Time came to `now`."""
        self.log.wake(now)
        self.compare(self.slow.moment(now, []))

    def event(self, act: Act, now: Micros) -> None:
        """Something new happened."""
        self.played += 1
        id_, own = f"e{self.played}", now - act.ago
        ends = [end for one in self.slow.waiting if one.since for end in (one.since, one.due_at)]
        if act.own_edge is not None and ends:
            own = ends[act.which % len(ends)] + act.own_edge
        if own > now + FUTURE_TOLERANCE:
            own = now
        self.log.event(act.name, act.properties, now=now, occurred_at=own, id_=id_)
        late = own < now - DAY
        self.compare(
            self.slow.event(act.name, id_, act.properties, now, occurred_at=own, late=late)
        )

    def meant(self, act: Act) -> Act:
        """The same with the name and key that somebody under way listens to, if anybody is."""
        for one in self.slow.waiting[act.which % (len(self.slow.waiting) or 1) :]:
            trigger, step = self.slow.definition(one), None if one.stop is None else one.stop.step
            wanted = [] if step is None or step.wait_for is None else [step.wait_for.events[0]]
            wanted += [] if trigger is None or trigger.exit is None else [trigger.exit.events[0]]
            if wanted:
                key = {"k": one.properties["k"]} if "k" in one.properties else {}
                return replace(act, name=wanted[0], properties={**act.properties, **key})
        return act

    def verdict(self, act: Act, now: Micros) -> None:
        """A delivery comes back; the first one on a send stands."""
        command = self.log.out.commands[-1 - act.which % len(self.log.out.commands)]
        first = command.send_id not in self.judged
        self.judged.add(command.send_id)
        failed = act.kind == "failed"
        lines, self.slow.now = len(self.slow.lines), now
        self.slow.review()
        self.slow.heard(command.send_id)
        self.log.delivery(command.send_id, "failed" if failed else "accepted", now=now)
        if failed and first:
            self.slow.give_up(command.send_id, now)
        else:
            self.slow.moment(now, [])
        self.compare(self.slow.lines[lines:])

    def identify(self, act: Act, now: Micros) -> None:
        """The person says something of themselves, or takes it back."""
        given = self.traits[act.which % len(self.traits)]
        lines, self.slow.now = len(self.slow.lines), now
        self.slow.review()
        known = self.slow.person.traits
        before = known.get("consent")
        known.update(given)
        if isinstance(before, dict) and isinstance(given.get("consent"), dict):
            known["consent"] = {**before, **given["consent"]}
        for name in [name for name in given if given[name] is None]:
            del known[name]
        self.told += 1
        self.log.identify(given, now=now, id_=f"i{self.told}")
        self.slow.moment(now, [])
        self.compare(self.slow.lines[lines:])

    def play(self, act: Act, revisions: list[Bundle]) -> None:
        """One thing."""
        now = self.log.now + act.after
        anchors = [one.due_at for one in self.slow.waiting]
        anchors += [one.at + ENTRY_WINDOWS for one in self.slow.entries[-1:]]
        if act.edge is not None and anchors:
            now = max(self.log.now, anchors[act.which % len(anchors)] + act.edge)
        while act.ticks and (due := self.log.state.wake_at) is not None and due <= now:
            self.wake(due)
        if act.kind in ("event", "meant"):
            self.event(act if act.kind == "event" else self.meant(act), now)
        elif act.kind == "duplicate" and self.played:
            self.log.event(act.name, now=now, id_=f"e{self.played}")
            self.compare(self.slow.moment(now, []))
        elif act.kind == "traits":
            self.identify(act, now)
        elif act.kind in ("accepted", "failed") and self.log.out.commands:
            self.verdict(act, now)
        elif act.kind == "publish":
            definitions = revisions[act.which % len(revisions)]
            self.log.publish(definitions)
            self.slow.bundle = definitions
            if act.ticks:
                self.wake(now)
        else:
            self.wake(now)

    def rest(self) -> None:
        """Left alone, everything that waits comes to its end, but what is held."""
        self.wake(self.log.now)  # as everyone is after a publication
        while (due := self.log.state.wake_at) is not None:
            self.wake(due)
        assert [one for one in self.slow.waiting if self.slow.status(one) != "paused"] == []


def both_of(log: Log, definitions: Bundle, traits: list[dict[str, Any]]) -> Both:
    """A new person, in a fresh log under these definitions."""
    slow = Reference(bundle=definitions, person=Person(id=PERSON))
    return Both(log=log, slow=slow, traits=traits)
