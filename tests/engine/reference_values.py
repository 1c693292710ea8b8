"""What the second engine speaks of: decisions, runs, sends; and questions about one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from services.contracts.conditions import Condition
from services.contracts.decision import Outcome
from services.contracts.time import MINUTE, Micros
from tests.engine.oracle import OneSend, local
from tests.engine.reference_walk import Path, Stop

MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Line:
    """A decision as this engine sees it; `priority` and `lane` where something is asked for.

    `way` is what came of a step, or the result of a run, `by` the event that ended a wait or the
    run. `asked` is the kind of thing, its channel, and until when; `taken_back`: it was asked for
    before.
    """

    trigger: str
    version: int
    step: int
    event_id: str
    outcome: Outcome
    again_at: Micros | None = None
    winner: str | None = None
    priority: int | None = None
    lane: str | None = None
    way: object = None
    by: str | None = None
    since: Micros | None = None
    asked: tuple[str, str, Micros] | None = None
    held_out: bool = False
    taken_back: bool = False


@dataclass(kw_only=True, eq=False)
class Run:
    """One candidate, from the event on; `why` it waits, if it does.

    `entered_as` is the dedup key it came in under, None before that; `measured`: re-entry was
    limited then. `begun`: the entry is decided, and it goes its `path` from `stop` to `stop`;
    `step` is the number of the last one it came to.
    """

    trigger: str
    version: int
    event_id: str
    properties: Mapping[str, Any]
    at: Micros
    held_out: bool = False
    entered_as: object = None
    measured: bool = False
    begun: bool = False
    step: int = 0
    ended: bool = False
    path: Path | None = None
    stop: Stop | None = None
    since: Micros = 0
    came: str | None = None
    put_off: bool = False
    expires_at: Micros = 0
    due_at: Micros = 0
    why: Outcome | None = None

    def age(self) -> tuple[Micros, str, str]:
        """Who came in first comes first."""
        return self.at, self.trigger, self.event_id


@dataclass(kw_only=True)
class Made:
    """One send, real or kept back by a holdout."""

    send: OneSend
    send_id: str
    held_out: bool
    given_up: bool = False


@dataclass(kw_only=True)
class Refused:
    """The first refusal; with `again_at` it waits until then."""

    outcome: Outcome
    again_at: Micros | None = None
    winner: str | None = None


@dataclass(kw_only=True)
class Person:
    """All that is known of a person: traits, and the names of all events that ever came."""

    id: str
    traits: dict[str, Any] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)


def draw(*parts: str) -> int:
    """A number that looks like chance, always the same for the same texts."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return int(blake2b(text.encode(), digest_size=8).hexdigest(), 16)


def place(purpose: str, trigger: str, person: str) -> int:
    """Where a person stands from 0 to 99."""
    return draw(purpose, trigger, person) % 100


def consents(given: object, opt_in: bool, category: str, channel: str) -> bool:
    """One no is a no; else one yes is a yes; else the workspace's mode."""
    if category == "transactional":
        return True
    if given is None:
        return not opt_in
    if not isinstance(given, dict):
        return False
    names = (category, channel, f"{channel}.{category}")
    said = [given[name] for name in names if given.get(name) is not None]
    return all(one is True for one in said) and (bool(said) or not opt_in)


def of_key(properties: Mapping[str, Any], key: tuple[str, ...]) -> list[tuple[str, object]] | None:
    """Values under these names, each with its kind; None where one is missing."""
    found = [properties.get(name) for name in key]
    if any(value is None for value in found):
        return None
    return [(type(value).__name__, value) for value in found]


def same_key(one: Mapping[str, Any], other: Mapping[str, Any], key: tuple[str, ...]) -> bool:
    """Whether two events speak of the same thing; without a key they always do."""
    return of_key(one, key) is not None and of_key(one, key) == of_key(other, key)


def holds(
    condition: Condition,
    properties: Mapping[str, Any],
    traits: Mapping[str, Any],
    tags: Mapping[str, int],
) -> bool:
    """Plain names, and the few operators that the tests ask with."""
    if condition.all_ is not None:
        return all(holds(one, properties, traits, tags) for one in condition.all_)
    if condition.any_ is not None:
        return any(holds(one, properties, traits, tags) for one in condition.any_)
    if condition.not_ is not None:
        return not holds(condition.not_, properties, traits, tags)
    if condition.property is not None:
        found = properties.get(condition.property, MISSING)
    elif condition.trait is not None:
        found = traits.get(condition.trait, MISSING)
    else:
        assert condition.tag is not None
        found = tags[condition.tag]
    there = found is not MISSING and found is not None
    if condition.op == "exists":
        return there
    if condition.op == "gte":
        return there and found >= condition.value
    assert condition.op == "eq"
    return there and type(found) is type(condition.value) and found == condition.value


@lru_cache(maxsize=4096)
def clock_shows(clock: str, after: Micros, zone: str) -> Micros:
    """Minute after minute, until the clock on the wall shows it, or has just leapt over it."""
    minute = after - after % MINUTE
    while True:
        shown = local(minute, zone).replace(tzinfo=None)
        passed = local(minute - MINUTE, zone).replace(tzinfo=None) + timedelta(minutes=1)
        leapt = []
        while passed < shown:
            leapt.append(f"{passed:%H:%M}")
            passed += timedelta(minutes=1)
        if clock in [*leapt, f"{shown:%H:%M}"]:
            return max(after, minute)
        minute += MINUTE
