"""What one event costs the engine alone: `python -m tests.benchmarks.bench_engine [events]`.

The pipeline's workload (20 live triggers of which four listen to each event, 5 rolling tags)
folded by one process at two densities: bursts, where a person's events lie close together,
and months, where buckets leave and a profile goes out at nearly every event.
"""

import gc
import statistics
import sys
from collections import Counter
from time import process_time

import msgspec

from services.contracts.event import Event
from services.contracts.time import DAY, SECOND
from services.triggers.engine import (
    Outputs,
    PersonState,
    compile_rules,
    decide,
    decode_state,
    encode_state,
    new_state,
)
from tests.benchmarks.workload import as_event, bundle, shoppers

EVENTS = 200_000
BATCH_EVENTS = 1_000
START_AT = 20_000 * DAY
REPEATS = 3


def _events(count: int, *, span: int) -> list[Event]:
    """The workload's events, spread evenly over `span` microseconds."""
    spread = []
    for shopper in shoppers(count):
        event = as_event(shopper, start_at=START_AT, per_second=1)
        at = START_AT + shopper.number * span // count
        spread.append(msgspec.structs.replace(event, occurred_at=at, received_at=at))
    return spread


def _fold(events: list[Event]) -> tuple[float, dict[str, PersonState], Counter[str]]:
    """Seconds spent on the second half of the events, the states, what was put out by it."""
    rules = compile_rules(bundle())
    states: dict[str, PersonState] = {}
    put_out: Counter[str] = Counter()
    warm = len(events) // 2
    gc.collect()
    gc.freeze()
    seconds = 0.0
    for start in range(0, len(events), BATCH_EVENTS):
        out = Outputs()
        began = process_time()
        for event in events[start : start + BATCH_EVENTS]:
            state = states.get(event.person)
            if state is None:
                state = states[event.person] = new_state(event.person)
            decide(state, event, rules, event.received_at, out)
        if start >= warm:
            seconds += process_time() - began
            put_out["commands"] += len(out.commands)
            put_out["decisions"] += len(out.decisions)
            put_out["profiles"] += len(out.profiles)
    gc.unfreeze()
    return seconds, states, put_out


def _codec(states: dict[str, PersonState]) -> tuple[float, float, list[int]]:
    """Microseconds to encode and to decode one state, and the sizes in bytes."""
    began = process_time()
    encoded = [encode_state(state) for state in states.values()]
    between = process_time()
    for data in encoded:
        decode_state(data)
    ended = process_time()
    per_state = 1e6 / len(encoded)
    return (between - began) * per_state, (ended - between) * per_state, list(map(len, encoded))


def main() -> None:
    """Print one line for each density: the best of three runs, processor time, warmed up."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    print(f"{count} events, best of {REPEATS}; times in microseconds")
    for name, span in (
        ("bursts (10 s)", 10 * SECOND),
        ("months (60 d)", 60 * DAY),
    ):
        events = _events(count, span=span)
        best, states, put_out = min(
            (_fold(events) for _ in range(REPEATS)), key=lambda result: result[0]
        )
        encode, decode, sizes = _codec(states)
        half = count - count // 2
        made = ", ".join(f"{number / half:.3f} {what}" for what, number in put_out.items())
        print(
            f"{name}: decide {best * 1e6 / half:.2f}, encode {encode:.2f}, decode {decode:.2f}; "
            f"{len(states)} states of {statistics.median(sizes):.0f} bytes (largest "
            f"{max(sizes)}); an event makes {made}"
        )


if __name__ == "__main__":
    main()
