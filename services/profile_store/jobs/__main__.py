"""`python -m services.profile_store.jobs JOB SLOT`: what the scheduler starts."""

import sys

from services.profile_store.jobs.process import run_scheduled
from services.profile_store.jobs.results import JOBS
from services.profile_store.jobs.settings import JobSettings
from services.runtime.settings import load


def main(arguments: list[str]) -> int:
    """Entry point; returns the exit code."""
    if len(arguments) != 2 or arguments[0] not in JOBS or not arguments[1].isdecimal():
        sys.stderr.write(f"give one of {', '.join(JOBS)} and an instant in microseconds\n")
        return 2
    return run_scheduled(load(JobSettings), arguments[0], int(arguments[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
