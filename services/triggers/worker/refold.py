"""Folding one person's part of a batch again, after a failure has spoilt their state."""

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

from services.contracts.codec import decode_event, decode_tick
from services.contracts.errors import Malformed
from services.contracts.time import Micros
from services.contracts.topics import KIND_EVENT, KIND_MARKER, KIND_PACK, KIND_TICK
from services.triggers.worker.engine_port import Act, Engine
from services.triggers.worker.reading import (
    Record,
    kind_of,
    position_of,
    read_event,
    split_pack,
    value_of,
)
from services.triggers.worker.single import read_single

Happening = tuple[Record, int | None, int, Act | None, Any, Micros]
"""Record, index in its pack, position, what to call (None: a tick), with what, received at."""


def happenings(
    records: Sequence[Record], person: str, engine: Engine, *, after: int, upto: int, replay: bool
) -> Iterator[Happening]:
    """What the records hold for a person at positions in (after, upto), ticks included."""
    for record in records:
        if position_of(record) >= upto:
            return
        for happening in _of_record(record, engine, replay=replay):
            position, act, thing = happening[2], happening[3], happening[4]
            if after < position < upto and (act is None or thing.person == person):
                yield happening


def _of_record(record: Record, engine: Engine, *, replay: bool) -> Iterator[Happening]:
    try:
        kind = kind_of(record.headers)
        if kind == KIND_EVENT:
            event = read_event(record, replay=replay)
            yield record, None, position_of(record), engine.decide, event, event.received_at
        elif kind == KIND_PACK:
            for index, (_, raw) in enumerate(split_pack(record)):
                place = position_of(record, index)
                try:
                    event = decode_event(raw)
                except Malformed:
                    continue
                yield record, index, place, engine.decide, event, event.received_at
        elif kind == KIND_TICK:
            tick = decode_tick(value_of(record))
            yield record, None, position_of(record), None, tick, tick.at
        elif kind != KIND_MARKER:
            act, thing, at = read_single(kind, record, engine)
            yield record, None, position_of(record), act, thing, at
    except Malformed:
        return  # it is a dead letter already


def refold(
    state: Any,
    records: Sequence[Record],
    engine: Engine,
    rules: Any,
    out: Any,
    *,
    after: int,
    upto: int,
    failed: Container[tuple[int, str]],
    replay: bool,
    is_due: Callable[[Any, Micros, int], bool],
) -> None:
    """Bring a state that was decoded again from `after` to the point before `upto`.

    Nothing in between was folded under other rules, and all of it without an error, but for
    `failed` (position, person), which is left out, and what was `Malformed`, which is skipped
    as it was then. `is_due` says whether a tick wakes a state.
    """
    for _, _, position, act, thing, at in happenings(
        records, state.person, engine, after=after, upto=upto, replay=replay
    ):
        if (position, state.person) in failed:
            if state.applied >= 0:
                state.applied = position
            if act is None:
                state.wake_at = None
            continue
        before = state.applied
        if act is None:
            if is_due(state, at, position):
                state.applied = position
                engine.wake(state, rules, at, out)
            continue
        state.applied = position
        try:
            act(state, thing, rules, at, out)
        except Malformed:
            if before < 0:
                state.applied = before
