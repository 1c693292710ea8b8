"""Judges a run by what it left behind; knows nothing of how it was done.

First the shell: what stands on the topics and in the ledger has to be what the undisturbed
fold of the same log gives, whatever died in between. Then the decisions of that fold: caps,
deduplication, exits, nothing lost, nothing twice, each from the log and the definitions.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from services.contracts.codec import decode_delivery
from services.contracts.command import SendCommand
from services.contracts.deadletter import DeadLetter
from services.contracts.topics import KIND_CANCEL, KIND_DELIVERY, KIND_HEADER
from services.dispatcher.policy import SendState
from services.runtime.kafka import partition_of
from services.triggers.worker.letters import ORIGIN
from tests.simulation.person import History, Person
from tests.simulation.poison import POISON, is_poisoned, sparing
from tests.simulation.reference import NOTICES, Definitions, Happened, Reference
from tests.simulation.rows import events_of, kind
from tests.simulation.run import Ran
from tests.simulation.unions import Unions, of_maker
from tests.simulation.world import (
    CHANGELOG,
    COMMANDS,
    DEAD_LETTERS,
    EVENTS,
    URGENT_COMMANDS,
    Row,
)


def problems_of(ran: Ran) -> list[str]:
    """Everything that is wrong with a run; empty if it kept all promises."""
    problems = list(ran.world.problems)
    definitions = Definitions(ran.world, ran.engine)
    references = [
        Reference(ran.world, sparing(ran.engine), definitions, partition)
        for partition in range(ran.world.partitions)
    ]
    unions = Unions(ran.world, references)
    for partition, reference in enumerate(references):
        told = [
            *_shell(ran, reference, partition),
            *_hops(ran, reference, unions),
            *_decisions(ran, reference, partition, unions),
        ]
        problems += [f"partition {partition}: {problem}" for problem in told]
    problems += unions.audit()
    problems += [*_dispatcher(ran), *_taken_back(ran)]
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
            place = URGENT_COMMANDS if topic == NOTICES else topic
            rows = [
                row
                for row in ran.world.topics[place][partition]
                if place != URGENT_COMMANDS or bool(row.headers) == (topic == NOTICES)
            ]
        found = _once(row.value or b"" for row in rows)
        wanted = _once(expected)
        if topic != DEAD_LETTERS:
            # People are folded one after the other: only what comes of each has an order.
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
        if kind(row) == KIND_DELIVERY:
            delivery = decode_delivery(row.value or b"")
            told.setdefault(delivery.send_id, delivery.status)
    sends: set[str] = set()
    for topic in (COMMANDS, URGENT_COMMANDS):
        for row in (row for rows in ran.world.topics[topic] for row in rows):
            if not row.headers:
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


def _taken_back(ran: Ran) -> Iterator[str]:
    """Only what was asked for is taken back, and once its cancel has arrived no attempt begins:
    the one under way is the last.

    In a partition the command was written first. Who has meanwhile become somebody else is another
    one's cancel, in whose partition nothing was asked for: to the topics that has no order.
    """
    for bulk, urgent in zip(
        *(ran.world.topics[t] for t in (COMMANDS, URGENT_COMMANDS)), strict=True
    ):
        asked: dict[str, int] = {}
        for row in (*bulk, *urgent):
            if not row.headers:
                at = asked.setdefault(_send_id(row), row.timestamp)
                asked[_send_id(row)] = min(at, row.timestamp)
        for row in urgent:
            told = (KIND_HEADER, KIND_CANCEL) in row.headers
            if told and row.timestamp < asked.get(_send_id(row), row.timestamp):
                yield f"{_send_id(row)}: taken back before it was asked for"
    for send_id, arrived in ran.ledger.cancels.items():
        if send_id not in ran.ledger.entries:
            yield f"{send_id}: taken back, and never asked for"
        if any(begun > arrived for begun in ran.provider.begun[send_id]):
            yield f"{send_id}: begun after it was taken back"


def _send_id(row: Row) -> str:
    start = (row.value or b"").index(b'"send_id":"') + 11
    return (row.value or b"")[start : start + 36].decode()


# The decisions.


def _hops(ran: Ran, reference: Reference, unions: Unions) -> Iterator[str]:
    """Each maker's hops stand in every log in the order of their making, repeats aside."""
    wanted: defaultdict[tuple[int, str | None], list[bytes]] = defaultdict(list)
    found: defaultdict[tuple[int, str | None], list[bytes]] = defaultdict(list)
    for _, target, row in reference.hops:
        wanted[target, of_maker(row)].append(row.value or b"")
    for target, rows in enumerate(ran.world.topics[EVENTS]):
        for row in rows:
            maker = of_maker(row)
            if maker is not None and unions.home(maker) == reference.partition:
                found[target, maker].append(row.value or b"")
    for link in wanted.keys() | found.keys():
        if _once(found[link]) != _once(wanted[link]):
            missing = len(set(wanted[link]) - set(found[link]))
            extra = len(set(found[link]) - set(wanted[link]))
            yield f"hops of {link[1]}: {missing} lost, {extra} too many (else: another order)"
    for person in sorted(reference.stored.keys()):
        asking = reference.asking(person)
        if asking:
            yield f"{person} still waits for {asking}"


def _decisions(ran: Ran, reference: Reference, partition: int, unions: Unions) -> Iterator[str]:
    events = _events(ran, partition)
    people: defaultdict[str, list[Happened]] = defaultdict(list)
    for happened in events:
        people[happened[2].person].append(happened)
    failed = _failed(ran.world.topics[EVENTS][partition])
    heard = _heard(ran.world.topics[EVENTS][partition])
    clock = [row.timestamp * 1000 for row in ran.world.topics[EVENTS][partition]]
    commands: defaultdict[str, list[tuple[int, SendCommand]]] = defaultdict(list)
    for offset, command in reference.commands:
        commands[command.person].append((offset, command))
    for person in sorted(people):
        if not unions.alone(person):
            continue  # judged together with who they are
        history = History(
            events=people[person],
            commands=commands[person],
            decided=reference.decisions.get(person, []),
            failed=failed,
            waiting=reference.waiting(person),
            bundle_at=reference.bundle_at,
            one_revision=reference.one_revision,
        )
        one = Person(history)
        back = one.takes_back(reference.cancels, heard, clock)
        told = (*one.caps(), *one.twice_or_lost(), *one.dedup(), *one.exits(), *one.waits(), *back)
        for problem in told:
            yield f"{person}: {problem}"


def _events(ran: Ran, partition: int) -> list[Happened]:
    """The first of each message id of each person, where it belongs, in order of the log."""
    found: list[Happened] = []
    known: set[tuple[str, str]] = set()
    for row in ran.world.topics[EVENTS][partition]:
        for index, event in enumerate(events_of(row)):
            name = (event.person, event.message_id)
            mine = partition_of(event.person.encode(), ran.world.partitions) == partition
            if mine and name not in known and not is_poisoned(event):
                known.add(name)
                found.append((row.offset, index, event))
    return found


def _heard(rows: Iterable[Row]) -> dict[str, int]:
    """Where in the log each send was first heard of."""
    heard: dict[str, int] = {}
    for row in rows:
        if kind(row) == KIND_DELIVERY:
            heard.setdefault(decode_delivery(row.value or b"").send_id, row.offset)
    return heard


def _failed(rows: Iterable[Row]) -> dict[str, int]:
    """Where in the log each send failed, if that was the first to be heard of it."""
    verdicts: dict[str, tuple[str, int]] = {}
    for row in rows:
        if kind(row) == KIND_DELIVERY:
            delivery = decode_delivery(row.value or b"")
            verdicts.setdefault(delivery.send_id, (delivery.status, row.offset))
    return {send_id: at for send_id, (status, at) in verdicts.items() if status == "failed"}
