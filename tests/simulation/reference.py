"""The undisturbed run: the same log, folded once from its beginning, record by record."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from services.contracts.command import Cancel, SendCommand
from services.contracts.decision import CANCELLED, Decision
from services.contracts.definitions import Bundle, DefinitionRecord
from services.contracts.event import Event
from services.contracts.topics import KIND_CANCEL, KIND_HEADER
from services.runtime.batch.states import PartitionStates
from services.triggers.engine import PersonState, decode_state
from services.triggers.engine.person import tag_values
from services.triggers.engine.state import NO_REVISION
from services.triggers.worker.definitions import DefinitionHistory
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.fold import PartitionFold
from services.triggers.worker.reading import META_KEY
from services.triggers.worker.values import Answer, Flush, InForce, NeedRules
from tests.simulation.world import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    DEFINITIONS,
    EVENTS,
    PROFILES,
    URGENT_COMMANDS,
    Row,
)

OUTPUTS: Final = (COMMANDS, URGENT_COMMANDS, DECISIONS, PROFILES, DEAD_LETTERS)
NOTICES: Final = "notices"
"""What stands on the topic of urgent commands and is none."""
_command: Final = msgspec.json.Decoder(SendCommand)
_cancel: Final = msgspec.json.Decoder(Cancel)
_decision: Final = msgspec.json.Decoder(Decision)


class Logs(Protocol):
    """Topics with their partitions' records."""

    @property
    def topics(self) -> Mapping[str, Sequence[Sequence[Row]]]: ...
    @property
    def partitions(self) -> int: ...


class Definitions:
    """What was in force at each revision, read from the topic as a worker does."""

    def __init__(self, world: Logs, engine: Engine) -> None:
        self._history = DefinitionHistory()
        self._engine = engine
        for row in world.topics[DEFINITIONS][0]:
            self._history.add(msgspec.json.decode(row.value or b"", type=DefinitionRecord))

    def bundle(self, revision: int) -> Bundle:
        """The definitions of a revision."""
        return self._history.bundle_at(revision)

    def rules(self, revision: int) -> Answer:
        """Compiled."""
        return InForce(self._engine.compile_rules(self.bundle(revision)))


class Reference:
    """One partition, undisturbed.

    `outputs` holds the values for each topic in order; `decisions` and `commands` come with
    the offset of the record that led to them, `cancels` (of sends) with the first, `hops` with
    the partition they go to as well.
    """

    def __init__(
        self,
        world: Logs,
        engine: Engine,
        definitions: Definitions,
        partition: int,
        *,
        replay: bool = False,
    ) -> None:
        self.outputs: dict[str, list[bytes]] = {topic: [] for topic in (*OUTPUTS, NOTICES)}
        self.decisions: defaultdict[str, list[tuple[int, Decision]]] = defaultdict(list)
        self.commands: list[tuple[int, SendCommand]] = []
        self.cancels: dict[str, int] = {}
        self.hops: list[tuple[int, int, Row]] = []
        self.revisions: list[tuple[int, int]] = [(-1, 0)]
        self.partition = partition
        self._definitions = definitions
        states = PartitionStates()
        self._fold = PartitionFold(
            states,
            engine,
            topic=EVENTS,
            partition=partition,
            partitions=world.partitions,
            replay=replay,
        )
        self.stored = states.stored
        for row in world.topics[EVENTS][partition]:
            self._take(row)

    def _take(self, row: Row) -> None:
        steps = self._fold.run([row])
        answer: Answer | None = None
        while True:
            try:
                step = next(steps) if answer is None else steps.send(answer)
            except StopIteration:
                break
            answer = None
            if isinstance(step, Flush):
                self._keep(row.offset, step)
            elif isinstance(step, NeedRules):
                answer = self._definitions.rules(step.revision)
        revision = self._fold.meta.revision
        if revision != self.revisions[-1][1]:
            self.revisions.append((row.offset, revision))

    def _keep(self, offset: int, flush: Flush) -> None:
        written = (
            flush.commands, flush.urgent, flush.decisions, flush.profiles, flush.letters
        )  # fmt: skip
        for topic, records in zip(OUTPUTS, written, strict=True):
            self.outputs[topic] += [value for _, value in records]
        self.outputs[NOTICES] += [value or b"" for _, value, _ in flush.notices]
        for target, hops in flush.hops.items():
            for key, value, headers in hops:
                self.hops.append(
                    (offset, target, Row(offset=-1, key=key, value=value, headers=headers))
                )
        decided: dict[str | None, int] = {}
        for place, (_, value) in enumerate(flush.decisions):
            decision = _decision.decode(value)
            if CANCELLED in decision.details:
                continue  # of a send that another record told of
            decided[decision.send_id] = place
            self.decisions[decision.person].append((offset, decision))
        for _, value, headers in flush.notices:
            if (KIND_HEADER, KIND_CANCEL) in headers:
                self.cancels[_cancel.decode(value or b"").send_id or ""] = offset
        # Two topics have them; they were decided in one order.
        commands = [_command.decode(value) for _, value in (*flush.commands, *flush.urgent)]
        commands.sort(key=lambda command: decided.get(command.send_id, len(decided)))
        self.commands += [(offset, command) for command in commands]

    @property
    def one_revision(self) -> bool:
        """Whether nothing was decided under other definitions than the last."""
        return len(self.revisions) == 2

    def asking(self, person: str) -> list[str]:
        """Whom a person still waits for at the end."""
        if person == META_KEY:
            return []
        return [one.person for one in decode_state(self.stored[person]).asking if not one.answered]

    def tags(self, person: str) -> dict[str, Any]:
        """The values of a person's tags at the end."""
        state = decode_state(self.stored[person])
        if state.revision == NO_REVISION:
            return {}  # still an address of others, and waiting for them: nothing is read there
        rules = self._definitions.rules(state.revision)
        assert isinstance(rules, InForce)
        return tag_values(state, rules.rules, state.now)

    def waiting(self, person: str) -> set[tuple[str, str]]:
        """Trigger and event of what is still under way in a person at the end."""
        data = self.stored.get(person)
        state: PersonState | None = None if data is None else decode_state(data)
        if state is None or state.sending is None:
            return set()
        return {(one.trigger, one.event_id) for one in state.sending.runs}

    def bundle_at(self, offset: int) -> Bundle:
        """What was in force when the record at `offset` was folded."""
        revision = max(number for since, number in self.revisions if since < offset)
        return self._definitions.bundle(revision)


Happened = tuple[int, int, Event]
"""Offset, index in the pack, event."""
