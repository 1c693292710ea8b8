"""Random journeys and what happens to those who are on them, for Hypothesis."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from services.contracts.definitions import Bundle, Policy, Tag, Trigger
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import check
from tests.engine.both import ZONES, Act
from tests.engine.build import bundle, policy, tag, trigger

MAIL = {"channel": "mail", "content": {"subject": "s", "body": "b"}}
DEPTH_MAX = 3
KINDS = ("order", "view", "visit", "quit")
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

_sends = st.sampled_from([{"send": {"channel": "log"}}] * 3 + [{"send": MAIL}])
_waits = st.sampled_from(
    [
        {"wait": {"for": "1h"}},
        {"wait": {"for": "1h"}},
        {"wait": {"for": "26h"}},
        {"wait": {"until": "09:00"}},
        {"wait": {"until": "02:30"}},
        {"wait": {"for": "24h", "until": "09:00"}},
        {"wait": {"for": "30m", "until": "00:15"}},
    ]
)
_marks = st.sampled_from(
    [
        {"tag": {"set": "vip"}},
        {"tag": {"remove": "vip"}},
        {"tag": {"set": "stage", "value": "warm"}},
        {"tag": {"set": "timezone", "value": "Europe/Berlin"}},
        {"offer": {"kind": "coupon", "endpoint": "shop", "reference": "c10"}},
        {"handoff": {"to": "sales", "endpoint": "crm", "content": {"subject": "call"}}},
    ]
)
_ends = st.sampled_from([{"end": {"result": "woken"}}, {"end": {}}])


@st.composite
def _awaited(draw: st.DrawFn, depth: int) -> Any:
    return {
        "wait_for": {
            "events": draw(st.sampled_from([["visit"], ["visit"], ["view"], ["order", "visit"]])),
            "where": draw(st.sampled_from([None, None, *CONDITIONS[:2], CONDITIONS[4]])),
            "key": draw(st.sampled_from([[], ["k"]])),
            "within": draw(st.sampled_from(["1h", "5h", "3d"])),
            "then": draw(_lists(depth + 1)),
            "on_timeout": draw(_lists(depth + 1)),
        }
    }


@st.composite
def _branches(draw: st.DrawFn, depth: int) -> Any:
    then, else_ = draw(_lists(depth + 1)), draw(_lists(depth + 1))
    if not then and not else_:
        then = [draw(_sends)]
    return {"branch": {"if": draw(st.sampled_from(CONDITIONS)), "then": then, "else": else_}}


@st.composite
def _splits(draw: st.DrawFn, depth: int) -> Any:
    arms = [
        {"weight": draw(st.integers(1, 3)), "steps": draw(_lists(depth + 1))}
        for _ in range(draw(st.integers(2, 3)))
    ]
    if not any(arm["steps"] for arm in arms):
        arms[0]["steps"] = [draw(_sends)]
    if draw(st.booleans()):
        arms[0]["label"] = "a"
    return {"split": {"arms": arms}}


def _step(depth: int) -> st.SearchStrategy[Any]:
    kinds = [_sends, _sends, _waits, _marks]
    if depth < DEPTH_MAX:
        kinds += [_awaited(depth), _awaited(depth), _branches(depth), _splits(depth)]
    return st.one_of(kinds)


@st.composite
def _lists(draw: st.DrawFn, depth: int) -> Any:
    steps = draw(st.lists(_step(depth), min_size=depth == 1, max_size=4 if depth == 1 else 2))
    if draw(st.integers(0, 5)) == 0:
        steps.append(draw(_ends))
    return steps


TAGS: list[Tag] = [tag("orders"), tag("views", events=["view"])]


def _is_right(one: Trigger) -> bool:
    return not check(bundle(one, *TAGS))


@st.composite
def _versions(draw: st.DrawFn, number: int, category: str, revisions: int) -> list[Trigger]:
    """A trigger as it stands at each revision: told anew, paused, or as it was."""
    found: list[Trigger] = []
    for revision in range(1, revisions + 1):
        before = found[-1] if found else None
        if before is not None and draw(st.booleans()):
            status = draw(st.sampled_from(STATUSES))
            if status != before.status:
                before = msgspec.structs.replace(before, status=status, version=revision)
            found.append(before)
        else:
            found.append(draw(_triggers(number, category, revision).filter(_is_right)))
    return found


@st.composite
def _triggers(draw: st.DrawFn, number: int, category: str, version: int) -> Any:
    wayout = st.sampled_from(
        [
            None,
            {"events": ["quit"]},
            {"events": ["quit"], "key": ["k"]},
            {"events": ["order"], "key": ["k"]},
            {"events": ["quit", "view"], "where": CONDITIONS[0]},
        ]
    )
    always = {"mode": "always"}
    return trigger(
        f"t{number}",
        version=version,
        category=category,
        priority=draw(st.sampled_from([10, 50, 90])),
        entry={"events": draw(st.sampled_from([["order"], ["view"], ["order", "view"]]))},
        exit=draw(wayout),
        status=draw(st.sampled_from(["live"] * 9 + ["paused"])),
        audience=draw(st.sampled_from([None] * 9 + [CONDITIONS[2]])),
        holdout=draw(st.sampled_from([0, 0, 0, 0, 100])),
        group=draw(st.sampled_from([None, None, "g"])),
        arbitration_window=draw(st.sampled_from([None] * 5 + ["1h"])),
        in_quiet_hours=draw(st.sampled_from(["defer", "defer", "drop"])),
        dedup=draw(st.sampled_from([{}, {}, {"key": ["k"], "window": "5h"}])),
        reentry=draw(
            st.sampled_from(
                [always] * 5 + [{"mode": "cooldown", "cooldown": "5h"}, {"mode": "once"}]
            )
        ),
        when_capped={
            "action": draw(st.sampled_from(["drop", "defer", "defer"])),
            "expires_after": draw(st.sampled_from(["2h", "24h", "5d"])),
        },
        send_within=draw(st.sampled_from(["1h", "24h"])),
        steps=draw(_lists(1)),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Bundle]:
    """Definitions that are in force one after the other, under the same caps.

    Each keeps all versions that were before it; sometimes one is lost.
    """
    revisions = draw(st.sampled_from([1, 2, 3]))
    columns = [
        draw(
            _versions(
                number, draw(st.sampled_from(["marketing"] * 4 + ["transactional"])), revisions
            )
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    scopes: list[dict[str, str]] = [{}, {"kind": "channel", "value": "log"}]
    policies = [
        policy(
            f"p{number}",
            draw(st.integers(1, 4)),
            draw(st.sampled_from(["1h", "24h", "3d", "day"])),
            **draw(st.sampled_from(scopes)),
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    fixed: list[Tag | Policy] = [*TAGS, *policies]
    settings = {
        "time_zone": draw(st.sampled_from(ZONES)),
        "message_id_window": "400d",
        "quiet_hours": draw(st.sampled_from([[], [], NIGHT, AT_TWO])),
        "consent": draw(st.sampled_from(["opt_out"] * 7 + ["opt_in"])),
    }
    every = {(one.id, one.version): one for column in columns for one in column}
    if draw(st.integers(0, 9)) == 0:
        del every[draw(st.sampled_from(sorted(every)))]
    found = []
    for revision in range(revisions):
        there = [column[revision] for column in columns]
        if len(there) > 1 and draw(st.integers(0, 9)) == 0:
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
            ["event"] * 8 + ["duplicate", "accepted", "failed", "traits", "publish", "tick", "tick"]
        ),
        after=st.one_of(
            st.sampled_from([0, 0, 0, 1, HOUR, HOUR - 1, 5 * HOUR, DAY]),
            st.integers(0, 30 * MINUTE),
            st.integers(0, 12 * HOUR),
        ),
        edge=st.sampled_from([None, None, -1, 0, 0, 1]),
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
        ago=st.sampled_from([0] * 8 + [-MINUTE, 30 * MINUTE, 3 * HOUR, 2 * DAY]),
        own_edge=st.sampled_from([None] * 4 + [-1, 0, 1]),
        which=st.integers(0, 20),
        ticks=st.sampled_from([True, True, False]),
    ),
    min_size=5,
    max_size=40,
)
