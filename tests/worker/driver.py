"""Drives a fold as its lane does, with a log in memory and writes that are lists."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from services.contracts.codec import encode_hop, encode_json, encode_pack
from services.contracts.command import SendCommand
from services.contracts.control import Answer as Handed
from services.contracts.control import Ask, Erase, Forward, Marker, Tick
from services.contracts.deadletter import DeadLetter
from services.contracts.delivery import Delivery
from services.contracts.event import Event
from services.contracts.time import SECOND
from services.contracts.topics import (
    KIND_DELIVERY,
    KIND_ERASE,
    KIND_HEADER,
    KIND_MARKER,
    KIND_PACK,
    KIND_TICK,
)
from services.runtime.batch.states import PartitionStates
from services.runtime.batch.writer import Headers
from services.runtime.kafka import partition_of
from services.runtime.sealing import Keyring
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.fold import PartitionFold
from services.triggers.worker.reading import META_KEY
from services.triggers.worker.single import kind_of_hop
from services.triggers.worker.values import Answer, Flush, InForce, NeedRules, Pause
from tests.worker.standin import StandInRules, StandInState, decode_state, stand_in

START = 1_800_000_000_000  # milliseconds
PARTITIONS = 4
PARTITION = 2


def people(count: int, partition: int = PARTITION) -> list[str]:
    """Ids that belong to the partition."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        person = f"p{number}"
        if partition_of(person.encode(), PARTITIONS) == partition:
            found.append(person)
        number += 1
    return found


@dataclass(kw_only=True)
class Row:
    """A record as the consumer hands it out."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    timestamp: int = START


class Log:
    """Builds one partition's log. The n-th record is stamped n seconds after the start."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __repr__(self) -> str:
        return "\n".join(f"{row.offset} {row.headers} {row.value!r}" for row in self.rows)

    def raw(self, value: bytes | None, key: bytes | None = None, kind: bytes | None = None) -> Row:
        headers = [] if kind is None else [(KIND_HEADER, kind)]
        row = Row(
            offset=len(self.rows),
            key=key,
            value=value,
            headers=headers,
            timestamp=START + 1000 * len(self.rows),
        )
        self.rows.append(row)
        return row

    def event(
        self,
        person: str,
        name: str = "note",
        *,
        key: str | None = None,
        wait: int = 0,
        of: str | None = None,
    ) -> Row:
        message = {
            "type": "track",
            "userId": person,
            "event": name,
            "messageId": f"m{len(self.rows)}",
            "properties": {"in": wait, "of": of},
        }
        return self.raw(msgspec.json.encode(message), (key or person).encode())

    def pack(self, *events: tuple[str, str]) -> Row:
        at = self.now
        return self.raw(
            encode_pack(
                [
                    Event(
                        person=person,
                        type="track",
                        name=name,
                        message_id=f"m{len(self.rows)}.{index}",
                        occurred_at=at,
                        received_at=at,
                        properties={"in": SECOND},
                    )
                    for index, (person, name) in enumerate(events)
                ]
            ),
            kind=KIND_PACK,
        )

    def tick(self, at: int | None = None) -> Row:
        return self.raw(encode_json(Tick(at=self.now if at is None else at)), kind=KIND_TICK)

    def marker(self, revision: int) -> Row:
        return self.raw(encode_json(Marker(revision=revision, at=self.now)), kind=KIND_MARKER)

    def delivery(self, person: str, send_id: str = "s1") -> Row:
        value = Delivery(
            send_id=send_id,
            person=person,
            trigger="t",
            channel="log",
            status="accepted",
            attempts=1,
            received_at=self.now,
        )
        return self.raw(encode_json(value), person.encode(), KIND_DELIVERY)

    def erase(self, person: str, request: str = "r1") -> Row:
        value = encode_json(Erase(person=person, request=request, at=self.now))
        return self.raw(value, person.encode(), KIND_ERASE)

    def hop(self, hop: Ask | Handed | Forward) -> Row:
        return self.raw(encode_hop(hop), hop.person.encode(), kind_of_hop(hop))

    @property
    def now(self) -> int:
        """When the next record will be stamped, in microseconds."""
        return (START + 1000 * len(self.rows)) * 1000


class Crash(Exception):
    """The process is gone."""


class Partition:
    """A partition's durable side: what was written, and the states a restart would find."""

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        replay: bool = False,
        everyone: bool = False,
        number: int = PARTITION,
        keys: Keyring | None = None,
    ) -> None:
        self.keys = keys
        self.number = number
        # Whoever else's logs are written to: (partition, key, value, headers), in order.
        self.hops: list[tuple[int, bytes | None, bytes, Headers]] = []
        # Whether every revision brings something new that concerns everyone.
        self.everyone = everyone
        self.engine = engine or stand_in()
        self.replay = replay
        self.stored: dict[str, bytes] = {}
        self.flushes: list[Flush] = []
        self.answers: dict[int, Answer] = {}
        self.asked: list[NeedRules] = []
        self.pauses = 0
        self.committed = 0
        self.fold: PartitionFold
        self.restart()

    def restart(self, states: PartitionStates | None = None) -> None:
        """Begin again from what is durable, or from states that were kept."""
        if states is None:
            states = PartitionStates()
            states.stored.update(self.stored)
        self.fold = PartitionFold(
            states,
            self.engine,
            topic="events",
            partition=self.number,
            partitions=PARTITIONS,
            replay=self.replay,
            keys=self.keys,
        )

    def _write(self, flush: Flush) -> None:
        for key, value in flush.states:
            assert key is not None
            if value is None:
                del self.stored[key.decode()]
            else:
                self.stored[key.decode()] = value

    def take(self, rows: Sequence[Row], crash_after: int | None = None) -> None:
        """Fold a batch; `crash_after` writes the process dies (0: before any of them).

        A flush is two writes, outputs and states, as in the real thing, and one more for
        each hop.
        """
        writes = 0

        def written() -> None:
            nonlocal writes
            writes += 1
            if crash_after is not None and writes > crash_after:
                raise Crash

        steps = self.fold.run(rows)
        step = next(steps)
        while True:
            if isinstance(step, Flush):
                written()
                for target, hops in step.hops.items():
                    for hop in hops:
                        key, value, headers = hop
                        assert value is not None
                        self.hops.append((target, key, value, headers))
                        written()
                self.flushes.append(step)
                written()
                self._write(step)
                if step.meta is not None:
                    self.stored[META_KEY] = step.meta
                if step.last:
                    self.committed = rows[-1].offset + 1
                try:
                    step = next(steps)
                except StopIteration:
                    return
            elif isinstance(step, Pause):
                self.pauses += 1
                step = next(steps)
            else:
                self.asked.append(step)
                concerned = frozenset({step.revision}) if self.everyone else frozenset()
                rules = InForce(StandInRules(step.revision, concerned))
                step = steps.send(self.answers.get(step.revision, rules))

    @property
    def states(self) -> dict[str, StandInState]:
        """The people a restart would find."""
        return {key: decode_state(data) for key, data in self.stored.items() if key != META_KEY}

    @property
    def commands(self) -> list[SendCommand]:
        return [
            msgspec.json.decode(value, type=SendCommand)
            for flush in self.flushes
            for _, value in (*flush.commands, *flush.urgent)
        ]

    @property
    def letters(self) -> list[DeadLetter]:
        return [
            msgspec.json.decode(value, type=DeadLetter)
            for flush in self.flushes
            for _, value in flush.letters
        ]

    def count(self, outcome: str) -> int:
        """Events of this outcome, as the metrics would count them."""
        return sum(flush.events.get(outcome, 0) for flush in self.flushes)
