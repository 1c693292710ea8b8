"""One partition of the worker without its broker: the fold, and the bytes that would be durable."""

from dataclasses import dataclass, field
from time import process_time

from services.contracts.definitions import Bundle
from services.contracts.time import Micros
from services.contracts.topics import KIND_HEADER
from services.runtime.batch.states import PartitionStates
from services.triggers.engine import compile_rules
from services.triggers.worker.engine_port import triggers_engine
from services.triggers.worker.fold import PartitionFold
from services.triggers.worker.values import Flush, InForce, NeedRules


@dataclass(kw_only=True)
class Row:
    """A record of the log."""

    offset: int
    key: bytes | None = None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: int


@dataclass(kw_only=True)
class Partition:
    """A fold, its durable bytes, and the processor time it has taken."""

    bundle: Bundle
    stored: dict[bytes, bytes] = field(default_factory=dict)
    commands: int = 0
    decisions: int = 0
    offset: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.engine = triggers_engine("default")
        self.rules = compile_rules(self.bundle)
        self.states = PartitionStates()
        self.start()

    def start(self) -> None:
        """Begin with what the states hold."""
        self.fold = PartitionFold(
            self.states,
            self.engine,
            topic="events",
            partition=0,
            partitions=1,
            replay=False,
        )

    def take(self, rows: list[Row]) -> float:
        """Fold a batch; gives the seconds that took."""
        began = process_time()
        steps = self.fold.run(rows)
        step = next(steps)
        while True:
            if isinstance(step, Flush):
                self.stored.update(
                    (key, data) for key, data in step.states if key is not None and data
                )
                self.commands += len(step.commands)
                self.decisions += len(step.decisions)
                if step.last:
                    break
            step = steps.send(InForce(self.rules)) if isinstance(step, NeedRules) else next(steps)
        taken = process_time() - began
        self.seconds += taken
        return taken

    def row(self, value: bytes, kind: bytes, at: Micros) -> Row:
        """The log's next record."""
        self.offset += 1
        return Row(
            offset=self.offset, value=value, headers=[(KIND_HEADER, kind)], timestamp=at // 1000
        )
