"""Judges a run by what it left behind; knows nothing of how it was done.

First the shell: what stands on the topics and in the ledger has to be what the undisturbed
fold of the same log gives, whatever died in between. Then the decisions of that fold: caps,
deduplication, exits, nothing lost, nothing twice, each from the log and the definitions.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from services.contracts.codec import decode_delivery, decode_pack
from services.contracts.command import SendCommand
from services.contracts.deadletter import DeadLetter
from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import Trigger
from services.contracts.errors import Malformed
from services.contracts.event import Event
from services.contracts.segment import parse_message
from services.contracts.time import DAY, Micros, parse_duration
from services.contracts.topics import KIND_DELIVERY, KIND_EVENT, KIND_PACK
from services.dispatcher.policy import SendState
from services.runtime.kafka import partition_of
from services.triggers.engine import Outputs, PersonState, decode_state
from services.triggers.worker.letters import ORIGIN
from services.triggers.worker.reading import kind_of
from tests.engine import audit
from tests.engine.oracle import OneSend, counted, counts, standing
from tests.simulation.poison import POISON, is_poisoned, sparing
from tests.simulation.reference import Definitions, Happened, Reference
from tests.simulation.run import Ran
from tests.simulation.world import CHANGELOG, COMMANDS, DEAD_LETTERS, EVENTS, Row

LATE: Micros = DAY
Group = tuple[str, str]
"""Trigger and the event that stands for the entry: one candidate of a person."""


def problems_of(ran: Ran) -> list[str]:
    """Everything that is wrong with a run; empty if it kept all promises."""
    problems = list(ran.world.problems)
    definitions = Definitions(ran.world, ran.engine)
    for partition in range(ran.world.partitions):
        reference = Reference(ran.world, sparing(ran.engine), definitions, partition)
        told = [*_shell(ran, reference, partition), *_decisions(ran, reference, partition)]
        problems += [f"partition {partition}: {problem}" for problem in told]
    problems += _dispatcher(ran)
    return problems


# The shell: nothing that died in between may show.


def _shell(ran: Ran, reference: Reference, partition: int) -> Iterator[str]:
    stored: dict[str, bytes] = {}
    for row in ran.world.topics[CHANGELOG][partition]:
        stored[(row.key or b"").decode()] = row.value or b""
    for person in sorted(stored.keys() | reference.stored.keys()):
        if stored.get(person) != reference.stored.get(person):
            yield f"the state of {person!r} is not that of an undisturbed run"
    for topic, expected in reference.outputs.items():
        if topic == DEAD_LETTERS:
            mine = b'"origin":"%b","topic":"events","partition":%d,' % (ORIGIN.encode(), partition)
            rows = [row for row in ran.world.topics[topic][0] if mine in (row.value or b"")]
        else:
            rows = ran.world.topics[topic][partition]
        found = _once(row.value or b"" for row in rows)
        wanted = _once(expected)
        if ran.world.faults.poisoned and topic != DEAD_LETTERS:
            # What is undone and decided again comes behind what was of other people meanwhile.
            found.sort(key=_person_of)
            wanted.sort(key=_person_of)
        if found != wanted:
            missing, extra = len(set(wanted) - set(found)), len(set(found) - set(wanted))
            yield f"{topic}: {missing} lost, {extra} that should not be (else: another order)"
        if topic == DEAD_LETTERS and any(map(_is_of_a_bug, found)):
            yield "the engine failed"


class _OfPerson(msgspec.Struct):
    person: str


def _person_of(value: bytes) -> str:
    return msgspec.json.decode(value, type=_OfPerson).person


def _is_of_a_bug(value: bytes) -> bool:
    letter = msgspec.json.decode(value, type=DeadLetter)
    return letter.code == "engine_error" and f'"{POISON}"'.encode() not in (letter.value or b"")


def _once(values: Iterable[bytes]) -> list[bytes]:
    return list(dict.fromkeys(values))


def _dispatcher(ran: Ran) -> Iterator[str]:
    told: dict[str, str] = {}
    for row in (row for rows in ran.world.topics[EVENTS] for row in rows):
        if _kind(row) == KIND_DELIVERY:
            delivery = decode_delivery(row.value or b"")
            told.setdefault(delivery.send_id, delivery.status)
    sends: set[str] = set()
    for row in (row for rows in ran.world.topics[COMMANDS] for row in rows):
        sends.add(_send_id(row))
    for send_id in sorted(sends | set(ran.provider.effects)):
        entry = ran.ledger.entries.get(send_id)
        if entry is None or send_id not in sends:
            yield f"{send_id}: in the ledger or at the provider, but no command, or without either"
            continue
        effects = ran.provider.effects[send_id]
        if effects > 1:
            yield f"{send_id}: sent {effects} times"
        if entry.state is SendState.ACCEPTED and effects == 0:
            yield f"{send_id}: accepted, and nothing reached anybody"
        if entry.state is SendState.FAILED and effects:
            yield f"{send_id}: given up, but it was sent"
        expected = {SendState.ACCEPTED: "accepted", SendState.FAILED: "failed"}.get(entry.state)
        if told.get(send_id) != expected:
            yield f"{send_id}: ended {entry.state}, the log says {told.get(send_id)}"


def _send_id(row: Row) -> str:
    start = (row.value or b"").index(b'"send_id":"') + 11
    return (row.value or b"")[start : start + 36].decode()


# The decisions.


def _decisions(ran: Ran, reference: Reference, partition: int) -> Iterator[str]:
    events = _events(ran, partition)
    people: defaultdict[str, list[Happened]] = defaultdict(list)
    for happened in events:
        people[happened[2].person].append(happened)
    failed = _failed(ran.world.topics[EVENTS][partition])
    commands: defaultdict[str, list[tuple[int, SendCommand]]] = defaultdict(list)
    for offset, command in reference.commands:
        commands[command.person].append((offset, command))
    for person in sorted(people):
        one = _Person(person, people[person], commands[person], reference)
        for problem in (*one.caps(failed), *one.twice_or_lost(), *one.dedup(), *one.exits()):
            yield f"{person}: {problem}"


def _events(ran: Ran, partition: int) -> list[Happened]:
    """The first of each message id of each person, where it belongs, in order of the log."""
    found: list[Happened] = []
    known: set[tuple[str, str]] = set()
    for row in ran.world.topics[EVENTS][partition]:
        for index, event in enumerate(_events_of(row)):
            name = (event.person, event.message_id)
            mine = partition_of(event.person.encode(), ran.world.partitions) == partition
            if mine and name not in known and not is_poisoned(event):
                known.add(name)
                found.append((row.offset, index, event))
    return found


def _events_of(row: Row) -> list[Event]:
    try:
        kind = kind_of(row.headers)
        if kind == KIND_PACK:
            return decode_pack(row.value or b"")
        if kind == KIND_EVENT and row.value is not None:
            return [parse_message(row.value, received_at=row.timestamp * 1000)]
    except Malformed:
        pass  # the worker says so too, or the dead letters differ
    return []


def _failed(rows: Iterable[Row]) -> dict[str, int]:
    """Where in the log each send failed, if that was the first to be heard of it."""
    verdicts: dict[str, tuple[str, int]] = {}
    for row in rows:
        if _kind(row) == KIND_DELIVERY:
            delivery = decode_delivery(row.value or b"")
            verdicts.setdefault(delivery.send_id, (delivery.status, row.offset))
    return {send_id: at for send_id, (status, at) in verdicts.items() if status == "failed"}


def _kind(row: Row) -> bytes:
    """The record's kind; nothing for a bad one."""
    try:
        return kind_of(row.headers)
    except Malformed:
        return b""


class _Person:
    """One person's log and what was decided."""

    def __init__(
        self,
        person: str,
        events: list[Happened],
        commands: list[tuple[int, SendCommand]],
        reference: Reference,
    ) -> None:
        self._events = events
        self._commands = commands
        self._reference = reference
        self._decided = reference.decisions.get(person, [])
        data = reference.stored.get(person)
        self._state: PersonState | None = None if data is None else decode_state(data)
        self._groups: defaultdict[Group, list[tuple[int, Decision]]] = defaultdict(list)
        for offset, decision in self._decided:
            self._groups[decision.trigger, decision.event_id].append((offset, decision))

    def caps(self, failed: dict[str, int]) -> Iterator[str]:
        """At the instant of each send no cap in force then counts more than its limit."""
        out = Outputs()
        out.decisions = [decision for _, decision in self._decided]
        out.commands = [command for _, command in self._commands]
        given_up = {
            command.send_id: sum(1 for offset, _ in self._decided if offset < failed_at)
            for _, command in self._commands
            if (failed_at := failed.get(command.send_id)) is not None
        }
        ids = [command.send_id for command in out.commands]
        sent = [one.send_id for one in out.decisions if one.outcome is Outcome.SENT]
        if len(set(ids)) < len(ids) or sent != ids:
            yield "a send that passed has no command of its own"
            return
        sends = audit.sends_of(out, given_up)
        if self._reference.one_revision:
            yield from self._refusals(out.decisions, sends)
        for (offset, _), send in zip(self._commands, sends, strict=True):
            yield from self._over(send, sends, offset)

    def _refusals(self, decisions: list[Decision], sends: list[OneSend]) -> Iterator[str]:
        definitions = self._reference.bundle_at(self._decided[-1][0]) if self._decided else None
        # Held-out sends count in counters of their own, which nobody outside sees.
        if definitions is not None and not any(one.holdout for one in definitions.triggers):
            zone = definitions.workspace.time_zone
            try:
                audit.refusals_justified(definitions, decisions, sends, zone)
            except AssertionError as error:
                yield f"a cap refused for no reason: {error}"

    def _over(self, send: OneSend, sends: list[OneSend], offset: int) -> Iterator[str]:
        definitions = self._reference.bundle_at(offset)
        zone = definitions.workspace.time_zone
        present = [*standing(sends, send.decided), send]
        for policy in definitions.policies:
            if counts(policy, send):
                inside = len(counted(policy, present, send.at, zone))
                if inside > policy.limit:
                    yield f"cap {policy.id}: {inside} of {policy.limit} at {send.at}"

    def twice_or_lost(self) -> Iterator[str]:
        """Each candidate ends once, or still waits; each entry that must match made one."""
        waiting: set[Group] = set()
        if self._state is not None and self._state.sending is not None:
            waiting = {(one.trigger, one.event_id) for one in self._state.sending.runs}
        for group, decided in self._groups.items():
            ends = [one for _, one in decided if "deferred_until" not in one.details]
            if "@" in group[1]:
                # An entry named for an instant can come twice; dedup is what refuses it then.
                ends = [one for one in ends if one.outcome is not Outcome.DEDUP] or ends[:1]
            if len(ends) > 1:
                yield f"{group} ended {len(ends)} times: {[one.outcome for one in ends]}"
            elif (group in waiting) == bool(ends):
                yield f"{group} neither ended nor waits, or both"
        for offset, _, event in self._events:
            if event.occurred_at < event.received_at - LATE:
                continue
            for trigger in self._reference.bundle_at(offset).triggers:
                plain = event.name in trigger.entry.events and trigger.entry.where is None
                listens = trigger.status in ("live", "paused")
                if plain and listens and (trigger.id, event.message_id) not in self._groups:
                    yield f"{trigger.id} was never decided for {event.message_id}"

    def dedup(self) -> Iterator[str]:
        """Of two entries with one key the second is a window later."""
        keys = {event.message_id: event.properties.get("order_id") for _, _, event in self._events}
        entered: dict[tuple[str, object], Micros] = {}
        seen: set[Group] = set()
        for offset, one in self._decided:
            group = (one.trigger, one.event_id)
            enters = one.outcome is Outcome.SENT or "deferred_until" in one.details
            if group in seen or not enters:
                continue
            seen.add(group)
            trigger = self._trigger(one.trigger, offset)
            if trigger is None or not trigger.dedup.key or one.event_id not in keys:
                continue
            key = (one.trigger, keys[one.event_id])
            before = entered.get(key)
            if before is not None and one.now - before < parse_duration(trigger.dedup.window):
                yield f"{group} entered within the dedup window of another"
            entered[key] = one.now

    def exits(self) -> Iterator[str]:
        """Nothing goes out that entered before an exit."""
        where = {event.message_id: (at, index) for at, index, event in self._events}
        keys = {event.message_id: event.properties.get("order_id") for _, _, event in self._events}
        for offset, command in self._commands:
            entered = where.get(command.event_id)
            if entered is None:
                continue
            for at, index, event in self._events:
                if not (entered < (at, index) and at < offset):
                    continue
                trigger = self._trigger(command.trigger, at)
                if trigger is None or trigger.exit is None or event.name not in trigger.exit.events:
                    continue
                same = event.properties.get("order_id") == keys[command.event_id]
                if same or not trigger.exit.key:
                    yield f"{command.trigger} sent {command.event_id} after the exit at {at}"

    def _trigger(self, id_: str, offset: int) -> Trigger | None:
        for trigger in self._reference.bundle_at(offset).triggers:
            if trigger.id == id_:
                return trigger
        return None
