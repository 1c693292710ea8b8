"""Slow and obviously right: who comes in by an entry that waits, judged after the whole run.

It has the record of all that arrived and asks of each event what became of it, by going
through everything else. Nothing is shared with the engine but the definitions and the event.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from services.contracts.conditions import Condition
from services.contracts.definitions import Trigger
from services.contracts.entries import Absence, EventMatch, Exit, Inactivity, Sequence
from services.contracts.time import DAY, MINUTE, Micros, parse_duration

LATE_AFTER = DAY


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """An event that came as record number `n`; `at` is its own time, as it counts."""

    n: int
    id: str
    name: str
    properties: dict[str, Any]
    at: Micros
    late: bool

    @property
    def place(self) -> tuple[Micros, int]:
        """Its place among the others: by event time, then by arrival."""
        return self.at, self.n


@dataclass(frozen=True, kw_only=True)
class CameIn:
    """Somebody came in by a trigger, with record number `n`, for this event."""

    n: int
    trigger: str
    event_id: str


@dataclass(kw_only=True)
class Records:
    """All that arrived: `times` has the instant of each record, a tick being one too."""

    times: list[Micros] = field(default_factory=list)
    events: list[Arrived] = field(default_factory=list)

    def tick(self, now: Micros) -> None:
        self.times.append(now)

    def event(
        self, id_: str, name: str, properties: dict[str, Any], occurred_at: Micros, now: Micros
    ) -> None:
        n = len(self.times)
        self.times.append(now)
        if any(one.id == id_ for one in self.events):
            return
        at = now if occurred_at > now + 5 * MINUTE else occurred_at
        late = at < now - LATE_AFTER
        self.events.append(Arrived(n=n, id=id_, name=name, properties=properties, at=at, late=late))

    def holds(self, where: Condition | None, event: Arrived) -> bool:
        """The few conditions that the test writes; a tag counts the events of its name."""
        if where is None:
            return True
        if where.property is not None:
            return bool(event.properties.get(where.property) == where.value)
        count = sum(one.name == where.tag and one.n <= event.n for one in self.events)
        assert isinstance(where.value, int)
        return count >= where.value

    def matching(self, match: EventMatch | Exit) -> list[Arrived]:
        return [
            one for one in self.events if one.name in match.events and self.holds(match.where, one)
        ]

    def exits_from(self, trigger: Trigger, event: Arrived) -> list[int]:
        """The records after this event with which whoever entered by it leaves."""
        if trigger.exit is None:
            return []
        key = trigger.exit.key
        own = values(event, key)
        return [
            one.n
            for one in self.matching(trigger.exit)
            if one.n > event.n and (not key or (own is not None and values(one, key) == own))
        ]

    def reached(self, moment: Micros, since: int) -> int | None:
        """The first record from `since` on at which this instant has come."""
        n = bisect_left(self.times, moment, lo=since)
        return n if n < len(self.times) else None


def values(event: Arrived, key: tuple[str, ...]) -> tuple[Any, ...] | None:
    """What an event has of a key, None where something is missing."""
    found = tuple(event.properties.get(path) for path in key)
    return None if None in found else found


def came_in(trigger: Trigger, records: Records) -> list[CameIn]:
    """Everybody who came in by this trigger, in the order of the records."""
    entry = trigger.entry
    if entry.absence is not None:
        found = by_absence(trigger, entry.absence, records)
    elif entry.sequence is not None:
        found = by_sequence(trigger, entry.sequence, records)
    else:
        assert entry.inactivity is not None
        found = by_inactivity(trigger, entry.inactivity, records)
    return sorted(found, key=lambda one: (one.n, one.event_id))


def by_absence(trigger: Trigger, absence: Absence, records: Records) -> list[CameIn]:
    return Absences(trigger, absence, records).came_in()


class Absences:
    """What became of each wait. Only what arrived before it says whether it began."""

    def __init__(self, trigger: Trigger, absence: Absence, records: Records) -> None:
        self.trigger = trigger
        self.records = records
        self.key = absence.key
        self.within = parse_duration(absence.within)
        after, without = records.matching(absence.after), records.matching(absence.without)
        self.after = [one for one in after if not one.late and values(one, self.key) is not None]
        self.without = [one for one in without if one not in self.after]
        self.known: dict[int, bool] = {}

    def came_in(self) -> list[CameIn]:
        found = []
        for one in self.after:
            if self.began(one):
                n, fired = self.end(one, len(self.records.times))
                if fired and n is not None:
                    found.append(CameIn(n=n, trigger=self.trigger.id, event_id=one.id))
        return found

    def alike(self, one: Arrived, other: Arrived) -> bool:
        """Of one key, and the other is not the earlier of them by event time."""
        return values(other, self.key) == values(one, self.key) and other.at >= one.at

    def began(self, one: Arrived) -> bool:
        """Whether a wait began: nothing that was known by then forbade it."""
        if one.n not in self.known:
            self.known[one.n] = not any(
                other.n < one.n and self.alike(one, other) for other in self.without
            ) and not any(self.bars(other, one) for other in self.after)
        return self.known[one.n]

    def bars(self, other: Arrived, one: Arrived) -> bool:
        """Whether a wait that fired already, or waits since later, lets another not begin."""
        if other.n >= one.n or not self.alike(one, other) or not self.began(other):
            return False
        ended, fired = self.end(other, one.n)
        # Who leaves by the very event that lets them in again has left first.
        left = one.n in self.records.exits_from(self.trigger, other)
        return fired or (ended is None and not left and other.at > one.at)

    def end(self, one: Arrived, before: int) -> tuple[int | None, bool]:
        """With which record before that one a wait ended, and whether it fired."""
        between = range(one.n + 1, before)
        ends = [n for n in self.records.exits_from(self.trigger, one) if n in between]
        ends += [
            other.n
            for other in self.without + self.after
            if other.n in between
            and self.alike(one, other)
            and (other in self.without or self.began(other))
        ]
        due = self.records.reached(one.at + self.within, one.n)
        if due is not None and due < before and all(due < n for n in ends):
            return due, True
        return min(ends, default=None), False


def by_sequence(trigger: Trigger, sequence: Sequence, records: Records) -> list[CameIn]:
    within, key = parse_duration(sequence.within), sequence.key
    parts = [records.matching(part) for part in sequence.parts]
    serving = [
        one
        for one in records.events
        if not one.late and values(one, key) is not None and any(one in part for part in parts)
    ]
    found: list[CameIn] = []
    ends: list[tuple[int, Arrived]] = []
    for last in serving:
        pool = [
            one
            for one in serving
            if one.n <= last.n
            and values(one, key) == values(last, key)
            and not any(exit_n <= last.n for exit_n in records.exits_from(trigger, one))
            and not any(
                values(end, key) == values(one, key)
                and (one.place <= end.place if one.n <= n else one.at < end.at)
                for n, end in ends
            )
        ]
        chains = [
            chain
            for chain in combinations(sorted(pool, key=lambda one: one.place), len(parts))
            if chain[-1].at - chain[0].at <= within
            and all(one in part for one, part in zip(chain, parts, strict=True))
        ]
        if chains:
            end = min((chain[-1] for chain in chains), key=lambda one: one.place)
            ends.append((last.n, end))
            found.append(CameIn(n=last.n, trigger=trigger.id, event_id=last.id))
    return found


def by_inactivity(trigger: Trigger, inactivity: Inactivity, records: Records) -> list[CameIn]:
    lasts = parse_duration(inactivity.lasts)
    signs = records.matching(EventMatch(events=inactivity.events))
    exits = [] if trigger.exit is None else [one.n for one in records.matching(trigger.exit)]
    found: list[CameIn] = []
    for since, until in zip([0, *exits], [*exits, len(records.times)], strict=True):
        # What was known at the exit is no sign of a life after it.
        missed = max((one.at for one in signs if one.n < since), default=None)
        for n in range(since, until):
            heard = [one.at for one in signs if one.n <= n]
            if not heard or (missed is not None and max(heard) <= missed):
                continue
            due = max(heard) + lasts
            if records.times[n] >= due:
                missed = max(heard)
                name = f"inactivity@{due}"
                found.append(CameIn(n=n, trigger=trigger.id, event_id=name))
    return found
