"""What entries remember of two people comes together, whoever takes in whom."""

from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.definitions import Trigger
from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.triggers.engine.kept import split_events
from services.triggers.engine.limits import SEQUENCE_EVENTS_MAX, WAITING_KEYS_MAX
from tests.engine.build import NOON, tag, trigger
from tests.engine.people import ANN, BOB, People, people_of

WAYS = [(ANN, BOB), (BOB, ANN)]
"""Who takes in whom: what is true of both must not depend on that."""


def wake_at(people: People, name: str, now: Micros) -> list[str]:
    """Time comes to now; the outcomes it leads to, with the events that stand for them."""
    people.now = now
    return [f"{one.outcome} {one.event_id}" for one in people.wake(people.home(name))]


def take_in(people: People, by: str, other: str) -> None:
    people.alias(by, other)
    people.settle()


# Absence.

LEFT: dict[str, Any] = {
    "after": {"events": ["cart"]},
    "without": {"events": ["order"]},
    "within": "1h",
    "key": ["product"],
}
X, Y = {"product": "x"}, {"product": "y"}


def left() -> Trigger:
    return trigger(entry={"absence": LEFT})


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_an_absence_goes_on_in_the_person(by: str, other: str) -> None:
    people = people_of(left())
    people.event(ANN, "cart", X, id_="ann-x")
    people.event(BOB, "cart", Y, id_="bob-y")
    take_in(people, by, other)
    assert wake_at(people, by, NOON + HOUR) == ["sent ann-x", "sent bob-y"]


@pytest.mark.parametrize(("by", "other"), WAYS)
@pytest.mark.parametrize("order_first", [True, False])
def test_what_one_did_makes_the_other_content(by: str, other: str, order_first: bool) -> None:
    people = people_of(left())
    people.now += order_first
    people.event(ANN, "cart", X, at=NOON)
    people.event(BOB, "order", X, at=NOON + 1)
    take_in(people, by, other)
    assert wake_at(people, by, NOON + HOUR) == []


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_the_later_after_of_a_key_counts(by: str, other: str) -> None:
    people = people_of(left())
    people.event(ANN, "cart", X, id_="ann-x")
    people.now += MINUTE
    people.event(BOB, "cart", X, id_="bob-x")
    take_in(people, by, other)
    assert wake_at(people, by, NOON + HOUR) == []
    assert wake_at(people, by, NOON + HOUR + MINUTE) == ["sent bob-x"]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_what_one_was_told_of_already_does_not_begin_again(by: str, other: str) -> None:
    people = people_of(left())
    people.event(ANN, "cart", X)
    people.now += HOUR
    people.wake(ANN)
    people.event(BOB, "cart", X, at=NOON - MINUTE)
    take_in(people, by, other)
    assert wake_at(people, by, NOON + 3 * HOUR) == []


def test_an_absence_that_ends_while_the_state_is_under_way_is_noticed_at_once() -> None:
    people = people_of(left())
    people.event(ANN, "cart", X, id_="ann-x")
    people.alias(BOB, ANN)
    people.deliver(BOB, ANN)
    people.now += 2 * HOUR
    people.settle()
    assert people.outcomes(BOB) == [Outcome.SENT]


def test_an_exit_ends_what_began_under_the_other_id() -> None:
    people = people_of(trigger(entry={"absence": LEFT}, exit={"events": ["out"]}))
    people.event(ANN, "cart", X)
    take_in(people, BOB, ANN)
    people.event(BOB, "out")
    assert wake_at(people, BOB, NOON + DAY) == []


def test_of_too_many_absences_the_oldest_go() -> None:
    people = people_of(left())
    for number in range(WAITING_KEYS_MAX):
        for name in (ANN, BOB):
            people.event(name, "cart", {"product": f"{name}{number}"}, id_=f"{name}-{number}")
        people.now += 1
    take_in(people, BOB, ANN)
    assert len(wake_at(people, BOB, NOON + 2 * HOUR)) == WAITING_KEYS_MAX
    assert {one.event_id for one in people.told[BOB]} == {
        f"{name}-{number}"
        for name in (ANN, BOB)
        for number in range(WAITING_KEYS_MAX // 2, WAITING_KEYS_MAX)
    }


# Sequences.


def watched(**fields: Any) -> Trigger:
    parts = [{"events": ["view"]}, {"events": ["cart"]}]
    sequence = {"parts": parts, "within": "1h", "key": ["product"]}
    return trigger(entry={"sequence": sequence}, **fields)


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_sequence_is_completed_by_what_the_person_does_next(by: str, other: str) -> None:
    people = people_of(watched())
    people.event(ANN, "view", X)
    take_in(people, by, other)
    assert [one.outcome for one in people.event(by, "cart", X, id_="c")] == [Outcome.SENT]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_sequence_of_which_each_did_a_part_is_complete_at_the_merge(by: str, other: str) -> None:
    people = people_of(watched())
    people.event(ANN, "view", X)
    people.now += MINUTE
    people.event(BOB, "cart", X)
    take_in(people, by, other)
    (decision,) = people.told[by]
    assert (decision.outcome, decision.event_id) == (Outcome.SENT, f"sequence@{people.now}")
    people.event(by, "cart", X)
    assert len(people.told[by]) == 1


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_parts_in_the_wrong_order_or_of_other_keys_complete_nothing(by: str, other: str) -> None:
    people = people_of(watched())
    people.event(BOB, "cart", X)
    people.event(BOB, "cart", Y)
    people.now += 1
    people.event(ANN, "view", X)
    take_in(people, by, other)
    assert people.told[by] == []


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_sequence_that_one_completed_uses_up_what_the_other_did_before(
    by: str, other: str
) -> None:
    people = people_of(watched())
    people.event(ANN, "view", X, at=NOON - 2)
    people.event(BOB, "view", X, at=NOON - 1)
    people.event(BOB, "cart", X)
    take_in(people, by, other)
    people.now += 1
    assert people.event(by, "cart", X) == []


def test_of_too_many_events_those_that_can_be_spared_go() -> None:
    people = people_of(watched())
    for number in range(SEQUENCE_EVENTS_MAX):
        for name in (ANN, BOB):
            people.event(name, "view", {"product": f"{name}{number}"})
        people.now += 1
    take_in(people, BOB, ANN)
    (slot,) = people.state(BOB).slots.values()
    assert len(split_events(slot[1])) == SEQUENCE_EVENTS_MAX
    last = {"product": f"{ANN}{SEQUENCE_EVENTS_MAX - 1}"}
    assert [one.outcome for one in people.event(BOB, "cart", last)] == [Outcome.SENT]


# Inactivity.


def asleep() -> Trigger:
    return trigger(entry={"inactivity": {"events": ["visit"], "lasts": "30d"}})


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_the_later_sign_of_life_counts(by: str, other: str) -> None:
    people = people_of(asleep())
    people.event(ANN, "visit")
    people.now += DAY
    people.event(BOB, "visit")
    take_in(people, by, other)
    assert wake_at(people, by, NOON + 30 * DAY) == []
    due = NOON + 31 * DAY
    assert wake_at(people, by, due) == [f"sent inactivity@{due}"]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_whoever_was_told_they_sleep_is_not_told_again_for_an_older_sign(
    by: str, other: str
) -> None:
    people = people_of(asleep())
    people.event(ANN, "visit")
    people.now += 30 * DAY
    people.wake(ANN)
    people.event(BOB, "visit", at=NOON - DAY)
    take_in(people, by, other)
    assert wake_at(people, by, people.now + 60 * DAY) == []
    people.event(by, "visit")
    assert len(wake_at(people, by, people.now + 30 * DAY)) == 1


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_sign_of_life_of_one_is_one_of_both(by: str, other: str) -> None:
    people = people_of(asleep())
    people.event(ANN, "visit")
    take_in(people, by, other)
    due = NOON + 30 * DAY
    assert wake_at(people, by, due) == [f"sent inactivity@{due}"]


# Tags that are followed.

REACHED: dict[str, Any] = {"tag": "orders", "direction": "up", "bound": 4}


@pytest.mark.parametrize(("by", "other"), WAYS)
@pytest.mark.parametrize("window", [None, "24h"])
def test_a_bound_that_both_reach_together_is_crossed_by_the_merge(
    by: str, other: str, window: str | None
) -> None:
    orders = tag("orders", **({} if window is None else {"window": window}))
    people = people_of(orders, trigger(entry={"threshold": REACHED}))
    for name in (ANN, BOB):
        people.event(name)
        people.event(name)
    take_in(people, by, other)
    (decision,) = people.told[by]
    assert (decision.outcome, decision.event_id) == (Outcome.SENT, f"threshold@{NOON}")


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_bound_that_one_had_reached_is_not_crossed_again(by: str, other: str) -> None:
    people = people_of(tag("orders"), trigger(entry={"threshold": REACHED}))
    for _ in range(4):
        people.event(ANN)
    people.event(BOB)
    take_in(people, by, other)
    assert [one.outcome for name in (ANN, BOB) for one in people.told[name]] == [Outcome.SENT]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_condition_that_one_had_left_is_not_left_again(by: str, other: str) -> None:
    few = {"tag": "orders", "change": "left", "op": "lt", "value": 2}
    people = people_of(tag("orders"), trigger(entry={"tag_change": few}))
    people.event(ANN)
    people.event(ANN)
    people.event(BOB)
    take_in(people, by, other)
    assert [one.outcome for name in (ANN, BOB) for one in people.told[name]] == [Outcome.SENT]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_condition_that_only_both_together_leave_is_left_by_the_merge(
    by: str, other: str
) -> None:
    few = {"tag": "orders", "change": "left", "op": "lt", "value": 2}
    people = people_of(tag("orders"), trigger(entry={"tag_change": few}))
    people.event(ANN)
    people.event(BOB)
    take_in(people, by, other)
    assert [one.outcome for one in people.told[by]] == [Outcome.SENT]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_value_that_one_had_already_is_no_change(by: str, other: str) -> None:
    changed = {"tag": "kind", "change": "changed"}
    people = people_of(tag("kind", "last", value="kind"), trigger(entry={"tag_change": changed}))
    people.event(ANN, properties={"kind": "a"})
    people.now += 1
    people.event(BOB, properties={"kind": "b"})
    told = len(people.told[ANN]) + len(people.told[BOB])
    take_in(people, by, other)
    assert len(people.told[ANN]) + len(people.told[BOB]) == told == 2


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_what_leaves_the_window_of_both_is_noticed_on_time(by: str, other: str) -> None:
    falls = {"tag": "orders", "change": "left", "op": "gte", "value": 2}
    people = people_of(tag("orders", window="24h"), trigger(entry={"tag_change": falls}))
    for name in (ANN, BOB):
        people.event(name)
    take_in(people, by, other)
    leaves = NOON + DAY + HOUR
    assert wake_at(people, by, leaves - 1) == []
    assert wake_at(people, by, leaves) == [f"sent tag_change@{leaves}"]


def test_time_changed_the_others_tags_before_they_came_together() -> None:
    falls = {"tag": "orders", "change": "left", "op": "gte", "value": 1}
    people = people_of(tag("orders", window="24h"), trigger(entry={"tag_change": falls}))
    people.event(ANN)
    people.alias(BOB, ANN)
    people.deliver(BOB, ANN)
    people.now += 2 * DAY
    people.settle()
    leaves = NOON + DAY + HOUR
    assert [one.event_id for one in people.told[BOB]] == [f"tag_change@{leaves}"]


# Days and schedules.


def birthday() -> Trigger:
    return trigger(entry={"date": {"trait": "birthday", "yearly": True, "at": "09:00"}})


def test_a_day_comes_with_the_date_that_fills_the_gap() -> None:
    people = people_of(birthday())
    people.identify(ANN, birthday="1990-06-11")
    people.identify(BOB)
    take_in(people, BOB, ANN)
    day = NOON + 21 * HOUR
    assert wake_at(people, BOB, day - 1) == []
    assert wake_at(people, BOB, day) == [f"sent date@{day}"]


def test_the_persons_own_date_stays() -> None:
    people = people_of(birthday())
    people.identify(ANN, birthday="1990-06-11")
    people.identify(BOB, birthday="1990-06-12")
    take_in(people, BOB, ANN)
    day = NOON + 45 * HOUR
    assert wake_at(people, BOB, day - 1) == []
    assert wake_at(people, BOB, day) == [f"sent date@{day}"]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_schedule_comes_once_to_the_person(by: str, other: str) -> None:
    people = people_of(trigger(entry={"schedule": {"cron": "0 13 * * *"}}))
    for name in (ANN, BOB):
        people.event(name, "visit")
    take_in(people, by, other)
    assert wake_at(people, by, NOON + HOUR) == [f"sent schedule@{NOON + HOUR}"]
    assert wake_at(people, other, NOON + HOUR) == []
