"""What a backtest of a million events costs: `python -m tests.benchmarks.bench_backtest [events]`.

The pipeline's workload as a file of messages, spread over sixty days: 20 live triggers, two
drafts (one on an event, one on inactivity). Reading, sorting, both plays and the samples are
timed together, as the command runs them, in processor time of one process.
"""

import asyncio
import gc
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from services.cli.backtest import GC_THRESHOLD
from services.cli.backtest_run import question, run
from services.contracts.codec import encode_json
from services.contracts.time import DAY, from_micros
from services.triggers.backtest.report import encode_report
from tests.benchmarks.workload import as_message, bundle, shoppers

EVENTS = 1_000_000
START_AT = 20_000 * DAY
SPAN = 60 * DAY
DRAFTS = """
kind: trigger
id: dear_cart
entry:
  events: [Product Added]
  where: {property: price, op: gte, value: 119}
when_capped: {action: defer}
priority: 90
steps: [{send: {channel: log}}]
---
kind: trigger
id: silent
entry: {inactivity: {events: [Logged In, Order Completed], lasts: 14d}}
steps: [{send: {channel: log}}]
"""


def write_history(file: BinaryIO, count: int) -> None:
    """The workload's events as an export would hold them, a message a line."""
    for shopper in shoppers(count):
        at = from_micros(START_AT + shopper.number * SPAN // count)
        file.write(encode_json(as_message(shopper) | {"timestamp": at.isoformat()}) + b"\n")


def main() -> None:
    """Print one line: seconds of processor and of wall clock, and what was found."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    gc.set_threshold(*GC_THRESHOLD)
    with TemporaryDirectory() as folder:
        history, drafts = Path(folder) / "history.jsonl", Path(folder) / "drafts.yaml"
        drafts.write_text(DRAFTS)
        with history.open("wb") as file:
            write_history(file, count)
        began, began_wall = time.process_time(), time.perf_counter()
        asked = question([drafts], bundle())
        steps: list[tuple[str, float]] = []
        report = asyncio.run(
            run(asked, str(history), lambda what, _: steps.append((what, time.process_time())))
        )
        size = len(encode_report(report))
        seconds, wall = time.process_time() - began, time.perf_counter() - began_wall
    decided_from = next(at for what, at in steps if what == "deciding")
    decided_to = next(at for what, at in reversed(steps) if what == "looking at samples")
    sends = ", ".join(f"{one.trigger} {one.sends}" for one in report.triggers if one.draft)
    print(
        f"{count} events: {seconds:.1f} s of one core ({wall:.1f} s on the clock), of it reading "
        f"{decided_from - began:.1f}, deciding twice {decided_to - decided_from:.1f}; "
        f"{report.people} people, sends: {sends}, displaced "
        f"{sum(one.displaced for one in report.triggers)}; report of {size} bytes"
    )


if __name__ == "__main__":
    main()
