"""Outliers: numbers beyond mean plus some standard deviations, kept out of averages until
somebody confirms them.

The person's own distribution runs with them (Welford, "Note on a method for calculating
corrected sums of squares and products", Technometrics 4, 1962), and two people's are joined
as Chan, Golub and LeVeque do ("Algorithms for computing the sample variance", 1983). An
outlier does not enter the distribution that judges the next one before it is confirmed.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, Final

import msgspec

from services.contracts.cleaning import CONFIRM_EVENT, OUTLIERS
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.clauses import lookup
from services.triggers.engine.cleaning import Found, Rule, put
from services.triggers.engine.fingerprint import fingerprint, fingerprint_parts
from services.triggers.engine.limits import (
    HELD_MAX,
    HELD_PROPERTIES_BYTES_MAX,
    OUTLIERS_JUDGED_MAX,
)
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import is_number
from services.triggers.engine.weighed import Figures, Held, Weighed

Confirmed = Callable[[PersonState, Held, Mapping[str, Any], Micros], None]
"""`confirmed(state, held, properties, now)`: takes a confirmed event into the averages."""

SPREAD_MIN: Final = 0.1
"""A standard deviation counts as this share of the mean at least: who has paid the same ten
times is no outlier with the next price."""


def key_of(rule: Rule) -> int:
    """Under which a person's distribution of a rule's values is kept."""
    return fingerprint_parts(["outlier", rule.rule.id, rule.path]) >> 32


class Weigher:
    """Judges the numbers of one event name. `judging` are rules with an outlier of their own."""

    def __init__(self, judging: Sequence[Rule]) -> None:
        self._judging = [(key_of(rule), rule) for rule in judging]

    def weigh(self, state: PersonState, event: Event, at: Micros, found: list[Found]) -> Event:
        """The event with its outliers named; the person's distributions take in the others.

        `found` gets a line for each outlier.
        """
        outliers: list[str] = []
        for key, rule in self._judging:
            value = lookup(event.properties, rule.path)
            if is_number(value) and not _fits(state, key, rule, value):
                outliers.append(rule.path)
                found.append((rule, "outlier", value))
        if outliers:
            event = _with(event, {**event.properties, OUTLIERS: outliers})
            _hold(state, event, at)
        elif OUTLIERS in event.properties:
            # Nobody else says what is one.
            event = _with(event, put(event.properties, OUTLIERS, None))
        return event

    def confirm(self, state: PersonState, properties: Mapping[str, Any]) -> list[Found]:
        """Let a held event's outliers enter the distributions; gives a line for each of them."""
        found: list[Found] = []
        for key, rule in self._judging:
            outlier, value = rule.rule.outlier, lookup(properties, rule.path)
            if outlier is None or rule.path not in properties[OUTLIERS]:
                continue
            found.append((rule, "confirmed", value))
            if outlier.of == "person":
                _take(_figures(state, key), value)
        return found


def _with(event: Event, properties: dict[str, Any]) -> Event:
    return msgspec.structs.replace(event, properties=properties)


def _fits(state: PersonState, key: int, rule: Rule, value: float) -> bool:
    outlier = rule.rule.outlier
    assert outlier is not None
    if outlier.of == "population":
        mean, deviation = outlier.mean, outlier.deviation
        return mean is None or deviation is None or value <= mean + outlier.sigma * deviation
    figures = _figures(state, key)
    if figures.count >= outlier.at_least:
        deviation = sqrt(figures.squares / (figures.count - 1))
        deviation = max(deviation, SPREAD_MIN * abs(figures.mean))
        if value > figures.mean + outlier.sigma * deviation:
            return False
    _take(figures, value)
    return True


def _figures(state: PersonState, key: int) -> Figures:
    if state.weighed is None:
        state.weighed = Weighed()
    figures = state.weighed.figures.get(key)
    if figures is None:
        while len(state.weighed.figures) >= OUTLIERS_JUDGED_MAX:
            del state.weighed.figures[next(iter(state.weighed.figures))]
        figures = state.weighed.figures[key] = Figures()
    return figures


def _take(figures: Figures, value: float) -> None:
    figures.count += 1
    delta = value - figures.mean
    figures.mean += delta / figures.count
    figures.squares += delta * (value - figures.mean)


def _hold(state: PersonState, event: Event, at: Micros) -> None:
    """Remember an event with outliers until it is confirmed; the oldest give way."""
    properties = msgspec.msgpack.encode(event.properties)
    if len(properties) > HELD_PROPERTIES_BYTES_MAX:
        return
    if state.weighed is None:
        state.weighed = Weighed()
    held = state.weighed.held
    held.append(
        Held(key=fingerprint(event.message_id), name=event.name, at=at, properties=properties)
    )
    del held[:-HELD_MAX]


def confirm(
    state: PersonState,
    event: Event,
    weighers: Mapping[str, Weigher],
    confirmed: Confirmed,
    now: Micros,
) -> list[Found]:
    """Let in what an `Outlier Confirmed` event names; what is not held any more stays out."""
    wanted = event.properties.get("message_id")
    weighed = state.weighed
    if event.name != CONFIRM_EVENT or not isinstance(wanted, str) or weighed is None:
        return []
    key = fingerprint(wanted)
    held = next((one for one in weighed.held if one.key == key), None)
    if held is None:
        return []
    weighed.held.remove(held)
    properties = msgspec.msgpack.decode(held.properties)
    weigher = weighers.get(held.name)
    found = [] if weigher is None else weigher.confirm(state, properties)
    confirmed(state, held, properties, now)
    return found


def keep_known(state: PersonState, known: frozenset[int]) -> None:
    """Forget the distributions of rules that are gone."""
    weighed = state.weighed
    if weighed is None:
        return
    weighed.figures = {key: one for key, one in weighed.figures.items() if key in known}
    if not weighed.figures and not weighed.held:
        state.weighed = None


def merge_weighed(state: PersonState, other: PersonState) -> None:
    """Two people's distributions are one, as if all values had been one person's."""
    if other.weighed is None:
        return
    if state.weighed is None:
        state.weighed = Weighed()
    for key, theirs in other.weighed.figures.items():
        mine = _figures(state, key)
        count = mine.count + theirs.count
        if not count:
            continue
        delta = theirs.mean - mine.mean
        mine.squares += theirs.squares + delta * delta * mine.count * theirs.count / count
        mine.mean += delta * theirs.count / count
        mine.count = count
    held = sorted([*state.weighed.held, *other.weighed.held], key=lambda one: (one.at, one.key))
    state.weighed.held = held[-HELD_MAX:]
