"""`make simulate`: play seeds, name those that fail and how to repeat one of them."""

import argparse
import sys
import time
from random import SystemRandom

from services.contracts.codec import encode_json
from tests.simulation.auditor import problems_of
from tests.simulation.run import Ran, simulate

FRESH_BELOW = 1 << 40
PROBLEMS_SHOWN_MAX = 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many, one after the other")
    parser.add_argument("--from", type=int, dest="first", help="the first one; else a fresh one")
    parser.add_argument("--seed", type=int, help="this one alone, told in full")
    return parser.parse_args()


def _tell(ran: Ran) -> None:
    world = ran.world
    print(f"digest {ran.digest()}")
    print(f"{world.faults}, {ran.seconds:.0f} virtual seconds, {world.speed} log seconds in each")
    for topic, partitions in world.topics.items():
        print(f"  {topic}: {[len(rows) for rows in partitions]} records")
    print(f"  provider idempotent: {ran.provider.idempotent}, ledger: {len(ran.ledger.entries)}")
    for process in world.processes:
        print(f"  {process.name}: {process.reason or 'alive at the end'}")
    for definitions in ran.bundles:
        print(f"  {encode_json(definitions).decode()}")


def main() -> int:
    """Exit code 1 if a seed failed."""
    arguments = _arguments()
    if arguments.seed is not None:
        ran = simulate(arguments.seed)
        _tell(ran)
        found = problems_of(ran)
        print("\n".join(found) or "no problem found")
        return 1 if found else 0
    first = arguments.first
    if first is None:
        first = SystemRandom().randrange(FRESH_BELOW)
    failed, since = 0, time.perf_counter()
    print(f"{arguments.seeds} seeds from {first}")
    for seed in range(first, first + arguments.seeds):
        found = problems_of(simulate(seed))
        if found:
            failed += 1
            print(f"seed {seed} failed; again: make simulate SEED={seed}")
            for problem in found[:PROBLEMS_SHOWN_MAX]:
                print(f"    {problem}")
    rate = arguments.seeds / (time.perf_counter() - since)
    print(f"{failed} of {arguments.seeds} seeds failed, {rate:.1f} seeds a second")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
