"""Events that the engine fails on, somewhere on its way through them, and what it leaves then.

To the processes they are a bug of the engine: what it has half done has to be undone. To the
undisturbed run they are events refused before anything was touched: whatever a failure leaves
behind in a state or on a topic shows as a difference between the two.
"""

from dataclasses import replace
from typing import Any, Final

import msgspec

from services.contracts.errors import Malformed
from services.contracts.event import Event
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.failures import engine_error

POISON: Final = "poison"
"""The property with the number of looks at the properties that go well."""
LOOKS_MAX: Final = 8


class Poisoned(RuntimeError):
    """What no engine should raise."""


class _Spoilt(dict[str, Any]):
    """Properties that bear so many looks, and no more."""

    def __init__(self, properties: dict[str, Any]) -> None:
        super().__init__(properties)
        self._left: int = properties[POISON]

    def _look(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Poisoned

    def __getitem__(self, name: str) -> Any:
        self._look()
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._look()
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """A look."""
        self._look()
        return super().get(name, default)


def is_poisoned(event: Event) -> bool:
    """Whether the engine fails on it."""
    return POISON in event.properties


def failing(engine: Engine) -> Engine:
    """The same engine, but poisoned events bring it down: half-way, or when all is done."""

    def decide(state: Any, event: Event, rules: Any, now: int, out: Any) -> None:
        if not is_poisoned(event):
            engine.decide(state, event, rules, now, out)
            return
        spoilt = msgspec.structs.replace(event, properties=_Spoilt(event.properties))
        engine.decide(state, spoilt, rules, now, out)
        raise Poisoned

    return replace(engine, decide=decide)


def sparing(engine: Engine) -> Engine:
    """The same engine, which turns poisoned events away at the door, with the same words."""

    def decide(state: Any, event: Event, rules: Any, now: int, out: Any) -> None:
        if is_poisoned(event):
            told: Malformed = engine_error(Poisoned())
            raise told
        engine.decide(state, event, rules, now, out)

    return replace(engine, decide=decide)
