"""What triggers of each kind cost: `python -m tests.benchmarks.bench_kinds [events]`.

The pipeline's workload (20 live triggers) folded by one partition of the worker without its
broker: packs decoded, decided, states and outputs encoded. Then the same with ten triggers of
one kind more, and at last with all eighty. Microseconds of processor time an event; the
variants take turns, the least of each counts.
"""

import gc
import sys
from dataclasses import dataclass
from itertools import chain

from services.contracts.codec import encode_pack
from services.contracts.event import Event
from services.contracts.time import DAY, SECOND
from services.contracts.topics import KIND_PACK
from services.triggers.worker.main import GC_THRESHOLD
from tests.benchmarks.folding import Partition, Row
from tests.benchmarks.kinds import KINDS, OF_EACH_KIND, with_kinds
from tests.benchmarks.workload import EVENT_NAMES, PEOPLE, Shopper, as_event, shoppers

EVENTS = 150_000
REPEATS = 3
PACK_EVENTS = 100
BATCH_PACKS = 100
PER_SECOND = 100_000
WARM_SHARE = 0.6
START_AT = 20_000 * DAY
VARIANTS = {"none": (), **{kind: (kind,) for kind in KINDS}, "all": tuple(KINDS)}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Microseconds an event, and how many of a thousand events led to a decision."""

    micros: float
    decisions: float


def packs(count: int) -> list[bytes]:
    """One event of everybody, then the workload as ingest packs it."""
    events: list[Event] = []
    made: list[bytes] = []
    everybody = (
        Shopper(number=number, person=f"u{number}", name=EVENT_NAMES[0], properties={})
        for number in range(PEOPLE)
    )
    for shopper in chain(everybody, shoppers(count)):
        at = START_AT - SECOND if len(made) < PEOPLE // PACK_EVENTS else START_AT
        events.append(as_event(shopper, start_at=at, per_second=PER_SECOND))
        if len(events) == PACK_EVENTS:
            made.append(encode_pack(events))
            events = []
    return made


def fold(values: list[bytes], kinds: tuple[str, ...]) -> Cost:
    """Cost of the last part; what comes before it fills the states."""
    partition = Partition(bundle=with_kinds(*kinds))
    rows: list[Row] = [partition.row(value, KIND_PACK, START_AT) for value in values]
    gc.collect()
    gc.freeze()
    warm = int(len(rows) * WARM_SHARE)
    for part in (rows[:warm], rows[warm:]):
        partition.seconds, decisions = 0.0, partition.decisions
        for start in range(0, len(part), BATCH_PACKS):
            partition.take(part[start : start + BATCH_PACKS])
    gc.unfreeze()
    events = (len(rows) - warm) * PACK_EVENTS
    return Cost(
        micros=partition.seconds * 1e6 / events,
        decisions=(partition.decisions - decisions) * 1000 / events,
    )


def run(count: int = EVENTS, repeats: int = REPEATS) -> dict[str, Cost]:
    """The least cost of every variant."""
    gc.set_threshold(*GC_THRESHOLD)
    values = packs(count)
    costs: dict[str, list[Cost]] = {}
    for _ in range(repeats):
        for name, kinds in VARIANTS.items():
            costs.setdefault(name, []).append(fold(values, kinds))
    return {name: min(all_, key=lambda one: one.micros) for name, all_ in costs.items()}


def table(costs: dict[str, Cost]) -> str:
    """The costs as Markdown, each against the workload without them."""
    base = costs["none"].micros
    lines = [
        "| besides the 20 of the workload | µs an event | more | × | decisions of 1,000 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, cost in costs.items():
        added = len(VARIANTS[name]) * OF_EACH_KIND
        what = f"{added} of kind {name}" if name in KINDS else f"{name} ({20 + added} in all)"
        lines.append(
            f"| {what} | {cost.micros:.2f} | {cost.micros - base:+.2f} "
            f"| {cost.micros / base:.2f} | {cost.decisions:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    print(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS)))


if __name__ == "__main__":
    main()
