"""Life cycles: which state a person is in, what takes them on, and what follows from that."""

from typing import Any

import pytest
from msgspec.structs import replace

from services.contracts.time import DAY, HOUR
from services.triggers.engine import check
from tests.engine.build import NOON, Log, bundle, lifecycle, log_of, segment, tag, trigger

RECENT = tag("recent", "recency", value=None)
ORDERS = tag("orders", window="30d")
STAGE = lifecycle(
    "stage",
    ["new", "active", "asleep", "back"],
    {"from": ["new", "back"], "to": "active", "when": {"tag": "orders", "op": "gte", "value": 2}},
    {
        "from": ["new", "active"],
        "to": "asleep",
        "when": {"tag": "recent", "op": "gte", "value": 90},
    },
    {"from": ["asleep"], "to": "back", "when": {"tag": "recent", "op": "lt", "value": 90}},
)
KNOWN = {"trait": "x", "op": "exists"}
MOVED = trigger("moved", entry={"events": ["$lifecycle_changed"]})


def log(*definitions: Any) -> Log:
    made = log_of(*definitions)
    made.reload = True
    return made


def changes(log: Log) -> list[str]:
    return [one.event_id for one in log.out.decisions if one.trigger == "moved"]


def test_a_person_begins_in_the_initial_state() -> None:
    it = log(ORDERS, RECENT, STAGE)
    it.event()
    assert it.tag("stage") == "new"
    assert it.out.profiles[-1].tags["stage"] == "new"


def test_a_transition_that_holds_is_taken_with_the_event_and_is_one_itself() -> None:
    it = log(ORDERS, RECENT, STAGE, MOVED)
    it.event()
    it.event(id_="second")
    assert it.tag("stage") == "active"
    assert changes(it) == ["$lifecycle_changed/stage/active@second"]


def test_the_event_says_where_from_and_where_to() -> None:
    where = {
        "all": [
            {"property": "lifecycle", "op": "eq", "value": "stage"},
            {"property": "from", "op": "eq", "value": "new"},
            {"property": "to", "op": "eq", "value": "active"},
        ]
    }
    it = log(
        ORDERS, RECENT, STAGE, trigger(entry={"events": ["$lifecycle_changed"], "where": where})
    )
    it.event()
    assert len(it.event()) == 1


def test_time_takes_people_on_at_the_instant() -> None:
    it = log(ORDERS, RECENT, STAGE, MOVED)
    it.event(now=NOON)
    it.wake(NOON + 90 * DAY - 1)
    assert it.tag("stage") == "new"
    it.wake(NOON + 90 * DAY)
    assert it.tag("stage") == "asleep"
    assert changes(it) == [f"$lifecycle_changed/stage/asleep@{NOON + 90 * DAY}"]


def test_nobody_is_woken_for_a_day_that_decides_nothing() -> None:
    it = log(ORDERS, RECENT, STAGE)
    it.event(now=NOON)
    it.wake(NOON + 2)
    leaves = NOON + 31 * DAY - 12 * HOUR
    assert it.state.next_due == leaves
    it.wake(leaves)
    assert it.state.next_due == NOON + 90 * DAY


def test_several_transitions_at_an_instant_are_all_taken_and_no_state_twice() -> None:
    round_ = lifecycle(
        "round",
        ["a", "b", "c"],
        {"from": ["a"], "to": "b", "when": {"tag": "orders", "op": "gte", "value": 1}},
        {"from": ["b"], "to": "c", "when": {"tag": "orders", "op": "gte", "value": 1}},
        {"from": ["c"], "to": "a", "when": {"tag": "orders", "op": "gte", "value": 1}},
    )
    it = log(ORDERS, round_, MOVED)
    it.event(id_="one")
    assert it.tag("round") == "c"
    assert changes(it) == [
        "$lifecycle_changed/round/b@one",
        "$lifecycle_changed/round/c@one",
    ]


def test_the_first_transition_that_holds_goes_first() -> None:
    either = lifecycle(
        "either",
        ["a", "b", "c"],
        {"to": "b", "when": {"tag": "orders", "op": "gte", "value": 2}},
        {"from": ["a"], "to": "c", "when": {"tag": "orders", "op": "gte", "value": 1}},
    )
    it = log(ORDERS, either)
    it.event()
    assert it.tag("either") == "c"
    it.event()
    assert it.tag("either") == "b"


def test_without_an_initial_state_there_is_none_until_a_transition_holds() -> None:
    stage = lifecycle(
        "stage",
        ["some", "more"],
        {"to": "some", "when": {"tag": "orders", "op": "gte", "value": 2}},
        {"from": ["some"], "to": "more", "when": {"tag": "orders", "op": "gte", "value": 9}},
        initial=None,
    )
    it = log(ORDERS, stage)
    it.event()
    assert it.tag("stage") is None
    it.event()
    assert it.tag("stage") == "some"


def test_a_state_is_asked_for_like_any_tag() -> None:
    it = log(
        ORDERS, RECENT, STAGE,
        trigger(audience={"tag": "stage", "op": "eq", "value": "active"}),
        trigger(
            "became",
            entry={
                "tag_change": {"tag": "stage", "change": "entered", "op": "eq", "value": "active"}
            },
        ),
    )  # fmt: skip
    assert [(one.trigger, str(one.outcome)) for one in it.event()] == [("hello", "audience")]
    assert [(one.trigger, str(one.outcome)) for one in it.event()] == [
        ("became", "sent"), ("hello", "sent"),
    ]  # fmt: skip


def test_a_segment_of_a_state_follows_it_in_the_same_fold() -> None:
    active = segment("active_ones", {"tag": "stage", "op": "eq", "value": "active"})
    came = trigger("came", entry={"events": ["$segment_entered"]})
    it = log(ORDERS, RECENT, STAGE, active, came)
    it.event()
    assert [one.event_id for one in it.event(id_="x")] == ["$segment_entered/active_ones@x"]


def test_publishing_it_puts_people_where_they_belong_without_an_event() -> None:
    it = log(ORDERS, RECENT, MOVED)
    it.event()
    it.event()
    it.publish(bundle(ORDERS, RECENT, MOVED, STAGE, revision=2))
    it.wake(NOON + HOUR)
    assert it.tag("stage") == "active"
    assert changes(it) == []


def test_a_changed_one_goes_on_from_the_state_they_are_in() -> None:
    it = log(ORDERS, RECENT, STAGE, MOVED)
    it.event(now=NOON)
    it.wake(NOON + 90 * DAY)
    before = changes(it)
    other = lifecycle(
        "stage",
        ["new", "asleep", "gone"],
        {"from": ["new"], "to": "asleep", "when": {"trait": "x", "op": "exists"}},
        {"from": ["asleep"], "to": "gone", "when": {"tag": "recent", "op": "gte", "value": 180}},
    )
    it.publish(bundle(ORDERS, RECENT, other, MOVED, revision=2))
    it.wake(NOON + 91 * DAY)
    assert it.tag("stage") == "asleep"
    assert changes(it) == before
    it.wake(NOON + 180 * DAY)
    assert it.tag("stage") == "gone"
    renamed = lifecycle(
        "stage",
        ["first", "second"],
        {"to": "second", "when": {"trait": "x", "op": "exists"}},
    )
    it.publish(bundle(ORDERS, RECENT, renamed, MOVED, revision=3))
    it.wake(NOON + 181 * DAY)
    assert it.tag("stage") == "first"


def test_a_new_name_changes_nothing() -> None:
    it = log(ORDERS, RECENT, STAGE)
    it.event()
    it.event()
    before = it.state.membership
    it.publish(bundle(ORDERS, RECENT, replace(STAGE, name="Stage"), revision=2))
    it.wake(NOON + DAY)
    assert before is not None
    assert it.state.membership == before


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({"initial": "c"}, "initial", "none of the states"),
        ({"transitions": [{"to": "c", "when": KNOWN}]}, "transitions[0].to", "none of the states"),
        (
            {"transitions": [{"from": ["c"], "to": "b", "when": KNOWN}]},
            "transitions[0].from",
            "none of the states",
        ),
        (
            {"transitions": [{"from": ["b"], "to": "b", "when": KNOWN}]},
            "transitions[0].from",
            "where it leads to",
        ),
        ({"states": ["a", "b", "b"]}, "states", "2 times"),
        (
            {
                "states": ["a", "b", "any"],
                "transitions": [{"to": "b", "when": KNOWN}, {"to": "any", "when": KNOWN}],
            },
            "states",
            "means every state",
        ),
        ({"states": ["a", "b", "d"]}, "states", "no transition leads to 'd'"),
        (
            {"transitions": [{"to": "b", "when": {"tag": "life", "op": "exists"}}]},
            "transitions[0].when.tag",
            "unknown tag",
        ),
        (
            {"transitions": [{"to": "b", "when": {"property": "x", "op": "exists"}}]},
            "transitions[0].when.property",
            "there is no event here",
        ),
    ],
)
def test_a_life_cycle_that_cannot_be_right_is_refused(
    fields: dict[str, Any], place: str, reason: str
) -> None:
    given = {"transitions": [{"to": "b", "when": KNOWN}], **fields}
    states = given.pop("states", ["a", "b"])
    transitions = given.pop("transitions")
    problems = check(bundle(lifecycle("life", states, *transitions, **given)))
    assert [at for at, _ in problems] == [f"lifecycles.life.{place}"]
    assert reason in problems[0][1]


def test_a_life_cycle_and_a_tag_of_one_id_are_refused() -> None:
    same = lifecycle("orders", ["a", "b"], {"to": "b", "when": {"trait": "x", "op": "exists"}})
    assert [at for at, _ in check(bundle(ORDERS, same))] == ["lifecycles.orders.id"]
