"""`entry.tag_change` and `entry.threshold`: a tag becomes something else, by events or by time."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Tag, Trigger
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import compile_rules
from services.triggers.engine.state import Tags
from services.triggers.engine.tags import LEAVES_AT
from tests.engine.build import NOON, Log, bundle, log_of, tag, trigger

SPENT = tag("spent", "sum", window="30d")
ORDERS = tag("orders", window="2h")


def threshold(direction: str, bound: float, of: str = "orders", **more: Any) -> Trigger:
    return trigger(
        "t", entry={"threshold": {"tag": of, "direction": direction, "bound": bound, **more}}
    )


def change(how: str, of: str = "orders", **clause: Any) -> Trigger:
    return trigger("t", entry={"tag_change": {"tag": of, "change": how, **clause}})


def next_wake(log: Log) -> int:
    """The instant of the next look; the profile's second is passed over."""
    log.wake(log.now + 2_000_000)
    assert log.state.wake_at is not None
    return log.state.wake_at


def test_the_first_event_can_reach_a_bound() -> None:
    log = log_of(SPENT, threshold("up", 1000, "spent"))
    assert log.event(properties={"amount": 400}) == []
    (sent,) = log.event(properties={"amount": 600})
    assert (sent.outcome, sent.event_id) == ("sent", "event-2")
    assert log.event(properties={"amount": 500}) == []
    assert len(log_of(SPENT, threshold("up", 1000, "spent")).event(properties={"amount": 1e3})) == 1


def test_a_window_that_empties_falls_below_on_time_and_may_be_reached_again() -> None:
    log = log_of(ORDERS, threshold("down", 2))
    log.event()
    assert log.event(now=NOON + 10 * MINUTE) == []
    leaves_at = NOON + MINUTE + 2 * HOUR
    assert next_wake(log) == leaves_at
    assert log.wake(leaves_at - 1) == []
    (sent,) = log.wake(leaves_at)
    assert sent.event_id == f"threshold@{leaves_at}"
    assert log.wake(leaves_at + DAY) == []
    log.event(now=leaves_at + 2 * DAY)
    log.event()
    assert len(log.wake(leaves_at + 3 * DAY)) == 1


def test_a_late_look_sees_every_instant_in_between() -> None:
    log = log_of(ORDERS, change("changed"))
    log.reload = True
    for minute in (0, 5, 9):
        log.event(now=NOON + minute * MINUTE)
    found = log.wake(NOON + DAY)
    instants = [NOON + (minute + 121) * MINUTE for minute in (0, 5, 9)]
    assert [one.event_id for one in found] == [f"tag_change@{instant}" for instant in instants]


def test_what_fell_before_an_event_is_seen_though_no_tick_came_between() -> None:
    log = log_of(ORDERS, change("left", op="gte", value=1))
    log.event()
    (sent,) = log.event(now=NOON + DAY)
    assert sent.event_id == f"tag_change@{NOON + MINUTE + 2 * HOUR}"


def test_a_condition_elsewhere_that_reads_the_tag_takes_nothing_away() -> None:
    reads = trigger(
        "reads", entry={"events": ["visit"], "where": {"tag": "orders", "op": "gt", "value": 9}}
    )
    log = log_of(ORDERS, change("changed"), reads)
    log.event()
    log.event(now=NOON + 5 * MINUTE)
    assert len(log.event("visit", now=NOON + DAY)) == 2


def test_a_share_of_another_tag() -> None:
    month = tag("month", window="30d")
    week = tag("week", window="7d")
    log = log_of(month, week, threshold("down", 0.25, "week", share_of="month"))
    for day in range(4):
        assert log.event(now=NOON + day * DAY) == []
    # Four in the month; below one in the week when the last of them has left it.
    assert log.wake(NOON + 10 * DAY) == []
    (sent,) = log.wake(NOON + 11 * DAY)
    assert sent.event_id == f"threshold@{NOON + 10 * DAY + HOUR}"
    assert log.wake(NOON + 90 * DAY) == []
    assert log.event(now=NOON + 91 * DAY) == []
    assert len(log.wake(NOON + 99 * DAY)) == 1


def test_where_there_is_nothing_to_take_a_share_of_nothing_is_crossed() -> None:
    log = log_of(
        tag("month", window="30d"),
        tag("views", events=["view"]),
        threshold("up", 0.5, "views", share_of="month"),
    )
    assert log.event("view") == []
    assert log.event("order") == []
    assert log.event("view") == []


def test_a_sum_that_reaches_its_bound_only_as_it_is_read_has_reached_it() -> None:
    log = log_of(SPENT, threshold("up", 0.8, "spent"))
    assert 0.1 + 0.7 < 0.8
    assert log.event(properties={"amount": 0.1}) == []
    assert len(log.event(properties={"amount": 0.7})) == 1


def test_a_sum_is_seen_to_leave_a_value_and_to_come_back_to_it() -> None:
    found = [
        (10, False), (-4, False), (-1, True), (20, False), (-20, True), (1, False), (-1, True)
    ]  # fmt: skip
    log = log_of(SPENT, change("entered", "spent", op="in", value=[5]))
    for amount, comes_in in found:
        assert bool(log.event(properties={"amount": amount})) is comes_in


def test_entered_left_and_changed_over_a_text() -> None:
    plan = tag("plan", "last", value="plan")
    given_plans = ["free", "gold", "gold", "free", "gold"]
    for how, clause, expected in (
        ("entered", {"op": "eq", "value": "gold"}, [1, 4]),
        ("left", {"op": "eq", "value": "gold"}, [3]),
        ("changed", {}, [0, 1, 3, 4]),
        ("entered", {"op": "in", "value": ["gold", "free"]}, [0]),
    ):
        log = log_of(plan, change(how, "plan", **clause))
        found = [
            number for number, one in enumerate(given_plans) if log.event(properties={"plan": one})
        ]
        assert found == expected, how


def test_a_list_changes_with_its_order() -> None:
    log = log_of(tag("top", "top_k", value="sku"), change("changed", "top"))
    skus = ["a", "a", "b", "b", "b"]
    found = [bool(log.event(properties={"sku": sku}, now=log.now + HOUR)) for sku in skus]
    assert found == [True, False, True, True, False]


def test_a_last_value_leaves_its_window_once() -> None:
    log = log_of(tag("plan", "last", value="plan", window="2h"), change("changed", "plan"))
    assert len(log.event(properties={"plan": "gold"})) == 1
    assert len(log.wake(NOON + DAY)) == 1
    assert log.wake(NOON + 2 * DAY) == []
    assert log.state.next_due > NOON + 1000 * DAY


def test_a_late_event_moves_where_they_stand_and_lets_nobody_in() -> None:
    log = log_of(SPENT, threshold("up", 1000, "spent"))
    log.event(properties={"amount": 1})
    late = NOON - 2 * DAY
    assert log.event(properties={"amount": 2000}, now=NOON + HOUR, occurred_at=late) == []
    assert log.event(properties={"amount": 10}) == []


def test_new_rules_take_people_as_they_stand() -> None:
    log = log_of(SPENT)
    log.event(properties={"amount": 5000})
    log.publish(bundle(SPENT, threshold("up", 1000, "spent"), revision=2))
    assert log.event(properties={"amount": 10}) == []
    # It has been taken as reached; so it is noticed when it falls, and reached again.
    log.wake(NOON + 40 * DAY)
    assert len(log.event(properties={"amount": 1000})) == 1


def test_those_to_whom_nothing_happens_are_noticed_after_new_rules() -> None:
    log = log_of(SPENT)
    log.event(properties={"amount": 5000})
    log.publish(bundle(SPENT, threshold("down", 1000, "spent"), revision=2))
    assert log.wake(NOON + DAY) == []
    assert len(log.wake(NOON + 40 * DAY)) == 1


def test_a_tag_that_means_something_else_now_is_no_change_of_the_person() -> None:
    entry = change("left", "spent", op="gte", value=1)
    log = log_of(SPENT, entry)
    log.event(properties={"amount": 5000})
    log.publish(bundle(tag("spent", "sum", window="60d"), entry, revision=2))
    assert log.wake(NOON + 40 * DAY) == []
    assert log.event(properties={"amount": 0.5}) == []


def test_other_definitions_published_meanwhile_forget_nothing() -> None:
    entry = threshold("down", 1000, "spent")
    log = log_of(SPENT, entry)
    log.event(properties={"amount": 5000})
    log.publish(bundle(SPENT, entry, trigger("other"), revision=2))
    assert len(log.wake(NOON + 40 * DAY)) == 1


def test_whoever_stands_as_at_first_takes_no_room() -> None:
    log = log_of(ORDERS, threshold("up", 3), trigger("other", entry={"events": ["x"]}))
    log.event("visit")
    assert log.state.slots == {}
    log.event()
    assert len(log.state.slots) == 1
    log.wake(NOON + DAY)
    assert log.state.slots == {}


def test_an_event_that_touches_no_such_tag_looks_at_nothing() -> None:
    log = log_of(ORDERS, threshold("up", 3))
    assert "visit" not in log.rules.hearing


# The oracle: the events that are known, counted anew at every instant at which anything may
# have changed, by the definition of a window and of its buckets alone.

AGGREGATES: dict[str, Callable[[list[float]], Any]] = {
    "count": len,
    "sum": lambda values: round(float(sum(values)), 6),
    "max": lambda values: max(values, default=None),
    "min": lambda values: min(values, default=None),
    "average": lambda values: round(sum(values) / len(values), 6) if values else None,
    "last": lambda values: values[-1] if values else None,
}
WINDOW, BUCKET = 10 * MINUTE, MINUTE


def value_at(aggregate: str, known: list[tuple[int, float]], now: int, window: int) -> Any:
    inside = [
        (at, number, value)
        for number, (at, value) in enumerate(known)
        if (at // BUCKET + 1) * BUCKET + window > now
    ]
    if aggregate == "last" and known:
        # Nothing older becomes the last again.
        latest = max((at, number) for number, (at, _) in enumerate(known))
        inside = [one for one in inside if one[:2] == latest]
    return AGGREGATES[aggregate]([value for _, _, value in inside])


Sides = Callable[[Any, Any], Any]

ENTRIES: list[tuple[dict[str, Any], Sides, Callable[[Any, Any], bool]]] = [
    (
        {"threshold": {"tag": "a", "direction": "up", "bound": 3}},
        lambda a, b: a is not None and a >= 3,
        lambda before, now: now and not before,
    ),
    (
        {"threshold": {"tag": "a", "direction": "down", "bound": 2.5}},
        lambda a, b: a is not None and a >= 2.5,
        lambda before, now: before and not now,
    ),
    (
        {"threshold": {"tag": "a", "direction": "down", "bound": 0.5, "share_of": "b"}},
        lambda a, b: None if not b else a is not None and a >= 0.5 * b,
        lambda before, now: before is True and not now,
    ),
    (
        {"tag_change": {"tag": "a", "change": "changed"}},
        lambda a, b: (a,),
        lambda before, now: before != now,
    ),
    (
        {"tag_change": {"tag": "a", "change": "entered", "op": "in", "value": [1, 3]}},
        lambda a, b: a is not None and a in (1, 3),
        lambda before, now: now and not before,
    ),
    (
        {"tag_change": {"tag": "a", "change": "left", "op": "lt", "value": 2}},
        lambda a, b: a is not None and a < 2,
        lambda before, now: before and not now,
    ),
]


def expected(
    aggregate: str,
    second: str,
    sides: Sides,
    crossed: Callable[[Any, Any], bool],
    events: list[tuple[int, int, float]],
    until: int,
) -> list[tuple[int, bool]]:
    """(instant, by an event): brute force over every event and every edge of every bucket."""
    known: list[tuple[int, float]] = []
    found: list[tuple[int, bool]] = []

    def side(now: int, before: Any) -> Any:
        seen = sides(
            value_at(aggregate, known, now, WINDOW), value_at(second, known, now, 2 * WINDOW)
        )
        return before if seen is None else seen

    before = side(0, None)
    instants = {
        (at // BUCKET + 1) * BUCKET + window
        for _, at, _ in events
        for window in (WINDOW, 2 * WINDOW)
    }
    steps: list[tuple[int, int, tuple[int, float] | None]] = [(i, 0, None) for i in instants]
    steps += [(now, 1 + number, (at, v)) for number, (now, at, v) in enumerate(events)]
    for now, by_event, event in sorted(steps, key=lambda step: step[:2]):
        if now > until:
            break
        if event is not None:
            known.append(event)
        seen = side(now, before)
        late = event is not None and event[0] < now - 5 * MINUTE
        if crossed(before, seen) and not late:
            found.append((now, by_event > 0))
        before = seen
    return found


STEPS = st.lists(
    st.tuples(
        st.integers(0, 8 * MINUTE) | st.sampled_from([MINUTE, 2 * MINUTE, 10 * MINUTE]),
        st.integers(0, 9 * MINUTE) | st.just(0),
        st.sampled_from([0.5, 1, 2, 3, -1]),
        st.sampled_from(["event", "event", "event", "tick"]),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(AGGREGATES)),
    st.sampled_from(["count", "sum"]),
    st.sampled_from(ENTRIES),
    STEPS,
    st.booleans(),
)
def test_they_come_in_exactly_when_every_instant_is_looked_at(
    aggregate: str,
    second: str,
    entry: tuple[dict[str, Any], Sides, Callable[[Any, Any], bool]],
    steps: list[tuple[int, int, float, str]],
    reload: bool,
) -> None:
    definitions: tuple[Tag | Trigger, ...] = (
        tag("a", aggregate, window="10m"),
        tag("b", second, window="20m"),
        trigger("t", entry=entry[0]),
    )
    log = Log(rules=compile_rules(bundle(*definitions, late_after="5m")), reload=reload)
    now, events = NOON, []
    for after, ago, amount, kind in steps:
        now += after
        if kind == "tick":
            log.wake(now)
        else:
            log.event(properties={"amount": amount}, now=now, occurred_at=now - ago)
            events.append((now, now - ago, amount))
    until = now + HOUR
    log.wake(until)
    found = []
    received = {f"event-{number + 1}": one[0] for number, one in enumerate(events)}
    for one in log.out.decisions:
        by_event = one.event_id in received
        at = received[one.event_id] if by_event else int(one.event_id.partition("@")[2])
        found.append((at, by_event))
    # What comes in at one moment is decided in the order of candidates, not of their coming.
    assert sorted(found) == sorted(expected(aggregate, second, entry[1], entry[2], events, until))


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_wake_is_never_later_than_the_next_change(
    steps: list[tuple[int, int, float, str]],
) -> None:
    definitions = (tag("a", window="10m"), change("changed", "a"))
    log, now = log_of(*definitions), NOON
    for after, ago, _, kind in steps:
        now += after
        if kind == "tick":
            log.wake(now)
        else:
            log.event(now=now, occurred_at=now - ago)
        tags: Tags = log.state.tags
        leaves_at = min((data[LEAVES_AT] for data in tags.values()), default=1 << 62)
        assert log.state.next_due <= leaves_at


@pytest.mark.parametrize("aggregate", ["distinct", "top_k", "first"])
def test_other_aggregates_change_by_time_too(aggregate: str) -> None:
    log = log_of(tag("a", aggregate, window="10m"), change("changed", "a"))
    assert len(log.event(properties={"amount": 7})) == 1
    (sent,) = log.wake(NOON + HOUR)
    assert sent.event_id == f"tag_change@{NOON + 11 * MINUTE}"
