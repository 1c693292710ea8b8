"""The dispatcher's side: a ledger in memory, a provider with moods, and processes that die.

The rules of retry, doubt and giving up, the reading of commands and the reports are the
production ones; the ledger does in memory what its statements do in the database.
"""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import KafkaError

from services.contracts.codec import encode_json
from services.contracts.topics import KIND_CANCEL, KIND_DELIVERY, KIND_HEADER, KIND_MOVED
from services.dispatcher.channels.port import Accepted, Delayed, Outcome, Refused, Unknown
from services.dispatcher.commands import (
    decode_cancel,
    decode_known,
    decode_moved,
    read_command,
)
from services.dispatcher.ledger import Finished, NewSend
from services.dispatcher.policy import Policy, SendState, Settlement, expired, give_up, settle
from services.dispatcher.reports import delivery_of
from services.runtime.kafka import partition_of
from tests.simulation.loop import Process
from tests.simulation.world import COMMANDS, EVENTS, URGENT_COMMANDS, Line, Row, World

POLICY: Final = Policy(
    attempts_max=3, first_seconds=0.5, max_seconds=4.0, retry_after_seconds_max=5.0
)
LEASE_SECONDS: Final = 6.0
ROUND_SECONDS: Final = 0.3
FAST_SECONDS: Final = 0.05
INTERRUPTED: Final = "interrupted"
OPEN: Final = (SendState.PENDING, SendState.SENDING)


@dataclass(kw_only=True)
class Entry:
    """One send in the ledger."""

    send: NewSend
    state: SendState = SendState.PENDING
    attempts: int = 0
    doubtful: bool = False
    due_at: float = 0.0
    lease_until: float = 0.0
    reason: str | None = None
    finished_at: int = 0
    reported: bool = False


class Provider:
    """Whoever really reaches people: `effects` is what happened to them, by send, and `begun`
    when each of its attempts was claimed (see `Ledger.turn`)."""

    def __init__(self, world: World) -> None:
        random = world.random
        self._world = world
        self.idempotent = random.random() < 0.5
        self.effects: Counter[str] = Counter()
        self.begun: defaultdict[str, list[int]] = defaultdict(list)
        self._bad = random.choice([0.0, 0.1, 0.6])
        self._seconds = random.choice([0.05, 0.5, 3.0])

    async def send(self, send_id: str, begun: int) -> Outcome:
        """Maybe act, maybe say so."""
        self.begun[send_id].append(begun)
        random = self._world.random
        seconds = FAST_SECONDS if self._world.calm else self._seconds
        await asyncio.sleep(random.random() * seconds)
        outcome: Outcome = Accepted()
        if self._world.chance(self._bad):
            troubles: list[Outcome] = [
                Refused(reason="no"),
                Delayed(reason="busy"),
                Unknown(reason="gone"),
            ]
            outcome = random.choice(troubles)
        acted = isinstance(outcome, Accepted)
        if isinstance(outcome, Unknown):
            acted = random.random() < 0.5
        if acted and not (self.idempotent and self.effects[send_id]):
            self.effects[send_id] += 1
        await asyncio.sleep(random.random() * seconds)
        return outcome


class Ledger:
    """What is durable of the dispatcher, and where its groups stand in their topics.

    `cancels` are what was taken back, by the `turn` at which that arrived: turns are counted
    through cancels and claims.
    """

    def __init__(self, world: World) -> None:
        self.entries: dict[str, Entry] = {}
        self.cancels: dict[str, int] = {}
        self.turn = 0
        self.committed = {topic: [0] * world.partitions for topic in (COMMANDS, URGENT_COMMANDS)}

    def record(self, send: NewSend) -> None:
        """Make an entry; of a finished one the delivery is told again."""
        known = self.entries.get(send.send_id)
        if known is None:
            self.entries[send.send_id] = Entry(send=send)
        elif known.state in (SendState.ACCEPTED, SendState.FAILED):
            known.reported, known.lease_until = False, 0.0

    def cancel(self, send_id: str, now: int) -> None:
        """Take a send back: what waits ends, what comes later is not begun."""
        self.turn += 1
        self.cancels.setdefault(send_id, self.turn)
        entry = self.entries.get(send_id)
        if entry is not None and entry.state is SendState.PENDING:
            settlement = give_up("cancelled", doubtful=entry.doubtful)
            entry.state, entry.reason = settlement.state, settlement.reason
            entry.finished_at, entry.reported, entry.lease_until = now, False, 0.0

    @property
    def at_rest(self) -> bool:
        """Whether nothing is open or untold."""
        return all(one.state not in OPEN and one.reported for one in self.entries.values())


class DispatcherProcess:
    """One process: reads, claims, attempts, reports, and takes over what others left."""

    def __init__(self, world: World, ledger: Ledger, provider: Provider, process: Process) -> None:
        self.line = Line(world, process)
        self._world = world
        self._ledger = ledger
        self._provider = provider
        self._process = process

    async def main(self) -> None:
        """Work until dead."""
        try:
            while True:
                await asyncio.sleep(ROUND_SECONDS)
                await self._read()
                await self._claim()
                await self._take_over()
                await self._report()
        except KafkaError as error:
            self._process.die(type(error).__name__)

    async def _read(self) -> None:
        for topic, committed in self._ledger.committed.items():
            for partition in range(self._world.partitions):
                await self._read_partition(topic, partition, committed)

    async def _read_partition(self, topic: str, partition: int, committed: list[int]) -> None:
        rows = self._world.topics[topic][partition][committed[partition] :]
        if not rows:
            return
        await self.line.trip()
        for row in rows:
            if row.headers:
                self._notice(row)
                continue
            self._ledger.record(
                read_command(row.value, partition=partition, offset=row.offset, queues=("log",))
            )
        await self.line.trip()
        if not self._world.chance(self._world.faults.commit_lost):
            committed[partition] = rows[-1].offset + 1

    def _notice(self, row: Row) -> None:
        kind = dict(row.headers)[KIND_HEADER]
        if kind == KIND_CANCEL:
            cancel = decode_cancel(row.value)
            assert cancel.send_id is not None
            self._ledger.cancel(cancel.send_id, self._world.now)
        elif kind == KIND_MOVED:
            decode_moved(row.value)

    async def _claim(self) -> None:
        now = asyncio.get_running_loop().time()
        due = [
            one
            for one in self._ledger.entries.values()
            if one.state is SendState.PENDING and one.due_at <= now
        ]
        for one in sorted(due, key=lambda entry: entry.send.rank):
            one.state, one.attempts = SendState.SENDING, one.attempts + 1
            one.lease_until = now + LEASE_SECONDS
            self._ledger.turn += 1
            cancelled = one.send.send_id in self._ledger.cancels
            self._process.spawn(self._attempt(one, one.attempts, self._ledger.turn, cancelled))

    async def _attempt(self, one: Entry, attempts: int, begun: int, cancelled: bool) -> None:
        await self.line.trip()
        if cancelled:
            settlement = give_up("cancelled", doubtful=one.doubtful)
        elif expired(decode_known(one.send.command), self._world.now):
            settlement = give_up("expired", doubtful=one.doubtful)
        else:
            outcome = await self._provider.send(one.send.send_id, begun)
            settlement = self._policy(one, outcome)
        await self.line.trip()
        self._settle(one, attempts, settlement)

    def _policy(self, one: Entry, outcome: Outcome) -> Settlement:
        return settle(
            outcome,
            attempts=one.attempts,
            doubtful=one.doubtful,
            idempotent=self._provider.idempotent,
            when_unknown="at_most_once",
            policy=POLICY,
            random=self._world.random.random,
        )

    def _settle(self, one: Entry, attempts: int, settlement: Settlement) -> None:
        """An acceptance counts whenever it comes, all else only under the claim."""
        accepted = settlement.state is SendState.ACCEPTED
        late = one.state in (SendState.PENDING, SendState.AMBIGUOUS)
        if one.attempts != attempts:
            return
        if not (one.state is SendState.SENDING or (accepted and late)):
            return
        now = asyncio.get_running_loop().time()
        one.state, one.doubtful = settlement.state, settlement.doubtful
        one.reason, one.finished_at = settlement.reason, self._world.now
        one.due_at = now + settlement.wait_micros / 1e6
        one.lease_until, one.reported = now + LEASE_SECONDS, False
        if one.state not in OPEN:
            self._process.spawn(self._tell([one]))

    async def _take_over(self) -> None:
        now = asyncio.get_running_loop().time()
        for one in self._ledger.entries.values():
            if one.state is SendState.SENDING and one.lease_until < now:
                one.lease_until = now + LEASE_SECONDS
                self._settle(one, one.attempts, self._policy(one, Unknown(reason=INTERRUPTED)))

    async def _report(self) -> None:
        now = asyncio.get_running_loop().time()
        untold = [
            one
            for one in self._ledger.entries.values()
            if not one.reported and one.state not in OPEN and one.lease_until < now
        ]
        for one in untold:
            one.lease_until = now + LEASE_SECONDS
        if untold:
            await self._tell(untold)

    async def _tell(self, entries: list[Entry]) -> None:
        for one in entries:
            state = one.state
            delivery = delivery_of(_finished(one))
            if delivery is not None:
                key = one.send.person.encode()
                headers = ((KIND_HEADER, KIND_DELIVERY),)
                partition = partition_of(key, self._world.partitions)
                record: Any = [(key, encode_json(delivery))]
                try:
                    await self.line.write(EVENTS, partition, record, headers)
                except KafkaError:
                    continue  # told again by whoever looks for what is untold
            await self.line.trip()
            if one.state is state:
                one.reported = True


def _finished(one: Entry) -> Finished:
    send = one.send
    return Finished(
        send_id=send.send_id,
        person=send.person,
        trigger=send.trigger,
        channel=send.channel,
        state=one.state,
        attempts=one.attempts,
        reason=one.reason,
        finished_at=one.finished_at,
        command=send.command,
        source_partition=send.source_partition,
        source_offset=send.source_offset,
    )
