"""The fold of one partition: records in, what is to be written out. No I/O, no clock.

A batch is folded by a generator that yields `Flush` (write this), `NeedRules` (give me the
rules of this revision) and `Pause` (let others run), and never waits itself. What comes out
depends on the log and the stored states alone, not on where batches begin and end.
"""

from collections.abc import Generator, Sequence
from typing import Any

from services.contracts.codec import decode_marker, decode_tick
from services.contracts.errors import Malformed
from services.contracts.event import FUTURE_TOLERANCE, Event
from services.contracts.time import Micros
from services.contracts.topics import KIND_EVENT, KIND_MARKER, KIND_PACK, KIND_TICK
from services.runtime.batch.states import PartitionStates
from services.runtime.kafka import partition_of
from services.triggers.worker.engine_port import Act, Engine
from services.triggers.worker.failures import engine_error, log_failure
from services.triggers.worker.flushing import FlushBuilder
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
    read_pack,
    value_of,
)
from services.triggers.worker.refold import happenings, refold
from services.triggers.worker.rounds import begun, ended, in_force
from services.triggers.worker.single import read_single
from services.triggers.worker.values import (
    FLUSH_DECISIONS_MAX,
    FLUSH_EVENTS_MAX,
    FLUSH_HOPS_MAX,
    FLUSH_PEOPLE_MAX,
    STRETCH_EVENTS_MAX,
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
        states: PartitionStates[Any],
        engine: Engine,
        *,
        topic: str,
        partition: int,
        partitions: int,
        replay: bool,
        live_max: int,
    ) -> None:
        self.states = states
        self._engine = engine
        self._partition = partition
        self._partitions = partitions
        self._replay = replay
        self.live_max = live_max
        self._waking = Waking(states, engine, lambda person: self._at_hand.get(person))
        self.timers = self._waking.timers
        self._rules: Any = None
        self._letters = Letters(topic, partition)
        self._flushes = FlushBuilder(engine, partitions)
        self._out = engine.outputs(partition)
        self._at_hand: dict[str, Any] = {}
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
        stored = self.states.stored
        return len(stored) - (META_KEY in stored)

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
        decide = self._engine.decide
        replay = self._replay
        at_hand_max, decided_max = FLUSH_PEOPLE_MAX, FLUSH_DECISIONS_MAX
        left, together = STRETCH_EVENTS_MAX, 0
        for record in records:
            left -= 1
            try:
                kind = kind_of(record.headers) if record.headers else KIND_EVENT
                if kind == KIND_EVENT:
                    event = read_event(record, replay=replay)
                    at = event.received_at
                    self._apply(decide, event, at, position_of(record), record, None)
                elif kind == KIND_PACK:
                    events = read_pack(record)
                    left -= len(events)
                    self._apply_pack(decide, events, position_of(record), record)
                elif kind == KIND_TICK:
                    yield from self._tick(record)
                elif kind == KIND_MARKER:
                    yield from self._marker(record)
                else:
                    act, thing, at = read_single(kind, record, self._engine)
                    self._apply(act, thing, at, position_of(record), record, None)
            except Malformed as error:
                self._letters.add(record, error)
            out = self._out
            many = len(self._at_hand) >= at_hand_max or len(out.decisions) >= decided_max
            if many or len(out.hops) >= FLUSH_HOPS_MAX:
                yield self._flush(position_of(record, PACK_INDEX_MAX))
            if left <= 0:
                together += STRETCH_EVENTS_MAX - left
                left = STRETCH_EVENTS_MAX
                yield Pause()
            if together >= FLUSH_EVENTS_MAX:
                together = 0
                yield self._flush(position_of(record, PACK_INDEX_MAX))
        yield self._flush(position_of(records[-1], PACK_INDEX_MAX), last=True)

    # One thing that happened to one person.

    def _apply(
        self,
        act: Act,
        thing: Any,
        received_at: Micros,
        position: int,
        record: Record,
        index: int | None,
    ) -> None:
        state = self._at_hand.get(thing.person)
        if state is None:
            try:
                state = self._first_touch(thing.person, record.key, index)
            except Malformed as error:
                self._letters.add(record, error, index=index, thing=thing)
                return
        applied = state.applied
        if position <= applied:
            self._replayed += 1
            return
        state.applied = position
        try:
            act(state, thing, self._rules, received_at, self._out)
        except Exception as error:  # noqa: BLE001  (the worker's boundary around the engine)
            self._refused(error, state, applied, record, index, thing)

    def _apply_pack(
        self, decide: Act, events: Sequence[Event], position: int, record: Record
    ) -> None:
        """`_apply` for each event, with the way nearly all of them go written out."""
        at_hand, rules, out = self._at_hand, self._rules, self._out
        for event in events:
            state = at_hand.get(event.person)
            if state is None or position <= (applied := state.applied):
                index = position & PACK_INDEX_MAX
                self._apply(decide, event, event.received_at, position, record, index)
            else:
                state.applied = position
                try:
                    decide(state, event, rules, event.received_at, out)
                except Exception as error:  # noqa: BLE001  (as in `_apply`)
                    index = position & PACK_INDEX_MAX
                    self._refused(error, state, applied, record, index, event)
            position += 1

    def _refused(
        self,
        error: Exception,
        state: Any,
        applied: int,
        record: Record,
        index: int | None,
        thing: Any,
    ) -> None:
        """The engine did not take it: a dead letter, and what a bug half did is undone."""
        if isinstance(error, Malformed):
            if applied < 0:
                state.applied = applied  # so that nobody comes into being by a bad event
        else:
            self._roll_back(state.person, state.applied, error)
            error = engine_error(error)
        self._letters.add(record, error, index=index, thing=thing)

    def _first_touch(self, person: str, key: bytes | None, index: int | None) -> Any:
        """The person's state, once in a stretch; new people only where they belong.

        Raises:
            Malformed: the record stands under another key or in another partition than the
                person's. Packs have no key of their own.
        """
        state = self.states.get(person) if person != META_KEY else None
        if index is None or state is None:
            name = check_person(person, (key or b"") if index is None else None)
            if state is None:
                if partition_of(name, self._partitions) != self._partition:
                    raise Malformed("wrong_partition", "the person belongs to another partition")
                state = self._engine.new_state(person)
        # Under the state's own text: the next look-up then reads no memory but the state's.
        self._at_hand[state.person] = state
        return state

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
        for person, state in self._at_hand.items():
            self.timers.arm(person, state.wake_at)
        for wake_at, person in self.timers.due(tick.at):
            state = self._at_hand.get(person)
            if state is None:
                state = self._at_hand[person] = self.states.get(person)
            if position <= state.applied or not self._waking.is_due(state, tick.at, position):
                self.timers.arm(person, wake_at)  # a replay: it fired then, this is the next
                continue
            state.applied = position
            try:
                self._engine.wake(state, self._rules, tick.at, self._out)
            except Exception as error:  # noqa: BLE001  (the worker's boundary around the engine)
                # Left asleep until something happens to them, or it would fail every second.
                self._roll_back(person, position, error).wake_at = None
                self._letters.add(record, engine_error(error), key=person.encode())
            if len(self._at_hand) >= FLUSH_PEOPLE_MAX:
                yield self._flush(position)
        meta = ended(self.meta, tick.at, position)
        if meta is not None:
            # Written out before it is forgotten who was woken by it: see `_roll_back`.
            yield self._flush(position)
            self._set_meta(meta)

    def _set_meta(self, meta: PartitionMeta) -> None:
        self._waking.meta = meta
        self._flushes.meta_changed = True

    def _marker(self, record: Record) -> Steps:
        marker = decode_marker(value_of(record))
        if marker.revision <= self.meta.revision:
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
        position = position_of(record)
        self._set_meta(in_force(self.meta, marker.revision, position, everyone=everyone))

    # Failure and the end of a stretch.

    def _roll_back(self, person: str, position: int, error: Exception) -> Any:
        """Undo a failed call: the person as before, outputs of the failed call gone."""
        log_failure(error, self._partition, position >> INDEX_BITS)
        self._failed.add((position, person))
        self._flushes.drop_outputs_of(person, self._out)
        state = self._stored_state(person)
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
        self._out.commands += again.commands
        self._out.notices += again.notices
        self._out.decisions += again.decisions
        self._out.profiles += again.profiles
        self._out.findings += again.findings
        self._out.hops += again.hops
        if state.applied >= 0:
            state.applied = position
        self._at_hand[person] = state
        return state

    def _stored_state(self, person: str) -> Any:
        self.states.forget_live(person)
        state = self.states.get(person)
        return self._engine.new_state(person) if state is None else state

    def _flush(self, upto: int, *, last: bool = False) -> Flush:
        """Everything at positions up to `upto` has been folded: hand over what came of it."""
        at_hand, self._at_hand = self._at_hand, {}
        states: States = []
        for person, data, state in self._flushes.encoded(at_hand, self.states.stored):
            if data is None:
                self._give_up(person, state.applied)
                continue
            if not data:
                self.states.remove(person)
                self.timers.arm(person, None)
                states.append((person.encode(), None))
                continue
            self.states.keep(person, state, data)
            self.timers.arm(person, state.wake_at)
            states.append((person.encode(), data))
        self.states.cool(self.live_max)
        flush = self._flushes.build(
            self._out,
            self._letters,
            states=states,
            meta=self.meta,
            replayed=self._replayed,
            record=self._records[-1],
            last=last,
        )
        if flush.meta is not None:
            self.states.stored[META_KEY] = flush.meta
        self._replayed = 0
        self._flushed = upto
        self._failed.clear()
        self._out = self._engine.outputs(self._partition)
        return flush

    def _give_up(self, person: str, applied: int) -> None:
        """Undo a stretch that made a state too large to be written: all of it dead letters."""
        self._flushes.drop_outputs_of(person, self._out)
        stored = self._stored_state(person)
        too_large = Malformed("state_too_large", "the person's state would exceed one record")
        for record, index, _, act, thing, _ in happenings(
            self._records,
            person,
            self._engine,
            after=max(stored.applied, self._flushed),
            upto=applied + 1,
            replay=self._replay,
        ):
            if act is not None:
                self._letters.add(record, too_large, index=index, thing=thing)
