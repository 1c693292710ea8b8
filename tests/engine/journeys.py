"""Random journeys and what happens to those who are on them, for Hypothesis."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from services.contracts.definitions import Bundle, Policy, Tag, Trigger
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import check
from tests.engine.both import ZONES, Act
from tests.engine.build import bundle, policy, tag, trigger

MAIL: dict[str, Any] = {"channel": "mail", "content": {"subject": "s", "body": "b"}}
DEPTH_MAX = 3
TRIES_MAX = 5
STATUSES = ["live"] * 6 + ["paused"] * 3 + ["archived", "draft"]
CONDITIONS: list[dict[str, Any]] = [
    {"property": "amount", "op": "gte", "value": 50},
    {"property": "k", "op": "eq", "value": 1},
    {"trait": "vip", "op": "eq", "value": True},
    {"trait": "stage", "op": "exists"},
    {"tag": "orders", "op": "gte", "value": 2},
    {"tag": "views", "op": "gte", "value": 3},
    {"not": {"trait": "tier", "op": "eq", "value": "gold"}},
    {
        "any": [
            {"tag": "orders", "op": "gte", "value": 4},
            {"property": "amount", "op": "gte", "value": 90},
        ]
    },
]
TRAITS: list[dict[str, Any]] = [
    {"consent": None},
    {"consent": {"marketing": True}},
    {"consent": {"marketing": True, "mail": False}},
    {"consent": {"marketing": False}},
    {"consent": None},
    {"tier": "gold"},
    {"vip": True},
    {"vip": None},
    {"stage": None},
    *({"timezone": zone} for zone in ZONES),
]
NIGHT = [{"start": "22:00", "end": "08:00"}]
AT_TWO = [{"start": "01:30", "end": "03:00", "channels": ["mail"]}]

SEND: dict[str, Any] = {"send": {"channel": "log"}}
WAITS: list[dict[str, Any]] = [
    {"wait": {"for": "1h"}},
    {"wait": {"for": "1h"}},
    {"wait": {"for": "26h"}},
    {"wait": {"until": "09:00"}},
    {"wait": {"until": "02:30"}},
    {"wait": {"for": "24h", "until": "09:00"}},
    {"wait": {"for": "30m", "until": "00:15"}},
]
MARKS: list[dict[str, Any]] = [
    {"tag": {"set": "vip"}},
    {"tag": {"remove": "vip"}},
    {"tag": {"set": "stage", "value": "warm"}},
    {"tag": {"set": "timezone", "value": "Europe/Berlin"}},
    {"offer": {"kind": "coupon", "endpoint": "shop", "reference": "c10"}},
    {"handoff": {"to": "sales", "endpoint": "crm", "content": {"subject": "call"}}},
]

# Each strategy is made once: making them takes longer than drawing from them.
_kinds = st.sampled_from(
    ["send"] * 4 + ["wait"] * 2 + ["mark"] * 2 + ["wait_for"] * 4 + ["branch"] * 2 + ["split"]
)
_leaves = st.sampled_from(["send", "send", "wait", "mark"])
_leaf = {
    "send": st.sampled_from([SEND, SEND, SEND, {"send": MAIL}]),
    "wait": st.sampled_from(WAITS),
    "mark": st.sampled_from(MARKS),
}
_end = st.sampled_from([None] * 5 + [{"end": {"result": "woken"}}])
_lengths = {1: st.integers(1, 4), 2: st.integers(0, 2), 3: st.integers(0, 2), 4: st.integers(0, 1)}
_awaited = st.sampled_from([["visit"], ["visit"], ["view"], ["order", "visit"]])
_wheres = st.sampled_from([None, None, *CONDITIONS[:2], CONDITIONS[4]])
_keys = st.sampled_from([[], ["k"]])
_withins = st.sampled_from(["1h", "5h", "3d"])
_conditions = st.sampled_from(CONDITIONS)
_weights = st.lists(st.integers(1, 3), min_size=2, max_size=3)
_labels = st.sampled_from([None, "a"])


def _steps(draw: st.DrawFn, depth: int) -> list[dict[str, Any]]:
    steps = [_step(draw, depth) for _ in range(draw(_lengths[depth]))]
    end = draw(_end)
    return steps if end is None else [*steps, end]


def _step(draw: st.DrawFn, depth: int) -> dict[str, Any]:
    kind = draw(_leaves if depth > DEPTH_MAX else _kinds)
    if kind in _leaf:
        return draw(_leaf[kind])
    if kind == "split":
        arms = [{"weight": one, "steps": _steps(draw, depth + 1)} for one in draw(_weights)]
        if not any(arm["steps"] for arm in arms):
            arms[0]["steps"] = [SEND]
        arms[0]["label"] = draw(_labels)
        return {"split": {"arms": arms}}
    ways = _steps(draw, depth + 1), _steps(draw, depth + 1)
    if kind == "branch":
        then = ways[0] if any(ways) else [SEND]
        return {"branch": {"if": draw(_conditions), "then": then, "else": ways[1]}}
    return {
        "wait_for": {
            "events": draw(_awaited),
            "where": draw(_wheres),
            "key": draw(_keys),
            "within": draw(_withins),
            "then": ways[0],
            "on_timeout": ways[1],
        }
    }


TAGS: list[Tag] = [tag("orders"), tag("views", events=["view"])]


def _is_right(one: Trigger) -> bool:
    return not check(bundle(one, *TAGS))


_FIELDS = st.fixed_dictionaries(
    {
        "priority": st.sampled_from([10, 50, 90]),
        "entry": st.sampled_from(
            [{"events": ["order"]}, {"events": ["view"]}, {"events": ["order", "view"]}]
        ),
        "exit": st.sampled_from(
            [
                None,
                {"events": ["quit"]},
                {"events": ["quit"], "key": ["k"]},
                {"events": ["order"], "key": ["k"]},
                {"events": ["quit", "view"], "where": CONDITIONS[0]},
            ]
        ),
        "status": st.sampled_from(["live"] * 9 + ["paused"]),
        "audience": st.sampled_from([None] * 9 + [CONDITIONS[2]]),
        "holdout": st.sampled_from([0, 0, 0, 0, 100]),
        "group": st.sampled_from([None, None, "g"]),
        "arbitration_window": st.sampled_from([None] * 5 + ["1h"]),
        "in_quiet_hours": st.sampled_from(["defer", "defer", "drop"]),
        "dedup": st.sampled_from([{}, {}, {"key": ["k"], "window": "5h"}]),
        "reentry": st.sampled_from(
            [{"mode": "always"}] * 5 + [{"mode": "cooldown", "cooldown": "5h"}, {"mode": "once"}]
        ),
        "when_capped": st.sampled_from(
            [
                {"action": "drop"},
                {"action": "defer", "expires_after": "2h"},
                {"action": "defer", "expires_after": "24h"},
                {"action": "defer", "expires_after": "5d"},
            ]
        ),
        "send_within": st.sampled_from(["1h", "24h"]),
    }
)
_statuses = st.sampled_from(STATUSES)
_categories = st.sampled_from(["marketing"] * 4 + ["transactional"])
_yes_or_no = st.booleans()
_seldom = st.integers(0, 6).map(lambda number: number == 0)


def _trigger(draw: st.DrawFn, number: int, category: str, version: int) -> Trigger:
    fields = draw(_FIELDS)
    for _ in range(TRIES_MAX):
        steps = _steps(draw, 1)
        one = trigger(f"t{number}", version=version, category=category, steps=steps, **fields)
        if not check(bundle(one, *TAGS)):
            return one
    return trigger(f"t{number}", version=version, category=category, **fields)


def _versions(draw: st.DrawFn, number: int, revisions: int) -> list[Trigger]:
    """A trigger as it stands at each revision: told anew, paused, or as it was."""
    category = draw(_categories)
    found = [_trigger(draw, number, category, 1)]
    for revision in range(2, revisions + 1):
        before = found[-1]
        if draw(_yes_or_no):
            status = draw(_statuses)
            if status != before.status:
                before = msgspec.structs.replace(before, status=status, version=revision)
            found.append(before)
        else:
            found.append(_trigger(draw, number, category, revision))
    return found


_revisions = st.sampled_from([1, 2, 2, 3])
_triggers = st.integers(1, 3)
_limits = st.lists(
    st.builds(
        lambda limit, window, scope: (limit, window, scope),
        st.integers(1, 4),
        st.sampled_from(["1h", "24h", "3d", "day"]),
        st.sampled_from([{}, {"kind": "channel", "value": "log"}]),
    ),
    max_size=2,
)
_settings = st.fixed_dictionaries(
    {
        "time_zone": st.sampled_from(ZONES),
        "message_id_window": st.just("400d"),
        "quiet_hours": st.sampled_from([[], [], NIGHT, AT_TWO]),
        "consent": st.sampled_from(["opt_out"] * 7 + ["opt_in"]),
    }
)


@st.composite
def histories(draw: st.DrawFn) -> list[Bundle]:
    """Definitions that are in force one after the other, under the same caps.

    Each keeps all versions that were before it; sometimes one is lost, or the last trigger.
    """
    revisions = draw(_revisions)
    columns = [_versions(draw, number, revisions) for number in range(draw(_triggers))]
    policies = [
        policy(f"p{number}", limit, window, **scope)
        for number, (limit, window, scope) in enumerate(draw(_limits))
    ]
    fixed: list[Tag | Policy] = [*TAGS, *policies]
    settings = draw(_settings)
    every = {(one.id, one.version): one for column in columns for one in column}
    if draw(_seldom):
        del every[draw(st.sampled_from(sorted(every)))]
    found = []
    for revision in range(revisions):
        there = [column[revision] for column in columns]
        if draw(_seldom):
            there.pop()
        now = {(one.id, one.version) for one in there}
        kept = tuple(one for name, one in every.items() if name not in now)
        one = bundle(*there, *fixed, revision=revision + 1, **settings)
        found.append(msgspec.structs.replace(one, pinned=kept))
    return found


acts = st.lists(
    st.builds(
        Act,
        kind=st.sampled_from(
            ["event"] * 6
            + ["meant"] * 3
            + ["duplicate", "accepted", "failed", "traits", "publish", "publish", "tick", "tick"]
        ),
        after=st.one_of(
            st.sampled_from([0, 0, 0, 0, 1, HOUR, HOUR - 1, 5 * HOUR, DAY]),
            st.integers(0, 30 * MINUTE),
            st.integers(0, 30 * MINUTE),
            st.integers(0, 12 * HOUR),
        ),
        edge=st.sampled_from([None, None, None, None, -1, 0, 0, 1]),
        name=st.sampled_from(["order", "order", "view", "view", "visit", "visit", "quit"]),
        properties=st.sampled_from(
            [
                {"k": 0, "amount": 10},
                {"k": 1, "amount": 60},
                {"k": 1, "amount": 95},
                {"k": "1", "amount": 10},
                {"amount": 60},
            ]
        ),
        ago=st.sampled_from([0] * 7 + [-MINUTE, 30 * MINUTE, 3 * HOUR, 2 * DAY, 2 * DAY]),
        own_edge=st.sampled_from([None] * 4 + [-1, 0, 1]),
        which=st.integers(0, 20),
        ticks=st.sampled_from([True, True, False]),
    ),
    min_size=10,
    max_size=50,
)
