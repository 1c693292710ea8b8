"""Segments and life cycles of two people who turn out to be one, whoever takes in whom."""

from typing import Any

import pytest

from services.contracts.time import DAY
from tests.engine.build import NOON, lifecycle, segment, tag, trigger
from tests.engine.people import ANN, BOB, People, people_of
from tests.engine.test_merging_entries import WAYS, take_in

ORDERS = tag("orders", window="30d")
VISITS = tag("visits", events=["visit"])
BUYERS = segment("buyers", {"tag": "orders", "op": "gte", "value": 2})
FEW = segment("few", {"tag": "orders", "op": "lt", "value": 2})
STAGE = lifecycle(
    "stage",
    ["new", "active", "loyal"],
    {"from": ["new"], "to": "active", "when": {"tag": "orders", "op": "gte", "value": 1}},
    {"from": ["active"], "to": "loyal", "when": {"tag": "visits", "op": "gte", "value": 2}},
)
TOLD = trigger(
    "told", entry={"events": ["$segment_entered", "$segment_left", "$lifecycle_changed"]}
)


def told(people: People, name: str, before: int = 0) -> list[str]:
    return [one.event_id.partition("@")[0] for one in people.told.get(name, [])[before:]]


def of_merge(people: People, by: str, other: str) -> list[str]:
    before = len(people.told.get(by, []))
    take_in(people, by, other)
    return told(people, by, before)


def stage(people: People, name: str) -> Any:
    return people.tag(name, "stage")


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_they_come_in_together_where_neither_was(by: str, other: str) -> None:
    people = people_of(ORDERS, BUYERS, TOLD)
    people.event(ANN)
    people.event(BOB)
    assert of_merge(people, by, other) == ["$segment_entered/buyers"]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_where_either_was_they_come_in_no_second_time(by: str, other: str) -> None:
    people = people_of(ORDERS, BUYERS, TOLD)
    people.event(ANN)
    people.event(ANN)
    people.event(BOB)
    assert of_merge(people, by, other) == []
    assert people.state(people.home(by)).membership is not None


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_they_go_out_once_where_both_were_in(by: str, other: str) -> None:
    people = people_of(ORDERS, FEW, TOLD)
    people.event(ANN)
    people.event(BOB)
    assert of_merge(people, by, other) == ["$segment_left/few"]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_the_state_of_whom_was_seen_first_holds_and_goes_on(by: str, other: str) -> None:
    people = people_of(ORDERS, VISITS, STAGE, TOLD)
    people.event(ANN, "visit")
    people.event(ANN)
    people.now += DAY
    people.event(BOB, "visit")
    assert [stage(people, ANN), stage(people, BOB)] == ["active", "new"]
    assert of_merge(people, by, other) == ["$lifecycle_changed/stage/loyal"]
    assert stage(people, by) == "loyal"


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_of_whom_nothing_was_known_yet_no_state_is_taken(by: str, other: str) -> None:
    people = people_of(ORDERS, VISITS, STAGE, TOLD)
    people.event(ANN)
    people.person(BOB)
    take_in(people, by, other)
    assert stage(people, by) == "active"


def test_time_goes_on_for_both_together() -> None:
    people = people_of(ORDERS, BUYERS, TOLD)
    people.event(ANN)
    people.now += DAY
    people.event(BOB)
    take_in(people, ANN, BOB)
    people.now = NOON + 40 * DAY
    people.wake(ANN)
    assert told(people, ANN) == ["$segment_entered/buyers", "$segment_left/buyers"]
