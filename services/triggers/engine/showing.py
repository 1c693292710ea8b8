"""Profiles that stay true while nothing happens: labels, scores and ages that change by time.

A snapshot is handed out when something happens. Of derived tags with few values it is also
wanted when time has changed one: it is remembered what the last snapshot showed of them, and
until when that is sure to hold.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from services.contracts.definitions import Tag
from services.contracts.time import Micros
from services.triggers.engine.fingerprint import fingerprint_parts, value_text
from services.triggers.engine.limits import NEVER
from services.triggers.engine.readings import Inputs, Reading, together
from services.triggers.engine.state import PersonState

DUE: Final = 0
_SHOWN: Final = 1


class Shown(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The derived tags of a workspace whose values a snapshot has to keep up with."""

    readings: tuple[tuple[str, Reading], ...]
    inputs: Inputs

    def remember(self, state: PersonState, values: Mapping[str, Any], now: Micros) -> None:
        """A snapshot has shown these values."""
        changes_at = self.inputs.changes_at(state, now)
        seen = _seen(values[name] for name, _ in self.readings)
        state.shown = None if changes_at == NEVER else [changes_at, seen]
        state.next_due = min(state.next_due, changes_at)

    def look(self, state: PersonState, now: Micros) -> None:
        """The instant has come: another snapshot is due if one of them is another by now."""
        if state.shown is None or now < state.shown[DUE]:
            return
        seen = _seen(reading.read(state, now) for _, reading in self.readings)
        if seen != state.shown[_SHOWN]:
            state.changed = True
        changes_at = self.inputs.changes_at(state, now)
        state.shown = None if changes_at == NEVER else [changes_at, seen]


def compile_shown(tags: Iterable[Tag], readings: Mapping[str, Reading]) -> Shown | None:
    """Bands, cases, scores and ages; None where there are none. (Other numbers change all the
    time: a snapshot tells what they were when something happened.)"""
    wanted = sorted(
        tag.id
        for tag in tags
        if tag.derive is not None
        and (tag.derive.bands or tag.derive.cases or tag.derive.score or tag.derive.age_of)
    )
    if not wanted:
        return None
    named = tuple((one, readings[one]) for one in wanted)
    return Shown(readings=named, inputs=together(reading.inputs for _, reading in named))


def _seen(values: Iterable[Any]) -> int:
    return fingerprint_parts([value_text(value) for value in values])
