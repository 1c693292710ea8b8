"""Several people, each with a log of their own, and what goes from one log to another.

A hop waits in the link between two logs until it is delivered. Links keep their order. A crash
makes a person's worker read again what was folded since the last durable state: it writes
everything out once more.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.contracts.codec import (
    decode_answer,
    decode_ask,
    decode_forward,
    encode_hop,
    encode_json,
)
from services.contracts.command import Moved
from services.contracts.control import Answer, Ask, Forward
from services.contracts.decision import Decision, Outcome
from services.contracts.definitions import AnyDefinition
from services.contracts.delivery import Delivery, DeliveryStatus
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine import (
    Outputs,
    PersonState,
    Rules,
    apply_answer,
    apply_ask,
    apply_delivery,
    apply_forward,
    compile_rules,
    decide,
    decode_state,
    encode_state,
    new_state,
    wake,
)
from services.triggers.engine.hops import open_asks
from tests.engine.build import NOON, bundle

Hop = Ask | Answer | Forward
Thing = Event | Delivery | Hop | None
"""What a record of a log holds; None for a tick."""


@dataclass(kw_only=True)
class Person:
    """One log: its records with their times, how many are folded, and the durable state."""

    name: str
    log: list[tuple[Thing, Micros]] = field(default_factory=list)
    folded: int = 0
    durable: bytes = b""
    durable_upto: int = 0
    outputs: list[bytes] = field(default_factory=list)
    """What each record led to, as it was written: folded again it has to lead to the same."""

    def __post_init__(self) -> None:
        self.durable = encode_state(new_state(self.name))

    def read(self) -> PersonState:
        return decode_state(self.durable)


@dataclass(kw_only=True)
class People:
    """All of them under one set of rules. Every state goes through its bytes at every step."""

    rules: Rules
    now: Micros = NOON
    out: Outputs = field(default_factory=Outputs)
    people: dict[str, Person] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)
    links: dict[tuple[str, str], deque[Hop]] = field(default_factory=dict)
    told: dict[str, list[Decision]] = field(default_factory=dict)
    """Each person's decisions, those that were written again only once."""
    events: int = 0
    watched: Callable[[Outputs], None] = lambda out: None
    """Told what each record led to, as soon as it is folded for the first time."""

    def person(self, name: str) -> Person:
        if name not in self.people:
            self.people[name] = Person(name=name)
            self.states[name] = self.people[name].durable
        return self.people[name]

    def state(self, name: str) -> PersonState:
        self.person(name)
        return decode_state(self.states[name])

    # What happens: put into a log, and folded at once unless told otherwise.

    def event(
        self,
        name: str,
        what: str = "order",
        properties: Mapping[str, Any] | None = None,
        *,
        fold: bool = True,
        at: Micros | None = None,
        id_: str | None = None,
        **fields: Any,
    ) -> list[Decision]:
        """Something this person did."""
        self.events += 1
        event = Event(
            person=name,
            type=fields.pop("type", "track"),
            name=what,
            message_id=id_ or f"event-{self.events}",
            occurred_at=self.now if at is None else at,
            received_at=self.now,
            properties=dict(properties or {}),
            **fields,
        )
        return self.put(name, event, fold=fold)

    def alias(self, name: str, previous: str, *, fold: bool = True) -> list[Decision]:
        """They were somebody else before."""
        return self.event(name, "$alias", type="alias", previous_id=previous, fold=fold)

    def identify(
        self, name: str, anonymous: str | None = None, *, fold: bool = True, **traits: Any
    ) -> list[Decision]:
        """They said who they are, and maybe under which anonymous id."""
        return self.event(
            name,
            "$identify",
            type="identify",
            user_id=name,
            anonymous_id=anonymous,
            traits=traits,
            fold=fold,
        )

    def delivery(
        self, name: str, send_id: str, status: DeliveryStatus = "accepted", *, fold: bool = True
    ) -> list[Decision]:
        """A verdict on a send came back."""
        delivery = Delivery(
            send_id=send_id,
            person=name,
            trigger="any",
            channel="log",
            status=status,
            attempts=1,
            received_at=self.now,
        )
        return self.put(name, delivery, fold=fold)

    def put(self, name: str, thing: Thing, *, fold: bool = True) -> list[Decision]:
        """A record at the end of a person's log."""
        self.person(name).log.append((thing, self.now))
        return self.fold(name) if fold else []

    def wake(self, name: str) -> list[Decision]:
        """Time came to now, for one person."""
        return self.put(name, None)

    # How it goes on.

    def fold(self, name: str, upto: int | None = None) -> list[Decision]:
        """Fold what is in the log, up to a number of records."""
        person = self.person(name)
        upto = len(person.log) if upto is None else min(upto, len(person.log))
        before = len(self.told.setdefault(name, []))
        while person.folded < upto:
            self._fold_one(person)
        return self.told[name][before:]

    def _fold_one(self, person: Person) -> None:
        thing, now = person.log[person.folded]
        state = decode_state(self.states[person.name])
        state.applied = person.folded << 16
        out = Outputs()
        if thing is None:
            wake(state, self.rules, now, out)
        elif isinstance(thing, Event):
            decide(state, thing, self.rules, now, out)
        elif isinstance(thing, Delivery):
            apply_delivery(state, thing, self.rules, now, out)
        elif isinstance(thing, Ask):
            apply_ask(state, decode_ask(encode_hop(thing)), self.rules, now, out)
        elif isinstance(thing, Answer):
            apply_answer(state, decode_answer(encode_hop(thing)), self.rules, now, out)
        else:
            apply_forward(state, decode_forward(encode_hop(thing)), self.rules, now, out)
        assert state.wake_at is None or state.wake_at > state.now
        self.states[person.name] = encode_state(state)
        person.folded += 1
        for hop in out.hops:
            self.links.setdefault((person.name, hop.person), deque()).append(hop)
        written = encode_json(
            [out.commands, out.notices, out.decisions, out.profiles, out.hops, out.counts]
        )
        if person.folded <= len(person.outputs):
            assert written == person.outputs[person.folded - 1]
        else:
            person.outputs.append(written)
            self.told.setdefault(person.name, []).extend(out.decisions)
            self.out.commands += out.commands
            self.out.notices += out.notices
            self.out.decisions += out.decisions
            self.out.profiles += out.profiles
            self.out.hops += out.hops
            for counts, more in ((self.out.counts, out.counts), (self.out.skipped, out.skipped)):
                for key, count in more.items():
                    counts[key] += count
            self.watched(out)

    def deliver(self, source: str, target: str, *, fold: bool = True) -> None:
        """The oldest hop of a link arrives at the end of the log it was for."""
        self.put(target, self.links[source, target].popleft(), fold=fold)

    def waiting(self) -> list[tuple[str, str]]:
        """Links on which something is under way."""
        return [link for link, hops in sorted(self.links.items()) if hops]

    def settle(self) -> None:
        """Everything under way arrives, everything in a log is folded."""
        for _ in range(1_000):
            links = self.waiting()
            for source, target in links:
                self.deliver(source, target)
            if not links and all(one.folded == len(one.log) for one in self.people.values()):
                return
            for name in list(self.people):
                self.fold(name)
        raise AssertionError("hops go round for ever")

    def keep(self, name: str) -> None:
        """What is folded of this person becomes durable."""
        person = self.person(name)
        person.durable, person.durable_upto = self.states[name], person.folded

    def crash(self, name: str) -> None:
        """Go back to the durable state, and fold again, and write again, what came since."""
        person = self.person(name)
        upto, folded = person.folded, self.states[name]
        self.states[name], person.folded = person.durable, person.durable_upto
        self.fold(name, upto)
        assert self.states[name] == folded

    # What came of it.

    def home(self, name: str) -> str:
        """Who the person has become."""
        seen = []
        while (target := self.state(name).merged_into) is not None:
            assert name not in seen, "addresses lead in a circle"
            seen.append(name)
            name = target
        return name

    def noticed(self, name: str) -> str:
        """Whom the notices lead to, as the dispatcher follows them."""
        latest: dict[str, Moved] = {}
        for one in self.out.notices:
            if isinstance(one, Moved):
                assert one.at >= latest.get(one.person, one).at
                latest[one.person] = one
        seen = [name]
        while (moved := latest.get(seen[-1])) is not None and moved.into not in seen:
            seen.append(moved.into)
        ends = moved is None or moved.into == seen[-1]
        return seen[-1] if ends else min(seen)

    def asked(self, name: str) -> list[str]:
        """Who has yet to answer them."""
        return open_asks(self.state(name))

    def tag(self, name: str, id_: str) -> Any:
        """A tag's value now, of whom the person has become."""
        return self.rules.read_tag[id_](self.state(self.home(name)), self.now)

    def outcomes(self, name: str) -> list[Outcome]:
        """What was decided in this person's log."""
        return [one.outcome for one in self.told.get(name, [])]


ANN, BOB, CAT, DAN = "ann", "bob", "cat", "dan"


def people_of(*definitions: AnyDefinition, **workspace: Any) -> People:
    """Nobody yet, under these definitions."""
    return People(rules=compile_rules(bundle(*definitions, **workspace)))


def merged(*definitions: AnyDefinition) -> People:
    """Ann was seen, and Bob took her in."""
    people = people_of(*definitions)
    people.event(ANN)
    people.alias(BOB, ANN)
    people.settle()
    return people
