"""Segments and life cycles beside a slow reference, which works out everything from scratch
every half hour of the log and after every record."""

from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.contracts.time import DAY, HOUR, Micros
from tests.engine.build import NOON, Log, lifecycle, log_of, segment, tag, trigger

HALF: Final = HOUR // 2
LATE_AFTER: Final = 24 * HOUR

GROUPS: Final = (
    tag("orders", window="6h"),
    tag("since", "recency", value=None),
    segment("buyers", {"tag": "orders", "op": "gte", "value": 2}),
    segment("gone", {"tag": "since", "op": "gte", "value": 1}),
    segment(
        "gold_sleepers",
        {
            "all": [
                {"trait": "tier", "op": "eq", "value": "gold"},
                {"not": {"tag": "orders", "op": "gte", "value": 1}},
            ]
        },
    ),
    segment("hot", {"tag": "stage", "op": "in", "value": ["busy", "back"]}),
    lifecycle(
        "stage",
        ["new", "busy", "quiet", "lost", "back"],
        {
            "from": ["new", "quiet", "back"],
            "to": "busy",
            "when": {"tag": "orders", "op": "gte", "value": 3},
        },
        {
            "from": ["busy", "back"],
            "to": "quiet",
            "when": {"tag": "orders", "op": "eq", "value": 0},
        },
        {"from": ["quiet"], "to": "lost", "when": {"tag": "since", "op": "gte", "value": 1}},
        {"from": ["lost"], "to": "back", "when": {"tag": "since", "op": "lt", "value": 1}},
    ),
    trigger(
        "told", entry={"events": ["$segment_entered", "$segment_left", "$lifecycle_changed"]}
    ),
)  # fmt: skip


@dataclass(kw_only=True)
class Slow:
    """All that ever happened, and what follows from it."""

    orders: list[Micros] = field(default_factory=list)
    tier: str | None = None
    stage: str = "new"
    members: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    def look(self, at: Micros, cause: object, *, silently: bool = False) -> None:
        """Where the person belongs at an instant; changes are told as the engine's triggers
        tell them."""
        recent = sum((one // HOUR + 1) * HOUR + 6 * HOUR > at for one in self.orders)
        days = max(0, at - max(self.orders)) // DAY if self.orders else None
        told = []
        been = {self.stage}
        while True:
            if self.stage in ("new", "quiet", "back") and recent >= 3:
                to = "busy"
            elif self.stage in ("busy", "back") and recent == 0:
                to = "quiet"
            elif self.stage == "quiet" and days is not None and days >= 1:
                to = "lost"
            elif self.stage == "lost" and days is not None and days < 1:
                to = "back"
            else:
                break
            if to in been:
                break
            been.add(to)
            self.stage = to
            told.append(f"$lifecycle_changed/stage/{to}@{cause}")
        members = {
            name
            for name, is_in in (
                ("buyers", recent >= 2),
                ("gone", days is not None and days >= 1),
                ("gold_sleepers", self.tier == "gold" and recent < 1),
                ("hot", self.stage in ("busy", "back")),
            )
            if is_in
        }
        told += [f"$segment_entered/{one}@{cause}" for one in members - self.members]
        told += [f"$segment_left/{one}@{cause}" for one in self.members - members]
        self.members = members
        if not silently:
            self.told += told


@dataclass(frozen=True, kw_only=True)
class Act:
    """One record, `after` so many half hours: an order of `ago` half hours before, a word about
    the tier, something that concerns no group, or a tick."""

    after: int
    kind: str
    ago: int = 0
    tier: str | None = None


ACTS = st.lists(
    st.builds(
        Act,
        after=st.one_of(st.integers(0, 4), st.integers(5, 70)),
        kind=st.sampled_from(["order", "order", "order", "identify", "visit", "tick"]),
        ago=st.one_of(st.just(0), st.integers(0, 60)),
        tier=st.sampled_from(["gold", None]),
    ),
    min_size=1,
    max_size=14,
)


def play(log: Log, slow: Slow, act: Act, now: Micros, number: int) -> None:
    """One record to both."""
    id_ = f"m{number}"
    if act.kind == "tick":
        log.wake(now)
        return
    late = False
    if act.kind == "order":
        at = now - act.ago * HALF
        late = at < now - LATE_AFTER
        log.event(now=now, occurred_at=at, id_=id_)
        slow.orders.append(at)
    elif act.kind == "identify":
        log.identify({"tier": act.tier}, now=now, id_=id_)
        slow.tier = act.tier
    else:
        log.event("visit", now=now, id_=id_)
    slow.look(now, id_, silently=late)


def kept(log: Log) -> tuple[Any, ...]:
    """What the engine holds of the person's groups."""
    groups, membership = log.rules.groups, log.state.membership
    assert groups is not None
    assert membership is not None
    return membership.stages["stage"].label, set(groups.members(membership))


@settings(max_examples=60, deadline=None)
@given(ACTS)
@example([Act(after=0, kind="order")] * 3 + [Act(after=70, kind="tick")])
@example([Act(after=0, kind="order"), Act(after=14, kind="identify", tier="gold")])
def test_groups_are_as_worked_out_from_scratch(acts: list[Act]) -> None:
    log, slow, now = log_of(*GROUPS), Slow(), NOON
    log.reload = True
    log.event("visit", now=now, id_="first")
    slow.look(now, "first")
    for number, act in enumerate(acts):
        for instant in range(now + HALF, now + act.after * HALF + 1, HALF):
            slow.look(instant, instant)
        now += act.after * HALF
        play(log, slow, act, now, number)
        if act.kind != "tick":
            assert kept(log) == (slow.stage, slow.members)
    log.wake(now)
    assert kept(log) == (slow.stage, slow.members)
    assert sorted(one.event_id for one in log.out.decisions) == sorted(slow.told)
