"""Judges what was decided for one person, from their log and the definitions alone."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.contracts.command import SendCommand
from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import Bundle, Trigger
from services.contracts.event import Event
from services.contracts.time import DAY, Micros, parse_duration
from services.triggers.engine import Outputs
from services.triggers.engine.limits import OPENS_MAX
from tests.engine import audit
from tests.engine.oracle import OneSend, counted, counts, standing
from tests.simulation.reference import Happened
from tests.simulation.runs import ends_of, goes_forward, is_decided, version_of, waits_kept

LATE: Micros = DAY
Group = tuple[str, str]
"""Trigger and the event that stands for the entry: one candidate of a person."""


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened to a person and what was decided then, in order, each with its place.

    `failed` says where it was heard that a send had failed, `waiting` what is still under
    way. Only what has its place where `own` says so is judged: the rest was known by then.
    Whatever stood at one place `sees` what had happened at an earlier one, or not. `single`:
    these were never several people, each with entries of their own that are named for the
    same instant. `ringed`: they all took in each other, and what went round meanwhile came in
    another order, and later, than its first place says.
    """

    events: list[Happened]
    commands: list[tuple[int, SendCommand]]
    decided: list[tuple[int, Decision]]
    failed: dict[str, int]
    waiting: set[Group]
    bundle_at: Callable[[int], Bundle]
    one_revision: bool
    own: Callable[[int], bool] = lambda _: True
    sees: Callable[[int, int], bool] = lambda _, __: True
    single: bool = True
    ringed: bool = False
    late: Callable[[int, Event], bool] = lambda _, event: (
        event.occurred_at < event.received_at - LATE
    )


class Person:
    """One person's history; each method tells what is wrong with it."""

    def __init__(self, history: History) -> None:
        self._events = history.events
        self._commands = history.commands
        self._decided = history.decided
        self._failed = history.failed
        self._waiting = history.waiting
        self._bundle_at = history.bundle_at
        self._one_revision = history.one_revision
        self._own = history.own
        self._sees = history.sees
        self._late = history.late
        self._single = history.single
        self._ringed = history.ringed
        self._groups: defaultdict[Group, list[tuple[int, Decision]]] = defaultdict(list)
        for offset, decision in self._decided:
            if "@" in decision.event_id and not history.single:
                continue
            self._groups[decision.trigger, decision.event_id].append((offset, decision))

    def caps(self) -> Iterator[str]:
        """At the instant of each send no cap in force then counts more than its limit."""
        out = Outputs()
        out.decisions = [decision for _, decision in self._decided]
        sending = [(offset, one) for offset, one in self._commands if one.kind == "send"]
        out.commands = [command for _, command in sending]
        given_up = {
            command.send_id: sum(1 for offset, _ in self._decided if offset < failed_at)
            for _, command in sending
            if (failed_at := self._failed.get(command.send_id)) is not None
        }
        ids = [command.send_id for _, command in self._commands]
        sent = [one.send_id for one in out.decisions if one.send_id is not None]
        if len(set(ids)) < len(ids) or sent != ids:
            yield "a send that passed has no command of its own"
            return
        sends = audit.sends_of(out, given_up)
        if self._one_revision:
            yield from self._refusals(out.decisions, sends)
        for (offset, _), send in zip(sending, sends, strict=True):
            if self._own(offset):
                yield from self._over(send, sends, offset)

    def _refusals(self, decisions: list[Decision], sends: list[OneSend]) -> Iterator[str]:
        definitions = self._bundle_at(self._decided[-1][0]) if self._decided else None
        # Held-out sends count in counters of their own, which nobody outside sees.
        if definitions is not None and not any(one.holdout for one in definitions.triggers):
            zone = definitions.workspace.time_zone
            try:
                audit.refusals_justified(definitions, decisions, sends, zone)
            except AssertionError as error:
                yield f"a cap refused for no reason: {error}"

    def _over(self, send: OneSend, sends: list[OneSend], offset: int) -> Iterator[str]:
        definitions = self._bundle_at(offset)
        zone = definitions.workspace.time_zone
        present = [*standing(sends, send.decided), send]
        for policy in definitions.policies:
            if counts(policy, send):
                inside = len(counted(policy, present, send.at, zone))
                if inside > policy.limit:
                    yield f"cap {policy.id}: {inside} of {policy.limit} at {send.at}"

    def twice_or_lost(self) -> Iterator[str]:
        """Each candidate ends once, or still waits; each entry that must match made one."""
        waiting = self._waiting
        for group, decided in self._groups.items():
            ends = ends_of([one for _, one in decided], self._version(decided[0]))
            if "@" in group[1]:
                # An entry named for an instant can come twice; dedup is what refuses it then.
                ends = [one for one in ends if one.outcome is not Outcome.DEDUP] or ends[:1]
            if len(ends) > 1:
                yield f"{group} ended {len(ends)} times: {[one.outcome for one in ends]}"
            elif (group in waiting) == bool(ends):
                yield f"{group} neither ended nor waits, or both"
            for problem in goes_forward([one for _, one in decided]):
                yield f"{group} {problem}"
        for offset, _, event in self._events:
            if self._late(offset, event) or self._decided_later(offset, event):
                continue
            for trigger in self._bundle_at(offset).triggers:
                plain = event.name in trigger.entry.events and trigger.entry.where is None
                listens = trigger.status in ("live", "paused")
                if plain and listens and (trigger.id, event.message_id) not in self._groups:
                    yield f"{trigger.id} was never decided for {event.message_id}"

    def _decided_later(self, offset: int, event: Event) -> bool:
        """Whether it may have gone round in a ring until other rules were in force, or late."""
        if self._single or self._ringed:
            return self._ringed
        came = self._bundle_at(offset).revision
        return any(
            one.event_id == event.message_id and one.revision > came for _, one in self._decided
        )

    def dedup(self) -> Iterator[str]:
        """Of two entries with one key the second is a window later."""
        known = {event.message_id: event.properties for _, _, event in self._events}
        entered: dict[tuple[str, object], Micros] = {}
        seen: set[Group] = set()
        for offset, one in self._decided:
            group = (one.trigger, one.event_id)
            enters = one.outcome in (Outcome.SENT, Outcome.ENTERED)
            enters = enters or "deferred_until" in one.details
            if group in seen or not enters or self._undone(group):
                continue
            seen.add(group)
            trigger = self._trigger(one.trigger, offset)
            if trigger is None or not trigger.dedup.key or one.event_id not in known:
                continue
            key = (one.trigger, known[one.event_id].get(trigger.dedup.key[0]))
            before = entered.get(key)
            within = parse_duration(trigger.dedup.window)
            if before is not None and one.now - before < within and self._own(offset):
                yield f"{group} entered within the dedup window of another"
            entered[key] = one.now if before is None else max(before, one.now)

    def _undone(self, group: Group) -> bool:
        """Whether an entry did not stand: it waited, and another turned out to be before it."""
        outcomes = {one.outcome for _, one in self._groups.get(group, ())}
        return bool(outcomes & {Outcome.DEDUP, Outcome.REENTRY})

    def exits(self) -> Iterator[str]:
        """Nothing goes out that entered before an exit."""
        where = {event.message_id: (at, index) for at, index, event in self._events}
        keys = {event.message_id: event.properties.get("order_id") for _, _, event in self._events}
        for offset, command in self._commands:
            entered = where.get(command.event_id)
            if entered is None or self._ringed or not self._own(offset):
                continue
            for at, index, event in self._events:
                if not (entered < (at, index) and at < offset and self._sees(at, entered[0])):
                    continue
                there = self._bundle_at(at)
                trigger = version_of(there, command.trigger, command.trigger_version)
                if trigger is None or trigger.exit is None or event.name not in trigger.exit.events:
                    continue
                if not is_decided(there, command.trigger):
                    continue
                same = event.properties.get("order_id") == keys[command.event_id]
                if same or not trigger.exit.key:
                    yield f"{command.trigger} sent {command.event_id} after the exit at {at}"

    def takes_back(
        self, cancels: Mapping[str, int], heard: Mapping[str, int], clock: Sequence[Micros]
    ) -> Iterator[str]:
        """An exit takes back what is under way: there is a cancel, by then at the latest.

        `clock` is the time at which each record was appended: nobody's own is later there.
        """
        if len(self._commands) > OPENS_MAX:
            return  # the oldest may be forgotten
        known = {event.message_id: event.properties.get("order_id") for _, _, event in self._events}
        for sent_at, command in self._commands:
            for at, _, event in self._events:
                over = command.expires_at is not None and clock[at] >= command.expires_at
                if at <= sent_at or over or heard.get(command.send_id, at) < at:
                    continue
                there = self._bundle_at(at)
                trigger = version_of(there, command.trigger, command.trigger_version)
                if trigger is None or trigger.exit is None or event.name not in trigger.exit.events:
                    continue
                order = event.properties.get("order_id")
                same = order is not None and order == known.get(command.event_id)
                fits = is_decided(there, command.trigger) and (same or not trigger.exit.key)
                if fits and cancels.get(command.send_id, at + 1) > at:
                    yield f"{command.trigger}: {command.send_id} was not taken back at {at}"

    def waits(self) -> Iterator[str]:
        """Waits last as long as they say, and no longer than what they are for."""
        for group, decided in self._groups.items():
            version = self._version(decided[0])
            for problem in waits_kept(decided, version, self._events) if version else ():
                yield f"{group} {problem}"

    def _version(self, first: tuple[int, Decision]) -> Trigger | None:
        offset, one = first
        return version_of(self._bundle_at(offset), one.trigger, one.trigger_version)

    def _trigger(self, id_: str, offset: int) -> Trigger | None:
        for trigger in self._bundle_at(offset).triggers:
            if trigger.id == id_:
                return trigger
        return None
