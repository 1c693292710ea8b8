"""What is told of a failure of the engine: never a value of the event that it failed on."""

import traceback

from services.contracts.errors import Malformed
from services.runtime.logs import get_logger

_log = get_logger(__name__)


def engine_error(error: Exception) -> Malformed:
    """The reason in the dead letter."""
    return Malformed("engine_error", f"the engine failed with {type(error).__name__}")


def log_failure(error: Exception, partition: int, offset: int) -> None:
    """Say where in the code and in the log it was."""
    # The message may carry values of the event, its place in the code does not.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _log.error(
        "engine failed",
        error=type(error).__name__,
        at=f"{frame.name}:{frame.lineno}",
        partition=partition,
        offset=offset,
    )
