"""Histories of people who turned out to be one, put together from the logs of all of them.

What a person was before they handed themselves over is a life; it ends at the record that they
answered. A life that was taken in stands in the other's history at the place where the answer
was taken: what had happened in it was known there from then on. So the history of a person is
one line, in the order in which it came to be known, whatever the clocks in between said.

Only the records are looked at, never a state: answers say where a life ends, forwards what was
handed on, and the positions in both what is a repetition.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from services.contracts.codec import (
    decode_answer,
    decode_ask,
    decode_delivery,
    decode_event,
    decode_forward,
)
from services.contracts.command import SendCommand
from services.contracts.control import Answer, Ask, Forward
from services.contracts.decision import Decision
from services.contracts.definitions import Bundle, Tag
from services.contracts.delivery import Delivery
from services.contracts.event import Event
from services.contracts.topics import KIND_ANSWER, KIND_ASK, KIND_DELIVERY, KIND_FORWARD
from services.runtime.kafka import partition_of
from services.triggers.worker.single import made_by
from tests.engine.oracle import OneSend, counts
from tests.simulation.person import LATE, Group, History, Person
from tests.simulation.poison import is_poisoned
from tests.simulation.reference import Logs, Reference
from tests.simulation.rows import events_of, kind
from tests.simulation.world import EVENTS, Row

Hop = Ask | Answer | Forward
_DECODERS: Final[dict[bytes, Callable[[bytes], Hop]]] = {
    KIND_ASK: decode_ask,
    KIND_ANSWER: decode_answer,
    KIND_FORWARD: decode_forward,
}


@dataclass(frozen=True)
class Taken:
    """Somebody's life was taken in: it ended at this place of their log."""

    source: str
    ended: int


@dataclass(frozen=True)
class Asking:
    """Somebody was asked for in the name of another, or that is over: `over` says which."""

    of: str
    by: str
    over: bool


@dataclass(kw_only=True)
class Life:
    """A person until they are handed over. `happened` is by place in their partition's log."""

    person: str
    began: int
    ended: int | None = None
    happened: list[tuple[int, int, Event | Delivery | Taken | Asking]] = field(default_factory=list)


def hop_of(row: Row) -> Hop | None:
    """The hop that a record holds; None for any other record."""
    decode = _DECODERS.get(kind(row))
    return None if decode is None else decode(row.value or b"")


class Unions:
    """The lives of everybody in a run, and who took in whom."""

    def __init__(self, world: Logs, references: list[Reference]) -> None:
        self._world = world
        self._references = references
        self.lives: defaultdict[str, list[Life]] = defaultdict(list)
        self._ends: dict[tuple[str, int], str] = {}
        self._handed_on: set[tuple[str, int]] = set()
        self.ringed: set[str] = set()
        self._read_hops()
        self.merged = {person for person, _ in self._ends}
        for partition in range(world.partitions):
            self._live(partition)
        for reference in references:
            self._asks(reference)
        self._by_end = {
            (life.person, life.ended): life
            for lives in self.lives.values()
            for life in lives
            if life.ended is not None
        }
        self._taken = Counter(
            (one.source, one.ended)
            for lives in self.lives.values()
            for life in lives
            for _, _, one in life.happened
            if isinstance(one, Taken)
        )

    def home(self, person: str) -> int:
        """The partition of a person's log."""
        return partition_of(person.encode(), self._world.partitions)

    def _read_hops(self) -> None:
        for row in (row for rows in self._world.topics[EVENTS] for row in rows):
            hop = hop_of(row)
            if isinstance(hop, Answer) and hop.state is not None:
                self._ends[hop.source, hop.position >> 16] = hop.person
            elif isinstance(hop, Forward):
                self._handed_on.add((hop.source, hop.position))
                if hop.person in hop.path:
                    self.ringed.add(hop.person)

    def _live(self, partition: int) -> None:
        """Go through the log of a partition, as the people in it."""
        last: dict[tuple[str, str], int] = {}
        for row in self._world.topics[EVENTS][partition]:
            hop = hop_of(row)
            if hop is None:
                self._plain(partition, row)
                continue
            person = hop.person
            if self.home(person) != partition:
                continue
            life = self._life(person, row.offset)
            if isinstance(hop, Answer | Forward):
                new = hop.position > last.get((person, hop.source), -1)
                last[person, hop.source] = max(hop.position, last.get((person, hop.source), -1))
                if new:
                    self._handed(life, person, row, hop)
            self._end(person, row.offset)

    def _plain(self, partition: int, row: Row) -> None:
        things: list[Event | Delivery] = list(events_of(row))
        if kind(row) == KIND_DELIVERY:
            things = [decode_delivery(row.value or b"")]
        for index, thing in enumerate(things):
            mine = self.home(thing.person) == partition
            if mine and not (isinstance(thing, Event) and is_poisoned(thing)):
                life = self._life(thing.person, row.offset)
                if life is not None:
                    life.happened.append((row.offset, index, thing))
                self._end(thing.person, row.offset)

    def _asks(self, reference: Reference) -> None:
        for offset, _, row in reference.hops:
            hop = hop_of(row)
            if isinstance(hop, Ask) and hop.source is None:
                for life in self.lives[made_by(hop)]:
                    if life.began <= offset and (life.ended is None or offset <= life.ended):
                        life.happened.append((offset, 1, Asking(hop.person, hop.by, over=False)))

    def _life(self, person: str, offset: int) -> Life | None:
        """The life that a person has at this place; None for who is another by then."""
        lives = self.lives[person]
        if not lives:
            lives.append(Life(person=person, began=offset))
        return lives[-1] if lives[-1].ended is None else None

    def _end(self, person: str, offset: int) -> None:
        life = self.lives[person][-1]
        if (person, offset) in self._ends and life.ended is None:
            life.ended = offset

    def _handed(self, life: Life | None, person: str, row: Row, hop: Answer | Forward) -> None:
        inner = hop
        if isinstance(hop, Forward) and hop.kind == "answer":
            inner = decode_answer(hop.body)
        if life is None:
            back = isinstance(inner, Answer) and inner.state is not None
            if not back or (person, row.offset << 16) in self._handed_on:
                return
            life = Life(person=person, began=row.offset)  # the one who stands for a whole ring
            self.lives[person].append(life)
        if isinstance(inner, Answer):
            life.happened.append((row.offset, 0, Asking(inner.source, inner.person, over=True)))
            if inner.state is not None:
                taken = Taken(inner.source, inner.position >> 16)
                life.happened.append((row.offset, 0, taken))
        elif inner.kind == "event":
            life.happened.append((row.offset, 0, decode_event(inner.body)))
        else:
            life.happened.append((row.offset, 0, decode_delivery(inner.body)))

    # Histories.

    def alone(self, person: str) -> bool:
        """Whether nobody was ever merged with them."""
        return person not in self.merged and not any(
            isinstance(one, Taken) for life in self.lives[person] for _, _, one in life.happened
        )

    def audit(self) -> Iterator[str]:
        """What is wrong with people who were merged."""
        for end in sorted(self._ends):
            if self._taken[end] != 1:
                yield f"{end} was handed over and taken in {self._taken[end]} times"
        for person in sorted(self.lives):
            if self.alone(person):
                continue
            for life in self.lives[person]:
                line = _Line(self, self._references, life)
                one = Person(line.history)
                told = [*line.problems, *one.caps(), *one.dedup(), *one.exits()]
                if life.ended is None:
                    told += [*one.twice_or_lost(), *self._sums(person, line)]
                yield from (f"{person}, merged: {problem}" for problem in told)
            yield from self._of_nobody(person)

    def _sums(self, person: str, line: "_Line") -> Iterator[str]:
        """Each event counts once in the sums over a whole life."""
        tags = self._references[self.home(person)].tags(person)
        for tag in line.lasting_sums():
            spent = sum(
                event.properties[tag.value or ""]
                for place, _, event in line.history.events
                if event.name in tag.events and tag in line.history.bundle_at(place).tags
            )
            if round(spent, 6) != tags.get(tag.id):
                yield f"{tag.id} is {tags.get(tag.id)}, the events say {spent}"

    def _of_nobody(self, person: str) -> Iterator[str]:
        decided = self._references[self.home(person)].decisions.get(person, [])
        for offset, decision in decided:
            if not any(
                life.began <= offset <= (offset if life.ended is None else life.ended)
                for life in self.lives[person]
            ):
                yield f"{person} was another already: {decision.trigger} at {offset}"

    def row(self, reference: Reference, offset: int) -> Row:
        """A record of a partition's log."""
        return self._world.topics[EVENTS][reference.partition][offset]

    def handed_to(self, life: Life) -> str | None:
        """Who was answered at the end of a life."""
        return None if life.ended is None else self._ends[life.person, life.ended]

    def life_that_ended(self, taken: Taken) -> Life | None:
        """The life that somebody was given."""
        return self._by_end.get((taken.source, taken.ended))


class _Line:
    """One life, with all that was taken into it, in one line."""

    def __init__(self, unions: Unions, references: list[Reference], life: Life) -> None:
        self._unions = unions
        self._references = references
        self._where: list[tuple[tuple[int, ...], Reference, int]] = []
        self._events: list[tuple[int, int, Event]] = []
        self._decided: list[tuple[int, Decision]] = []
        self._commands: list[tuple[int, SendCommand]] = []
        self._verdicts: dict[str, tuple[str, int]] = {}
        self._known: set[str] = set()
        self._waiting: set[Group] = set()
        self._splices = 0
        self.problems: list[str] = []
        self._lay(life, ())
        self.history = History(
            events=self._events,
            commands=self._commands,
            decided=self._decided,
            failed={
                send_id: place
                for send_id, (status, place) in self._verdicts.items()
                if status == "failed"
            },
            waiting=references[unions.home(life.person)].waiting(life.person),
            bundle_at=self._bundle_at,
            one_revision=False,
            own=lambda place: self._where[place][0] == (),
            sees=self._sees,
            single=False,
            ringed=life.person in unions.ringed,
            late=self._late,
        )

    def _lay(self, life: Life, chain: tuple[int, ...]) -> Counter[Asking]:
        """Put a life down; gives whom it was still asking for at its end.

        Below nought: an answer came to who does not know yet that they were asked for.
        """
        reference = self._references[self._unions.home(life.person)]
        end = float("inf") if life.ended is None else life.ended
        things: dict[int, list[Any]] = defaultdict(list)
        for offset, index, thing in life.happened:
            things[offset].append((index, thing))
        for offset, decision in reference.decisions.get(life.person, []):
            if life.began <= offset <= end:
                things[offset].append(decision)
        for offset, command in reference.commands:
            if command.person == life.person and life.began <= offset <= end:
                things[offset].append(command)
        asking: Counter[Asking] = Counter()
        for offset in sorted(things):
            here = [thing[1] for thing in things[offset] if isinstance(thing, tuple)]
            asked = self._asked(here, asking, life, chain)
            place = len(self._where)
            self._where.append((chain, reference, offset))
            for thing in things[offset]:
                self._put(place, thing)
                if isinstance(thing, SendCommand) and not chain:
                    self._held(thing, place, sorted(ask.of for ask in +asking))
            # Only now: in a pack there can be sends before the asking.
            for ask in asked:
                asking[ask] = min(asking[ask] + 1, 1)
        # Of two who ask each other the one that hands over does not wait for the other.
        to = self._unions.handed_to(life)
        return Counter({ask: n for ask, n in asking.items() if ask.of != to or n < 0})

    def _asked(
        self, here: list[Any], asking: Counter[Asking], life: Life, chain: tuple[int, ...]
    ) -> list[Asking]:
        """Take in what came from others; gives whom this record has them ask for."""
        asked: list[Asking] = []
        for one in here:
            if isinstance(one, Asking) and one.over:
                asking[replace(one, over=False)] -= 1
            elif isinstance(one, Asking):
                asked.append(one)
            elif isinstance(one, Taken):
                theirs = self._splice(one, chain)
                asking.update({ask: n for ask, n in theirs.items() if ask.of != life.person})
        return asked

    def _splice(self, taken: Taken, chain: tuple[int, ...]) -> Counter[Asking]:
        life = self._unions.life_that_ended(taken)
        if life is None:
            self.problems.append(f"{taken} never ended")
            return Counter()
        self._splices += 1
        return self._lay(life, (*chain, self._splices))

    def _held(self, command: SendCommand, place: int, asking: list[str]) -> None:
        if command.kind != "send" or not asking:
            return  # offers and tasks are under no cap
        send = OneSend(
            at=command.decided_at,
            decided=0,
            trigger=command.trigger,
            channel=command.channel,
            category=command.category,
        )
        if any(counts(policy, send) for policy in self._bundle_at(place).policies):
            self.problems.append(f"{command.trigger} sent while {asking} were asked for")

    def _put(self, place: int, thing: Any) -> None:
        if isinstance(thing, Decision):
            self._decided.append((place, thing))
        elif isinstance(thing, SendCommand):
            self._commands.append((place, thing))
        elif isinstance(thing[1], Event):
            if thing[1].message_id not in self._known:
                self._known.add(thing[1].message_id)
                self._events.append((place, thing[0], thing[1]))
        elif isinstance(thing[1], Delivery):
            told = (thing[1].status, place)
            self._verdicts.setdefault(thing[1].send_id, told)

    def lasting_sums(self) -> list[Tag]:
        """Tags that add up since the definitions first said so, and for good."""
        if not self._where:
            return []
        tags = self._bundle_at(len(self._where) - 1).tags
        return [tag for tag in tags if tag.aggregate == "sum" and tag.window is None]

    def _bundle_at(self, place: int) -> Bundle:
        _, reference, offset = self._where[place]
        return reference.bundle_at(offset)

    def _late(self, place: int, event: Event) -> bool:
        """Whether it may have been late: who took it can have been further on in time."""
        _, reference, offset = self._where[place]
        row = self._unions.row(reference, offset)
        return event.occurred_at < row.timestamp * 1000 - LATE

    def _sees(self, later: int, earlier: int) -> bool:
        """Whether what stood at a place knew of what had happened at an earlier one."""
        chain = self._where[later][0]
        return self._where[earlier][0][: len(chain)] == chain


def of_maker(row: Row) -> str | None:
    """In whose log a hop was made; None for any other record."""
    hop = hop_of(row)
    return None if hop is None else made_by(hop)
