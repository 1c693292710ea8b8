"""What is right by itself and in another's way is told, and nothing else."""

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.command import Content
from services.contracts.conditions import Condition
from services.contracts.definitions import Bundle, Policy, Scope, Trigger
from services.contracts.entries import Entry, Schedule
from services.contracts.steps import Arm, Branch, Send, Split, Step, Wait, WaitFor
from services.triggers.definitions.conflicts import conflicts
from services.triggers.definitions.disjoint import disjoint
from services.triggers.engine.conditions import compile_test
from tests.definitions.support import policy, tag, trigger

SEND = Step(send=Send(channel="log", content=Content(body="hello")))


def trait(name: str, op: Any, value: Any = None) -> Condition:
    """A clause over a trait."""
    return Condition(trait=name, op=op, value=value)


def told(*changed: Any, triggers: Any = (), policies: Any = ()) -> list[tuple[str, str]]:
    """Places and first words of the warnings."""
    in_force = Bundle(revision=1, triggers=tuple(triggers), policies=tuple(policies))
    return [(place, reason.split(":")[0]) for place, reason in conflicts(in_force, changed)]


def live(id_: str, **changes: Any) -> Trigger:
    """A trigger in force."""
    return trigger(id_, status="live", **changes)


def test_two_on_the_same_event_and_channel_for_the_same_people_are_told() -> None:
    found = conflicts(Bundle(revision=1, triggers=(live("b"), live("c"))), [trigger("a")])
    ((place, reason),) = found
    assert place == "triggers.a.audience"
    assert reason.startswith("b, c enters on the same and sends on the same channel")


@pytest.mark.parametrize(
    "other",
    [
        live("b", entry=Entry(events=("Other",))),
        live("b", steps=(Step(send=Send(channel="mail", to_trait="email")),)),
        live("b", audience=trait("tier", "ne", "gold")),
        live("b", audience=trait("tier", "in", ("silver", "none"))),
        live("b", entry=Entry(events=("Cart Updated",), where=trait("tier", "eq", "new"))),
        live("b", group="carts"),
        trigger("b", status="paused"),
        live("b", entry=Entry(schedule=Schedule(cron="0 9 * * 1"))),
    ],
)
def test_what_tells_two_apart_is_seen(other: Trigger) -> None:
    mine = trigger("a", audience=trait("tier", "eq", "gold"), group=other.group, priority=70)
    assert told(mine, triggers=[other]) == []


def test_a_paused_one_is_in_nobodys_way() -> None:
    assert told(trigger("a", status="paused"), triggers=[live("b")]) == []


def test_two_of_a_group_with_the_same_priority_are_told() -> None:
    mine = trigger("a", group="carts")
    others = [live("b", group="carts"), live("c", group="carts", priority=51), live("d")]
    places = told(mine, triggers=others)
    assert places == [
        ("triggers.a.group", "b of group carts has the same priority"),
        ("triggers.a.audience", places[1][1]),
    ]
    assert places[1][1].startswith("d enters")


def test_its_own_older_version_is_no_conflict() -> None:
    assert told(trigger("a", name="new"), triggers=[live("a")]) == []


def test_many_are_counted_not_listed() -> None:
    others = [live(f"t{number}") for number in range(9)]
    ((_, reason),) = conflicts(Bundle(revision=1, triggers=tuple(others)), [trigger("a")])
    assert reason.startswith("t0, t1, t2, t3, t4 and 4 more enters")


def wait(text: str) -> Step:
    """A wait for a time."""
    return Step(wait=Wait(for_=text))


CAP = policy("cap", limit=2, window="24h")


@pytest.mark.parametrize(
    ("steps", "most"),
    [
        ((SEND, SEND, SEND), 3),
        ((SEND, wait("12h"), SEND, wait("11h"), SEND), 3),
        ((SEND, wait("12h"), SEND, wait("12h"), SEND), 2),
        ((SEND, SEND, Step(branch=Branch(if_=trait("x", "exists"), then=(SEND, SEND)))), 4),
        ((SEND, SEND, Step(split=Split(arms=(Arm(weight=1, steps=(SEND,)), Arm(weight=1))))), 3),
        (
            (
                SEND,
                SEND,
                Step(wait_for=WaitFor(events=("Visit",), within="24h", on_timeout=(SEND,))),
            ),
            2,
        ),
        (
            (SEND, SEND, Step(wait_for=WaitFor(events=("Visit",), within="24h", then=(SEND,)))),
            3,
        ),
    ],
)
def test_a_run_that_sends_more_than_a_cap_allows_is_told(
    steps: tuple[Step, ...], most: int
) -> None:
    found = [
        reason
        for place, reason in conflicts(Bundle(revision=1, policies=(CAP,)), [trigger(steps=steps)])
        if place == "triggers.cart_left.steps" and "one run" in reason
    ]
    expected = f"one run sends up to {most} messages within 24h, of which the cap cap lets 2 pass"
    assert found == ([expected] if most > 2 else [])


@pytest.mark.parametrize(
    "scope",
    [
        Scope(kind="channel", value="mail"),
        Scope(kind="category", value="transactional"),
        Scope(kind="trigger", value="other"),
    ],
)
def test_a_cap_counts_only_what_is_in_its_scope(scope: Scope) -> None:
    many = trigger(steps=(SEND,) * 4)
    assert told(many, policies=[policy(limit=1, scope=scope)]) == []
    assert told(many, policies=[policy(limit=1)]) != []


def test_a_cap_that_is_never_met_is_told() -> None:
    scope = Scope(kind="channel", value="sms")
    assert told(policy(scope=scope), triggers=[live("b")])[0][0] == "policies.weekly.scope"
    mail = policy("mail", limit=3, window="12h", scope=Scope(kind="channel", value="log"))
    assert told(mail, triggers=[live("b")], policies=[CAP]) == [
        ("policies.mail.limit", "never met")
    ]
    assert told(CAP, triggers=[live("b")], policies=[mail]) == []
    longer = policy("mail", limit=3, window="48h", scope=Scope(kind="channel", value="log"))
    assert told(longer, triggers=[live("b")], policies=[CAP]) == []


def test_two_equal_caps_are_not_both_called_useless() -> None:
    twin = policy("twin", limit=2, window="24h")
    assert told(CAP, twin, triggers=[live("b")]) == [("policies.twin.limit", "never met")]


def test_a_cap_that_binds_in_every_run_is_told_with_the_policy_too() -> None:
    found = conflicts(
        Bundle(revision=1, triggers=(live("b", steps=(SEND, SEND, SEND)),), policies=()),
        [policy("tight", limit=1, window="day")],
    )
    assert found == [
        (
            "policies.tight.limit",
            "b: one run sends up to 3 messages within day, of which the cap tight lets 1 pass",
        )
    ]


def test_a_journey_of_many_steps_and_a_journey_of_many_ways_are_looked_at_quickly() -> None:
    fork = Step(branch=Branch(if_=trait("x", "exists"), then=(SEND,), else_=(wait("1h"), SEND)))
    mine = trigger(steps=(fork,) * 10)
    places = [place for place, _ in conflicts(Bundle(revision=1), [mine])]
    assert "triggers.cart_left.steps" in places


def test_other_kinds_have_no_conflicts_of_their_own() -> None:
    assert told(tag()) == []


VALUES = [None, 0, 1, 1.0, 2, 3, True, False, "a", "b", ""]
ORDERED: list[Any] = [0, 1, 1.0, 2, "a", "b"]
SEVERAL = [(1, 2), ("a", "b"), ("a",), (True, 3), (0, False)]


def clauses(ops: list[str], values: list[Any]) -> st.SearchStrategy[Condition]:
    """Clauses with these; only such as `check` lets pass have a meaning that is compiled."""
    return st.builds(
        Condition,
        trait=st.sampled_from(["x", "y"]),
        op=st.sampled_from(ops),
        value=st.sampled_from(values),
    )


CLAUSES = (
    clauses(["eq", "ne"], [*ORDERED, True, False])
    | clauses(["gt", "gte", "lt", "lte"], ORDERED)  # a bool is refused: it has no order
    | clauses(["in", "not_in"], SEVERAL)
    | clauses(["exists", "not_exists"], [None])
)
CONDITIONS = st.recursive(
    CLAUSES,
    lambda inner: (
        st.builds(Condition, all_=st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Condition, any_=st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Condition, not_=inner)
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(CONDITIONS, CONDITIONS)
def test_what_is_called_disjoint_no_person_fulfils(one: Condition, other: Condition) -> None:
    if not disjoint(one, other):
        return
    tests: list[Any] = [compile_test(condition, {}) for condition in (one, other)]
    for x, y in product(VALUES, VALUES):
        traits = {name: value for name, value in (("x", x), ("y", y)) if value is not None}
        person = SimpleNamespace(traits=traits)
        assert not all(test({}, person, 0) for test in tests), traits


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (trait("x", "eq", 1), trait("x", "eq", 2)),
        (trait("x", "eq", "1"), trait("x", "eq", 1)),
        (trait("x", "eq", True), trait("x", "eq", 1)),
        (trait("x", "lt", 3), trait("x", "gte", 3)),
        (trait("x", "in", ("a", "b")), trait("x", "not_in", ("a", "b", "c"))),
        (trait("x", "exists"), trait("x", "not_exists")),
        (trait("x", "gt", 1), trait("x", "not_exists")),
        (trait("x", "contains", "a"), Condition(not_=trait("x", "contains", "a"))),
        (
            Condition(any_=(trait("x", "eq", 1), trait("x", "eq", 2))),
            Condition(all_=(trait("y", "exists"), trait("x", "gt", 2))),
        ),
        (Condition(segment="core"), Condition(not_=Condition(segment="core"))),
    ],
)
def test_what_excludes_itself_is_disjoint_either_way_round(
    one: Condition, other: Condition
) -> None:
    assert disjoint(one, other)
    assert disjoint(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, None),
        (trait("x", "eq", 1), None),
        (trait("x", "eq", 1), trait("y", "eq", 2)),
        (trait("x", "eq", 1), trait("x", "eq", 1.0)),
        (trait("x", "lte", 3), trait("x", "gte", 3)),
        (trait("x", "gt", 1), trait("x", "lt", 2)),
        (trait("x", "ne", 1), trait("x", "not_exists")),
        (trait("x", "eq", True), Condition(not_=trait("x", "eq", 1))),
        (trait("x", "contains", "a"), trait("x", "contains", "b")),
        (Condition(segment="core"), Condition(segment="other")),
    ],
)
def test_what_may_hold_together_is_not(one: Condition | None, other: Condition | None) -> None:
    assert not disjoint(one, other)


def test_policies_are_compared_whatever_their_windows() -> None:
    weekly = policy("weekly", limit=1, window="week")
    daily: Policy = policy("daily", limit=5, window="24h")
    assert told(daily, triggers=[live("b")], policies=[weekly]) == []
