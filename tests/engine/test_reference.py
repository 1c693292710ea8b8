"""The engine and the reference decide alike: every candidate, in every order of things.

Random triggers and workspaces, changed on the way; events that come late, twice or all at one
instant; deliveries that fail; people who move, consent and take it back; ticks that come when
something is due, or too late.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Bundle
from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.triggers.engine import compile_rules
from tests.engine.both import STARTS, ZONES, Act, both_of
from tests.engine.build import PERSON, Log, bundle, policy, trigger

TRAITS: list[dict[str, Any]] = [
    {"consent": None},
    {"consent": None},
    {"consent": {"marketing": True}},
    {"consent": {"marketing": True, "mail": True}},
    {"consent": {"marketing": True, "log": False}},
    {"consent": {"log": False}},
    {"consent": {"marketing": False}},
    {"consent": None},
    {"consent": None},
    {"tier": "gold"},
    {"tier": "none"},
    {"vip": True},
    {"vip": False},
    *({"timezone": zone} for zone in ZONES),
]


QUIET = [
    [],
    [{"start": "22:00", "end": "08:00"}],
    [{"start": "22:00", "end": "02:30"}, {"start": "12:00", "end": "14:30", "channels": ["log"]}],
    [{"start": "01:30", "end": "03:00", "channels": ["mail"]}],
]
MAIL = {"channel": "mail", "content": {"subject": "s", "body": "b"}}


@st.composite
def triggers(draw: st.DrawFn, number: int, category: str) -> Any:
    """One trigger of whatever kind, but of this category."""
    always = {"mode": "always"}
    vip = {"trait": "vip", "op": "eq", "value": True}
    return trigger(
        f"t{number}",
        category=category,
        priority=draw(st.sampled_from([10, 50, 90])),
        entry={"events": draw(st.sampled_from([["order"], ["view"], ["order", "view"]]))},
        status=draw(st.sampled_from(["live"] * 14 + ["paused", "archived"])),
        audience=draw(st.sampled_from([None] * 9 + [vip])),
        rollout=draw(st.sampled_from([100] * 9 + [50])),
        holdout=draw(st.sampled_from([0, 0, 0, 50, 100])),
        group=draw(st.sampled_from([None, "g"])),
        arbitration_window=draw(st.sampled_from([None, None, "1h"])),
        in_quiet_hours=draw(st.sampled_from(["defer", "defer", "drop"])),
        dedup=draw(st.sampled_from([{}, {"key": ["k"], "window": "5h"}])),
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
        steps=[{"send": draw(st.sampled_from([{"channel": "log"}, MAIL]))}],
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Bundle]:
    """Definitions that are in force one after the other, under the same caps."""
    categories = [draw(st.sampled_from(["marketing"] * 3 + ["transactional"])) for _ in range(4)]
    scopes: list[dict[str, str]] = [
        {},
        {"kind": "category", "value": "marketing"},
        {"kind": "channel", "value": "log"},
    ]
    policies = [
        policy(
            f"p{number}",
            draw(st.integers(1, 3)),
            draw(st.sampled_from(["1h", "24h", "24h", "3d", "day", "week"])),
            **draw(st.sampled_from(scopes)),
        )
        for number in range(draw(st.integers(1, 2)))
    ]
    zone = draw(st.sampled_from(ZONES))
    tiers = {"trait": "tier", "bonuses": {"gold": 45}}
    return [
        bundle(
            *(draw(triggers(number, category)) for number, category in enumerate(categories)),
            *policies,
            revision=revision,
            time_zone=zone,
            message_id_window="400d",
            consent=draw(st.sampled_from(["opt_out"] * 7 + ["opt_in"])),
            quiet_hours=draw(st.sampled_from(QUIET)),
            value_tiers=draw(st.sampled_from([None, tiers])),
            test_people=draw(st.sampled_from([[], [], [], [PERSON]])),
        )
        for revision in (1, 2)
    ]


acts = st.lists(
    st.builds(
        Act,
        kind=st.sampled_from(
            ["event"] * 6
            + ["duplicate", "accepted", "failed", "failed", "traits", "publish", "tick"]
        ),
        after=st.one_of(
            st.sampled_from([0, 0, 0, 1, HOUR, HOUR - 1, 5 * HOUR, 5 * HOUR - 1, DAY, DAY - 1]),
            st.integers(0, 30 * MINUTE),
            st.integers(0, 12 * HOUR),
        ),
        edge=st.sampled_from([None, None, None, -1, 0, 1]),
        name=st.sampled_from(["order", "order", "view"]),
        properties=st.fixed_dictionaries({"k": st.integers(0, 1)}),
        ago=st.sampled_from([0] * 7 + [2 * DAY]),
        which=st.integers(0, 20),
        ticks=st.sampled_from([True, True, False]),
    ),
    min_size=8,
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(histories(), acts, st.sampled_from(STARTS), st.booleans())
def test_the_engine_decides_as_the_reference_does(
    revisions: list[Bundle], given_acts: list[Act], start: Micros, reload: bool
) -> None:
    log = Log(rules=compile_rules(revisions[0]), now=start, reload=reload)
    both = both_of(log, revisions[0], TRAITS)
    for act in given_acts:
        both.play(act, revisions)
    both.rest()
