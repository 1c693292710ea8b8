"""What timers cost: `python -m tests.benchmarks.bench_timers [people]` (a million by default).

One partition of the worker without its broker: the fold with the production engine, states
encoded as they would be written. Everyone leaves a cart, which sets a timer (`absence`);
activity puts another one off (`inactivity`), which should cost no more than an event does; one
in two orders, which cancels; a restart takes the rest up again; then they fire, by ticks of a
second as in live running. Processor time of one process; rates are people a second.
"""

import gc
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import process_time

from services.contracts.codec import encode_json, encode_pack
from services.contracts.control import Tick
from services.contracts.event import TRACK, Event
from services.contracts.time import DAY, SECOND, Micros
from services.contracts.topics import KIND_PACK, KIND_TICK
from services.runtime.batch.states import PartitionStates
from tests.benchmarks.folding import Partition, Row
from tests.engine.build import bundle, trigger

PEOPLE = 1_000_000
PACK_EVENTS = 500
BATCH_PACKS = 20
START_AT = 20_000 * DAY
SPREAD_SECONDS = 600
"""The timers come due over this time, as they were set over it."""

CART = {
    "absence": {
        "after": {"events": ["Product Added"]},
        "without": {"events": ["Order Completed"]},
        "within": "24h",
    }
}
SILENT = {"inactivity": {"events": ["Product Added", "Page Seen"], "lasts": "60d"}}


@dataclass(kw_only=True)
class ChangelogRow:
    """A record of the changelog, as recovery reads it."""

    offset: int
    key: bytes
    value: bytes | None


class Timers(Partition):
    """A partition whose triggers set timers."""

    def events(self, name: str, people: Iterable[int], at: Micros, count: int) -> float:
        """Tell one event of each of `count` people, spread over the time; people a second."""
        self.seconds = 0.0
        for rows in _batched(self._rows(name, people, at, count), BATCH_PACKS):
            self.take(rows)
        return count / self.seconds

    def _rows(self, name: str, people: Iterable[int], at: Micros, count: int) -> Iterator[Row]:
        pack: list[Event] = []
        for number, person in enumerate(people):
            when = at + number * SPREAD_SECONDS * SECOND // count
            pack.append(
                Event(
                    person=f"person-{person}",
                    type=TRACK,
                    name=name,
                    message_id=f"{name}-{person}",
                    occurred_at=when,
                    received_at=when,
                )
            )
            if len(pack) == PACK_EVENTS:
                yield self.row(encode_pack(pack), KIND_PACK, when)
                pack = []
        if pack:
            yield self.row(encode_pack(pack), KIND_PACK, when)

    def tick(self, at: Micros) -> float:
        """Let time come to `at`; gives the seconds that took."""
        return self.take([self.row(encode_json(Tick(at=at)), KIND_TICK, at)])


def _batched(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _restart(partition: Timers) -> tuple[float, float]:
    """Seconds to read the changelog's records and to have all timers again."""
    records = [
        ChangelogRow(offset=number, key=key, value=value)
        for number, (key, value) in enumerate(partition.stored.items())
    ]
    partition.states = PartitionStates()
    gc.collect()
    began = process_time()
    partition.states.apply(records)
    between = process_time()
    partition.start()
    return between - began, process_time() - between


def main() -> None:
    """Print one line for each thing that is measured."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PEOPLE
    partition = Timers(
        bundle=bundle(trigger("cart_left", entry=CART), trigger("silent", entry=SILENT))
    )
    gc.collect()
    gc.freeze()
    scheduled = partition.events("Product Added", range(count), START_AT, count)
    print(f"scheduled  {scheduled:>12,.0f} a second (new people, two timers each)")
    later = START_AT + SPREAD_SECONDS * SECOND
    put_off = partition.events("Page Seen", range(count), later, count)
    print(f"put off    {put_off:>12,.0f} a second (activity rewrites no timer)")
    later += SPREAD_SECONDS * SECOND
    half = count // 2
    cancelled = partition.events("Order Completed", range(0, 2 * half, 2), later, half)
    print(f"cancelled  {cancelled:>12,.0f} a second")
    read, armed = _restart(partition)
    pending = len(partition.fold.timers)
    print(f"restart    {read:.2f} s to read {count:,} states, {armed:.2f} s to {pending:,} timers")
    partition.seconds, before = 0.0, partition.decisions
    slowest = 0.0
    for second in range(SPREAD_SECONDS + 2):
        slowest = max(slowest, partition.tick(START_AT + DAY + second * SECOND))
    fired = partition.decisions - before
    print(
        f"fired      {fired / partition.seconds:>12,.0f} a second ({fired:,} by "
        f"{SPREAD_SECONDS} ticks, the slowest took {slowest * 1000:.0f} ms: that late at most)"
    )
    if fired != count - half:
        raise SystemExit(f"{count - half} were due")


if __name__ == "__main__":
    main()
