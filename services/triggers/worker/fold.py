"""The fold of one partition: records in, what is to be written out. No I/O, no clock.

A batch is folded by a generator that yields `Flush` (write this), `NeedRules` (give me the
rules of this revision) and `Pause` (let others run), and never waits itself.

People do not touch one another, so each is folded by themselves: what a stretch of the log
holds of a person at once, from stored bytes to bytes. A worker's people do not fit into any
cache of a processor, one of them does. What comes out of each person is in the order of the
log, and depends on the log and the stored states alone, not on where batches begin and end.
"""

from collections.abc import Generator, Sequence
from typing import Any

from services.contracts.codec import decode_event, decode_marker, decode_tick
from services.contracts.errors import Malformed
from services.contracts.event import FUTURE_TOLERANCE
from services.contracts.time import Micros
from services.contracts.topics import KIND_EVENT, KIND_MARKER, KIND_TICK
from services.runtime.batch.states import PartitionStates
from services.runtime.batch.writer import VALUE_BYTES_MAX
from services.runtime.kafka import partition_of
from services.runtime.sealing import Keyring
from services.triggers.worker.engine_port import Engine, state_decoder
from services.triggers.worker.failures import engine_error, log_failure
from services.triggers.worker.flushing import FlushBuilder
from services.triggers.worker.gathering import Gathered, Item
from services.triggers.worker.letters import Letters
from services.triggers.worker.reading import (
    INDEX_BITS,
    META_KEY,
    MILLIS,
    PACK_INDEX_MAX,
    PartitionMeta,
    Record,
    check_person,
    decode_meta,
    kind_of,
    position_of,
    read_event,
    value_of,
)
from services.triggers.worker.refold import happenings, refold
from services.triggers.worker.rounds import begun, ended, in_force
from services.triggers.worker.values import (
    FLUSH_DECISIONS_MAX,
    FLUSH_EVENTS_MAX,
    FLUSH_HOPS_MAX,
    FLUSH_PEOPLE_MAX,
    STRETCH_EVENTS_MAX,
    TOGETHER_MAX,
    WOKEN_TOGETHER_MAX,
    Answer,
    Flush,
    InForce,
    NeedRules,
    Pause,
    States,
    Unavailable,
)
from services.triggers.worker.waking import Waking

Steps = Generator[Flush | NeedRules | Pause, Answer | None, None]


class PartitionFold:
    """Folds the log of one partition into its states.

    `states` may be changed by others only while no batch is being folded; call `recovered`
    afterwards. One batch at a time.
    """

    def __init__(
        self,
        states: PartitionStates,
        engine: Engine,
        *,
        topic: str,
        partition: int,
        partitions: int,
        replay: bool,
        keys: Keyring | None = None,
    ) -> None:
        self.states = states
        self._engine = engine
        self._partition = partition
        self._partitions = partitions
        self._replay = replay
        self._decode = state_decoder(engine)
        self._folded: dict[str, bytes] = {}
        self._gathered = Gathered(engine, replay=replay)
        self._waking = Waking(states, engine, self._bytes)
        self.timers = self._waking.timers
        self._rules: Any = None
        self._letters = Letters(topic, partition, keys)
        self._flushes = FlushBuilder(engine, partitions)
        self._out = engine.outputs(partition)
        self._replayed = 0
        self._records: Sequence[Record] = ()
        self._failed: set[tuple[int, str]] = set()
        self._flushed = -1
        self._take_up()

    def recovered(self) -> None:
        """Take in what recovery or another owner changed: the revision and the timers."""
        if self.states.changed_outside:
            self._take_up()

    def _take_up(self) -> None:
        states = self.states
        meta = decode_meta(states.stored.get(META_KEY))
        if meta.revision != self.meta.revision:
            self._rules = None
        self._waking.take_up(meta)
        states.changed_outside = False

    @property
    def meta(self) -> PartitionMeta:
        """What is in force."""
        return self._waking.meta

    @property
    def people(self) -> int:
        """How many people's states are held."""
        return len(self.states.stored) - (META_KEY in self.states.stored)

    def run(self, records: Sequence[Record]) -> Steps:
        """Fold consecutive records; the last step is always a `Flush` with `last` set.

        `send` an answer to each `NeedRules`. Raises only what is a bug of the shell or means
        that stored states cannot be read: the caller stops without committing.
        """
        self._records = records
        self._flushed = -1
        if self._rules is None:
            answer = yield NeedRules(self.meta.revision, required=True)
            assert isinstance(answer, InForce)
            self._rules = answer.rules
        gathered = self._gathered
        for record in records:
            try:
                kind = kind_of(record.headers) if record.headers else KIND_EVENT
                if kind in (KIND_TICK, KIND_MARKER):
                    yield from self._fold_gathered()
                    yield from self._tick(record) if kind == KIND_TICK else self._marker(record)
                else:
                    gathered.add(kind, record)
            except Malformed as error:
                self._letters.add(record, error)
            people = len(gathered.people) + len(self._folded)
            if people >= FLUSH_PEOPLE_MAX or gathered.count >= FLUSH_EVENTS_MAX:
                yield from self._fold_gathered()
                yield self._flush(position_of(record, PACK_INDEX_MAX))
        yield from self._fold_gathered()
        yield self._flush(position_of(records[-1], PACK_INDEX_MAX), last=True)

    def _fold_gathered(self) -> Steps:
        left = STRETCH_EVENTS_MAX
        for person, items in self._gathered.take().items():
            state = None
            for start in range(0, len(items), TOGETHER_MAX):
                some = items[start : start + TOGETHER_MAX]
                state = self._fold_items(person, state, some)
                out = self._out
                if len(out.decisions) >= FLUSH_DECISIONS_MAX or len(out.hops) >= FLUSH_HOPS_MAX:
                    self._close(person, state)
                    state = None
                    yield self._flush(self._flushed)
                left -= len(some)
                if left <= 0:
                    left = STRETCH_EVENTS_MAX
                    yield Pause()
            self._close(person, state)

    def _fold_items(self, person: str, state: Any, items: Sequence[Item]) -> Any:
        """Fold what happened to a person, in the order of the log, into their state; without
        one it is looked up. Gives the state as it is then."""
        engine, rules, out, replay = self._engine, self._rules, self._out, self._replay
        decide = engine.decide
        for record, index, thing, act, at in items:
            position = record.offset << INDEX_BITS
            try:
                if act is None:
                    act = decide
                    if index is None:
                        thing = read_event(record, replay=replay)
                    else:
                        position += index
                        thing = decode_event(thing)
                    at = thing.received_at
                if thing.person != person:
                    check_person(thing.person, record.key or b"")
                if state is None:
                    state = self._open(person)
            except Malformed as error:
                self._letters.add(record, error, index=index, thing=thing)
                continue
            applied = state.applied
            if position <= applied:
                self._replayed += 1
                continue
            state.applied = position
            try:
                act(state, thing, rules, at, out)
            except Exception as error:  # noqa: BLE001  (the worker's boundary around the engine)
                state = self._refused(error, state, applied, record, index, thing)
        return state

    def _refused(
        self,
        error: Exception,
        state: Any,
        applied: int,
        record: Record,
        index: int | None,
        thing: Any,
    ) -> Any:
        """The engine did not take it: a dead letter; what a bug half did is undone. Gives state."""
        if isinstance(error, Malformed):
            if applied < 0:
                state.applied = applied  # so that nobody comes into being by a bad event
        else:
            state = self._roll_back(state.person, state.applied, error)
            error = engine_error(error)
        self._letters.add(record, error, index=index, thing=thing)
        return state

    def _bytes(self, person: str) -> bytes | None:
        """The newest of a person; empty where nobody is left of them."""
        data = self._folded.get(person)
        return self.states.stored.get(person) if data is None else data

    def _open(self, person: str) -> Any:
        """The person's state; new people only where they belong.

        Raises:
            Malformed: it can be no one's id, or belongs to another partition.
        """
        data = None if person == META_KEY else self._bytes(person)
        if data is not None:
            return self._decode(data) if data else self._engine.new_state(person)
        if partition_of(check_person(person, None), self._partitions) != self._partition:
            raise Malformed("wrong_partition", "the person belongs to another partition")
        return self._engine.new_state(person)

    def _close(self, person: str, state: Any) -> None:
        """Keep what has become of a person, for the next flush."""
        if state is None or state.applied < 0:
            return  # nothing was ever applied: they do not exist
        data = b"" if self._engine.is_nobody(state) else self._engine.encode_state(state)
        if len(data) > VALUE_BYTES_MAX:
            self._give_up(person, state.applied)
            return
        self._folded[person] = data
        self.timers.arm(person, state.wake_at)

    # Time and rules.

    def _tick(self, record: Record) -> Steps:
        tick = decode_tick(value_of(record))
        # In a replay ticks run ahead of the machine's clock, live never.
        if not self._replay and tick.at > record.timestamp * MILLIS + FUTURE_TOLERANCE:
            raise Malformed("tick_in_future", "the tick is far ahead of its own record")
        position = position_of(record)
        meta = begun(self.meta, tick.at, position)
        if meta is not None:
            self._set_meta(meta)
            yield from self._waking.everyone()
        again: list[tuple[str, Micros]] = []
        for number, (wake_at, person) in enumerate(self.timers.due(tick.at), start=1):
            state = self._open(person)
            if position > state.applied and self._waking.is_due(state, tick.at, position):
                self._wake(person, state, tick.at, position, record)
            else:
                again.append((person, wake_at))  # a replay: it fired then, this is the next
            if number % WOKEN_TOGETHER_MAX == 0:
                yield Pause()
            if len(self._folded) >= FLUSH_PEOPLE_MAX:
                yield self._flush(position)
        for person, wake_at in again:
            self.timers.arm(person, wake_at)
        meta = ended(self.meta, tick.at, position)
        if meta is not None:
            # Written out before it is forgotten who was woken by it: see `_roll_back`.
            yield self._flush(position)
            self._set_meta(meta)

    def _wake(self, person: str, state: Any, at: Micros, position: int, record: Record) -> None:
        state.applied = position
        try:
            self._engine.wake(state, self._rules, at, self._out)
        except Exception as error:  # noqa: BLE001  (the worker's boundary around the engine)
            # Left asleep until something happens to them, or it would fail every second.
            state = self._roll_back(person, position, error)
            state.wake_at = None
            self._letters.add(record, engine_error(error), key=person.encode())
        self._close(person, state)

    def _set_meta(self, meta: PartitionMeta) -> None:
        self._waking.meta = meta
        self._flushes.meta_changed = True

    def _marker(self, record: Record) -> Steps:
        marker = decode_marker(value_of(record))
        position = position_of(record)
        if marker.revision <= self.meta.revision:
            if marker.everyone and position > self.meta.applied:
                self._set_meta(in_force(self.meta, self.meta.revision, position, everyone=True))
            return  # a replay, or one published again
        # What was decided under the old rules has to be durable before the new are in force:
        # a restart in between would decide it again, under those.
        yield self._flush(position_of(record))
        answer = yield NeedRules(marker.revision, required=False)
        assert answer is not None
        if isinstance(answer, Unavailable):
            raise Malformed(answer.code, answer.reason)
        everyone = self._engine.concerns_everyone(self._rules, answer.rules)
        self._rules = answer.rules
        self._set_meta(in_force(self.meta, marker.revision, position, everyone=everyone))

    # Failure and the end of a stretch.

    def _roll_back(self, person: str, position: int, error: Exception) -> Any:
        """Undo a failed call: the person as before, outputs of the failed call gone."""
        log_failure(error, self._partition, position >> INDEX_BITS)
        self._failed.add((position, person))
        self._flushes.drop_outputs_of(person, self._out)
        self._folded.pop(person, None)
        state = self._open(person)
        again = self._engine.outputs(self._partition)
        refold(
            state,
            self._records,
            self._engine,
            self._rules,
            again,
            after=max(state.applied, self._flushed),
            upto=position,
            failed=self._failed,
            replay=self._replay,
            is_due=self._waking.is_due,
        )
        self._flushes.take_over(self._out, again)
        if state.applied >= 0:
            state.applied = position
        return state

    def _flush(self, upto: int, *, last: bool = False) -> Flush:
        """Hand over what came of people so far; at positions up to `upto` that is everything."""
        folded, self._folded = self._folded, {}
        stored = self.states.stored
        states: States = []
        for person, data in folded.items():
            before = stored.get(person)
            if not data:
                if before is not None:
                    del stored[person]
                    states.append((person.encode(), None))
            elif before != data:
                stored[person] = data
                states.append((person.encode(), data))
        flush = self._flushes.build(
            self._out,
            self._letters,
            states=states,
            meta=self.meta,
            replayed=self._replayed,
            record=self._records[-1],
            last=last,
            complete=upto > self._flushed,
        )
        if flush.meta is not None:
            self.states.stored[META_KEY] = flush.meta
        self._replayed = 0
        if upto > self._flushed:
            self._flushed = upto
            self._failed.clear()
        self._out = self._engine.outputs(self._partition)
        return flush

    def _give_up(self, person: str, applied: int) -> None:
        """Undo a stretch that made a state too large to be written: all of it dead letters."""
        self._flushes.drop_outputs_of(person, self._out)
        self._folded.pop(person, None)
        stored = self._open(person)
        too_large = Malformed("state_too_large", "the person's state would exceed one record")
        for record, index, position, act, thing, _ in happenings(
            self._records,
            person,
            self._engine,
            after=max(stored.applied, self._flushed),
            upto=applied + 1,
            replay=self._replay,
        ):
            self._failed.add((position, person))
            if act is not None:
                self._letters.add(record, too_large, index=index, thing=thing)
