"""Waiting for an embedded server, with the end of its log in the error."""

import time
from collections.abc import Callable

from services.contracts.errors import CuestreamError
from services.runtime.process import Child

POLL_SECONDS = 0.02


class EmbeddedError(CuestreamError):
    """An embedded server is not installed, or did not come up; the message says why."""


def wait_until_ready(child: Child, ready: Callable[[], bool], timeout_seconds: float) -> None:
    """Block until `ready()`.

    Raises:
        EmbeddedError: the process ended, or was not ready in time (it is killed then).
    """
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if child.alive and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            continue
        what = "took too long to start" if child.alive else f"ended with {child.exit_code}"
        child.stop(grace_seconds=0)
        raise EmbeddedError(f"the embedded {child.name} {what}:\n{child.log_tail()}")
