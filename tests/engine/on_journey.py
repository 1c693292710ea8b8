"""Short ways to say journeys, for the tests of them."""

from typing import Any

from services.contracts.decision import Decision
from services.contracts.definitions import Policy, Tag, Trigger
from services.triggers.engine.state import Run
from tests.engine.build import Log, log_of, trigger

SEND: dict[str, Any] = {"send": {"channel": "log"}}
MAIL: dict[str, Any] = {"send": {"channel": "mail", "content": {"subject": "s", "body": "b"}}}
DEFER = {"action": "defer", "expires_after": "3d"}
NIGHT = {"start": "22:00", "end": "08:00"}


def wait(for_: str) -> dict[str, Any]:
    """A wait of so long."""
    return {"wait": {"for": for_}}


def mark(name: str, value: Any = True) -> dict[str, Any]:
    """Tag the person by hand."""
    return {"tag": {"set": name, "value": value}}


def wait_for(*then: Any, timeout: tuple[Any, ...] = (), **fields: Any) -> dict[str, Any]:
    """Wait a day at most for a visit, unless told otherwise."""
    given = {"events": ["visit"], "within": "24h", "then": list(then), "on_timeout": list(timeout)}
    return {"wait_for": {**given, **fields}}


def branch(if_: dict[str, Any], *then: Any, otherwise: tuple[Any, ...] = ()) -> dict[str, Any]:
    """`otherwise` where the condition does not hold."""
    return {"branch": {"if": if_, "then": list(then), "else": list(otherwise)}}


def end(result: str) -> dict[str, Any]:
    """The end, with this result."""
    return {"end": {"result": result}}


def journey(*steps: Any, id_: str = "trip", **fields: Any) -> Trigger:
    """A journey that begins with a `cart`."""
    return trigger(id_, **{"entry": {"events": ["cart"]}, "steps": list(steps), **fields})


def underway(*definitions: Trigger | Tag | Policy, **workspace: Any) -> Log:
    """A log whose worker restarts before every record."""
    log = log_of(*definitions, **workspace)
    log.reload = True
    return log


def told(decisions: list[Decision]) -> list[tuple[int, str]]:
    """Each decision as its step and outcome."""
    return [(one.step, one.outcome.value) for one in decisions]


def runs(log: Log) -> list[Run]:
    """What is under way."""
    return [] if log.state.sending is None else log.state.sending.runs
