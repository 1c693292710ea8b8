"""What a backtest found: counts kept while it plays, the result, and how it is shown."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

from services.contracts.decision import Decision, Outcome
from services.contracts.time import Micros
from services.triggers.engine.explain import Explanation
from services.triggers.engine.windows import Calendar

_EPOCH: Final = date(1970, 1, 1)


_ASKED: Final = frozenset({Outcome.SENT, Outcome.OFFERED, Outcome.HANDED_OFF})
_PASSED: Final = frozenset({Outcome.ENTERED, Outcome.STEPPED})
"""Records of a journey on its way: nothing was to be sent, nothing was refused."""


class Suppressed(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Decisions of one outcome that sent nothing. `policy` names the cap that refused;
    `put_off`: each of them was decided again later."""

    outcome: str
    policy: str = ""
    put_off: bool = False
    decisions: int = 0


class TriggerResult(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger in the time that was looked at.

    `people_reached` were sent or offered something, or handed to people. `results` counts
    the journeys that came to an end, by their result.

    `sends_without_draft` is what it sent alone with the other live ones. Of these,
    `displaced` are missing with the draft among them and `moved` came at another instant;
    `gained` were sent only with the draft. For a trigger that the draft replaces the three
    compare its versions.
    """

    trigger: str
    draft: bool
    sends: int
    offers: int
    handoffs: int
    people_reached: int
    people_considered: int
    sends_by_day: dict[str, int]
    results: dict[str, int]
    suppressed: tuple[Suppressed, ...]
    sends_without_draft: int
    displaced: int
    moved: int
    gained: int


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One person of those whom a draft trigger considered."""

    reached: bool
    explanation: Explanation


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result. Days are civil days of `time_zone`; instants are ISO 8601 in UTC.

    `folded` counts the events by what the engine made of them, `refused` by the code with
    which ingest refuses them. `events_after` were not played.
    """

    begins_at: str
    ends_at: str
    time_zone: str
    events: int
    events_after: int
    people: int
    folded: dict[str, int]
    refused: dict[str, int]
    fail_share_percent: int
    drafts: tuple[str, ...]
    triggers: tuple[TriggerResult, ...]
    samples: tuple[Sample, ...]


class _Tally:
    """Counts of one trigger."""

    def __init__(self) -> None:
        self.asked: Counter[Outcome] = Counter()
        self.results: Counter[str] = Counter()
        self.by_day: Counter[int] = Counter()
        self.reached: set[str] = set()
        self.considered: set[str] = set()
        self.suppressed: Counter[tuple[str, str, bool]] = Counter()


class Tallies:
    """Counts by trigger, of what is decided in `[begins_at, ends_at)`."""

    def __init__(self, begins_at: Micros, ends_at: Micros, calendar: Calendar) -> None:
        self._begins_at = begins_at
        self._ends_at = ends_at
        self._calendar = calendar
        self.by_trigger: defaultdict[str, _Tally] = defaultdict(_Tally)

    def count(self, decisions: Sequence[Decision]) -> None:
        """Count what was decided at one instant."""
        if not self._begins_at <= decisions[0].now < self._ends_at:
            return
        for one in decisions:
            tally = self.by_trigger[one.trigger]
            tally.considered.add(one.person)
            if one.outcome in _ASKED:
                tally.asked[one.outcome] += 1
                tally.reached.add(one.person)
                if one.outcome is Outcome.SENT:
                    tally.by_day[self._calendar.day_of(one.now)] += 1
            elif one.outcome is Outcome.ENDED:
                tally.results[str(one.details["result"])] += 1
            elif one.outcome not in _PASSED:
                policy, put_off = one.details.get("policy"), "deferred_until" in one.details
                tally.suppressed[str(one.outcome), str(policy or ""), put_off] += 1


class Comparison:
    """Sends of two plays of one history, side by side; keeps only what differs."""

    def __init__(self, begins_at: Micros, ends_at: Micros) -> None:
        self._begins_at = begins_at
        self._ends_at = ends_at
        self._alone: dict[str, tuple[str, Micros]] = {}
        self._together: dict[str, tuple[str, Micros]] = {}
        self.sends_alone: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def alone(self, decisions: Sequence[Decision]) -> None:
        """Live triggers decided this without the draft."""
        for one in decisions:
            if one.outcome is Outcome.SENT:
                if self._inside(one.now):
                    self.sends_alone[one.trigger] += 1
                self._match(one, self._alone, self._together, lambda mine, other: mine)

    def together(self, decisions: Sequence[Decision]) -> None:
        """All decided this with the draft among them."""
        for one in decisions:
            if one.outcome is Outcome.SENT:
                self._match(one, self._together, self._alone, lambda mine, other: other)

    def _match(
        self,
        one: Decision,
        mine: dict[str, tuple[str, Micros]],
        others: dict[str, tuple[str, Micros]],
        alone_at: Callable[[Micros, Micros], Micros],
    ) -> None:
        send_id = one.send_id
        assert send_id is not None
        other = others.pop(send_id, None)
        if other is None:
            mine[send_id] = (one.trigger, one.now)
        elif other[1] != one.now and self._inside(alone_at(one.now, other[1])):
            self.moved[one.trigger] += 1

    def _inside(self, at: Micros) -> bool:
        return self._begins_at <= at < self._ends_at

    def displaced(self) -> Counter[str]:
        """Sends that the draft cost, by trigger."""
        return Counter(name for name, at in self._alone.values() if self._inside(at))

    def gained(self) -> Counter[str]:
        """Sends that there are only with the draft, by trigger; its own are among them."""
        return Counter(name for name, at in self._together.values() if self._inside(at))


def results(
    names: Sequence[str], drafts: frozenset[str], tallies: Tallies, compared: Comparison
) -> tuple[TriggerResult, ...]:
    """One result for each trigger: the drafts first, then by id."""
    displaced, gained = compared.displaced(), compared.gained()
    found = []
    for name in sorted(names, key=lambda one: (one not in drafts, one)):
        tally = tallies.by_trigger[name]
        found.append(
            TriggerResult(
                trigger=name,
                draft=name in drafts,
                sends=tally.asked[Outcome.SENT],
                offers=tally.asked[Outcome.OFFERED],
                handoffs=tally.asked[Outcome.HANDED_OFF],
                people_reached=len(tally.reached),
                people_considered=len(tally.considered),
                sends_by_day={_iso(day): tally.by_day[day] for day in sorted(tally.by_day)},
                results=dict(sorted(tally.results.items())),
                suppressed=tuple(
                    Suppressed(outcome=outcome, policy=policy, put_off=put_off, decisions=count)
                    for (outcome, policy, put_off), count in sorted(tally.suppressed.items())
                ),
                sends_without_draft=compared.sends_alone[name],
                displaced=displaced[name],
                moved=compared.moved[name],
                gained=gained[name],
            )
        )
    return tuple(found)


def _iso(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def encode_report(report: Report) -> bytes:
    """The report as JSON; equal reports give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)
