"""Frequency caps: how many sends a window holds, and when it holds one less.

Caps have no counters of their own: they count the person's list of sends, which holds each
send from its reservation until it is released or leaves every window that counts it. So a
changed policy applies to the sends as they stand, and a release simply takes one away.
"""

from collections.abc import Sequence

import msgspec

from services.contracts.definitions import Policy
from services.contracts.time import DAY, Micros, parse_duration
from services.triggers.engine.limits import (
    OPEN_SEND_KEPT,
    OPEN_SENDS_MAX,
    SENDS_MAX,
    SHADOW_SENDS_MAX,
)
from services.triggers.engine.state import Sending, Sent
from services.triggers.engine.windows import CALENDAR_UNITS, Calendar

_HORIZONS = {"day": 3 * DAY, "week": 9 * DAY, "month": 33 * DAY}
"""Longer than any such period in any zone, and after a journey across zones."""


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled policy. `span` is the rolling window, or None where `unit` is calendar."""

    id: str
    limit: int
    span: int | None
    unit: str
    kind: str
    value: str | None

    def counts(self, trigger: str, channel: str, category: str) -> bool:
        """Whether a send of this kind is under the cap."""
        if self.kind == "category":
            return category == self.value
        if category == "transactional":
            return False
        if self.kind == "channel":
            return channel == self.value
        return self.kind == "all" or trigger == self.value

    def window(self, now: Micros, calendar: Calendar) -> tuple[Micros, Micros | None]:
        """The last instant before the window that ends now, and for a calendar window the
        instant at which the next one begins."""
        if self.span is not None:
            return now - self.span, None
        begins, ends = calendar.period(self.unit, now)
        return begins - 1, ends

    def keeps(self, sent: Sent, now: Micros) -> bool:
        """Whether a send may still be counted, now or later."""
        horizon = _HORIZONS[self.unit] if self.span is None else self.span
        return sent.at > now - horizon and self.counts(sent.trigger, sent.channel, sent.category)


class Capped(msgspec.Struct, frozen=True, kw_only=True):
    """A cap that refuses: `count` sends stand in the window of `limit`, one less at `frees_at`."""

    policy: str
    count: int
    limit: int
    frees_at: Micros


def compile_cap(policy: Policy) -> Cap:
    """The cap of a checked policy."""
    calendar = policy.window in CALENDAR_UNITS
    return Cap(
        id=policy.id,
        limit=policy.limit,
        span=None if calendar else parse_duration(policy.window),
        unit=policy.window if calendar else "",
        kind=policy.scope.kind,
        value=policy.scope.value,
    )


def refusal(
    sends: Sequence[Sent], caps: Sequence[Cap], now: Micros, calendar: Calendar
) -> Capped | None:
    """The cap that stands against one more send now; of several, the one that frees last.

    At its `frees_at` every cap passes, if nothing else is sent until then.
    """
    binding: Capped | None = None
    for cap in caps:
        before, next_begins_at = cap.window(now, calendar)
        counted = [
            sent.at
            for sent in sends
            if sent.at > before and cap.counts(sent.trigger, sent.channel, sent.category)
        ]
        if len(counted) < cap.limit:
            continue
        if next_begins_at is None:
            frees_at = counted[len(counted) - cap.limit] + (cap.span or 0)
        else:
            frees_at = next_begins_at
        if binding is None or frees_at > binding.frees_at:
            binding = Capped(policy=cap.id, count=len(counted), limit=cap.limit, frees_at=frees_at)
    return binding


def sends_before(sending: Sending, *, held_out: bool) -> Sequence[Sent]:
    """The sends that stand in the way of one more, oldest first.

    Whoever is held out of a trigger is measured as if it had been sent: against all that was
    sent and all that was kept back. What is really sent never sees what was kept back.
    """
    if not held_out or not sending.shadow:
        return sending.sends
    return sorted([*sending.sends, *sending.shadow], key=lambda one: one.at)


def reserve(sending: Sending, sent: Sent, caps: Sequence[Cap], *, held_out: bool) -> None:
    """Put a send on the person's list, and forget those that nothing needs any more."""
    if held_out:
        sending.shadow = _with(sending.shadow, sent, caps)
    else:
        sending.sends = _with(sending.sends, sent, caps)


def _with(kept: Sequence[Sent], sent: Sent, caps: Sequence[Cap]) -> list[Sent]:
    sends: list[Sent] = []
    uncounted = 0
    for one in reversed(kept):
        if _counted(one, caps, sent.at):
            sends.append(one)
        elif not one.accepted and one.at > sent.at - OPEN_SEND_KEPT:
            uncounted += 1
            if uncounted < OPEN_SENDS_MAX:
                sends.append(one)
    sends.reverse()
    sends.append(sent)
    return sends


def join_sends(
    mine: Sequence[Sent], theirs: Sequence[Sent], caps: Sequence[Cap], now: Micros, bound: int
) -> list[Sent]:
    """Two people's sends in one order. Past the bound the oldest go first, but not those that
    a cap has to count to know that it is full."""
    sends = sorted([*mine, *theirs], key=lambda one: one.at)
    if len(sends) <= bound:
        return sends
    needed: set[int] = set()
    for cap in caps:
        counted = [n for n, sent in enumerate(sends) if cap.keeps(sent, now)]
        needed.update(counted[-cap.limit :])
    oldest = sorted(range(len(sends)), key=lambda n: (n in needed, n))
    gone = set(oldest[: len(sends) - bound])
    return [sent for n, sent in enumerate(sends) if n not in gone]


def full(sending: Sending, caps: Sequence[Cap], now: Micros, *, held_out: bool) -> bool:
    """Whether the list holds as many counted sends as it may."""
    sends = sending.shadow if held_out else sending.sends
    bound = SHADOW_SENDS_MAX if held_out else SENDS_MAX
    return len(sends) >= bound and sum(_counted(one, caps, now) for one in sends) >= bound


def _counted(sent: Sent, caps: Sequence[Cap], now: Micros) -> bool:
    return any(cap.keeps(sent, now) for cap in caps)
