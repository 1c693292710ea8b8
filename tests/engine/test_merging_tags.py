"""A tag of two people brought together reads as that of one who did all of it."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Tag
from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.triggers.engine import PersonState
from services.triggers.engine.limits import DISTINCT_EXACT_MAX, TOP_VALUES_MAX
from services.triggers.engine.tags import tag_key
from tests.engine.build import tag
from tests.engine.people import ANN, BOB, People, people_of
from tests.engine.tagging import derived

ONE = "one"
WINDOWS = [None, "1h", "24h", "30d"]
AGGREGATES = ["count", "sum", "average", "min", "max", "last", "first", "distinct", "top_k"]
ORDERED = sorted(set(AGGREGATES) - {"top_k"})


def tag_of(aggregate: str, window: str | None) -> Tag:
    fields: dict[str, Any] = {} if window is None else {"window": window}
    return tag(aggregate, aggregate, **fields)


@dataclass(frozen=True)
class Did:
    """Something that either of the two did; `behind`: so long before it arrived."""

    who: str
    after: Micros
    behind: Micros
    amount: float


done = st.lists(
    st.builds(
        Did,
        who=st.sampled_from([ANN, BOB]),
        after=st.sampled_from([MINUTE, 20 * MINUTE, HOUR, 7 * HOUR, 3 * DAY]),
        behind=st.sampled_from([0, 0, MINUTE, 2 * HOUR, 40 * DAY]),
        amount=st.integers(-50, 50).map(lambda tenths: tenths / 10),
    ),
    max_size=25,
)


def played(definitions: list[Tag], events: list[Did]) -> People:
    """All of it by two people, and by one."""
    people = people_of(*definitions)
    for number, did in enumerate(events):
        people.now += did.after
        for name in (did.who, ONE):
            # No two at one instant: who was first of those is not known any more.
            at = people.now - did.behind + number
            people.event(name, "order", {"amount": did.amount}, at=at)
    return people


@settings(max_examples=50)
@given(done, st.booleans(), st.sampled_from([0, 30 * MINUTE, 12 * HOUR, 20 * DAY]))
@pytest.mark.parametrize("window", WINDOWS)
def test_both_together_read_as_one_who_did_all(
    window: str | None, events: list[Did], bob_asks: bool, later: Micros
) -> None:
    people = played([tag_of(aggregate, window) for aggregate in ORDERED], events)
    people.alias(*((BOB, ANN) if bob_asks else (ANN, BOB)))
    people.settle()
    for _ in range(2):
        values = {one: people.tag(ANN, one) for one in ORDERED}
        assert values == {one: people.tag(ONE, one) for one in ORDERED}
        people.now += later


@settings(max_examples=20)
@given(done, st.sampled_from([0, 12 * HOUR, 20 * DAY]))
def test_days_since_and_what_is_derived_are_those_of_one_who_did_all(
    events: list[Did], later: Micros
) -> None:
    definitions = [
        tag("quiet", "recency", value=None),
        tag("known", "tenure", value=None),
        tag("net", "sum", where={"property": "amount", "op": "gte", "value": 0}, minus={
            "events": ["order"], "where": {"property": "amount", "op": "lt", "value": -2}}),
        derived("age", total={"terms": [{"of": "known"}, {"of": "quiet", "times": -1}]}),
        derived("score", score={"of": "net", "cuts": [0, 1, 5, 10], "among": "quiet"}),
    ]  # fmt: skip
    people = played(definitions, events)
    people.alias(BOB, ANN)
    people.settle()
    people.now += later
    for one in definitions:
        assert people.tag(BOB, one.id) == people.tag(ONE, one.id)


@settings(max_examples=30)
@given(done, done)
@pytest.mark.parametrize("window", WINDOWS)
def test_what_happens_after_a_merge_adds_to_both(
    window: str | None, before: list[Did], after: list[Did]
) -> None:
    people = played([tag_of(aggregate, window) for aggregate in ORDERED], before)
    people.alias(BOB, ANN)
    people.settle()
    for number, did in enumerate(after):
        people.now += did.after
        for name in (did.who, ONE):
            at = people.now - did.behind + 100 + number
            people.event(name, "order", {"amount": did.amount}, at=at)
        people.settle()
        for one in ORDERED:
            assert people.tag(BOB, one) == people.tag(ONE, one)


def values_of(state: PersonState, definition: Tag) -> dict[Any, list[Any]]:
    data = state.tags.get(tag_key(definition))
    return {} if data is None else data[2]


@settings(max_examples=30)
@given(done)
@pytest.mark.parametrize("window", WINDOWS)
def test_weights_add_up(window: str | None, events: list[Did]) -> None:
    top = tag_of("top_k", window)
    people = played([top], events)
    people.alias(BOB, ANN)
    people.settle()
    for name in (BOB, ONE):
        people.tag(name, "top_k")
        people.wake(name)
    both, one = (values_of(people.state(name), top) for name in (BOB, ONE))
    for value, (score, bucket) in both.items():
        if value not in one:
            continue  # gone there already, for one looks again only where something changed
        weight, latest = one[value]
        assert bucket == latest
        # What had left one of the two before the other did it again is not in the sum.
        assert score <= weight + 1e-9
        if window is None:
            assert score == pytest.approx(weight, abs=1e-9)


def test_the_lightest_of_both_go_past_the_bound() -> None:
    top = tag("top", "top_k", k=3, half_life="1d")
    people = people_of(top)
    for number in range(TOP_VALUES_MAX):
        for name in (ANN, BOB):
            for _ in range(1 + (number >= TOP_VALUES_MAX // 2)):
                people.event(name, "order", {"amount": f"{name}{number:02}"})
    people.alias(BOB, ANN)
    people.settle()
    kept = values_of(people.state(BOB), top)
    assert len(kept) == TOP_VALUES_MAX
    assert all(int(value[3:]) >= TOP_VALUES_MAX // 2 for value in kept)


@pytest.mark.parametrize("shared", [0, 30, 60])
def test_different_values_are_counted_once_and_exactly_as_long_as_they_are_few(
    shared: int,
) -> None:
    people = people_of(tag("kinds", "distinct"))
    for number in range(60):
        for name in (BOB, ONE):
            people.event(name, "order", {"amount": f"v{number}"})
        for name in (ANN, ONE):
            people.event(name, "order", {"amount": f"v{number + 60 - shared}"})
    people.alias(BOB, ANN)
    people.settle()
    different = 120 - shared
    assert people.tag(BOB, "kinds") == people.tag(ONE, "kinds")
    if different <= DISTINCT_EXACT_MAX:
        assert people.tag(BOB, "kinds") == different


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 300))
def test_samples_of_many_values_are_those_of_one_who_had_all(ann: int, bob: int) -> None:
    kinds = tag("kinds", "distinct")
    people = people_of(kinds, message_ids_max=64)
    for name, numbers in ((ANN, range(ann)), (BOB, range(150, 150 + bob))):
        for number in numbers:
            people.event(name, "order", {"amount": number})
            people.event(ONE, "order", {"amount": number})
    people.alias(BOB, ANN)
    people.settle()
    both, one = (people.state(name).tags[tag_key(kinds)] for name in (BOB, ONE))
    assert both == one


def test_of_two_at_one_instant_the_persons_own_is_the_last() -> None:
    for first, second in ((ANN, BOB), (BOB, ANN)):
        people = people_of(tag("last", "last"), tag("first", "first"))
        for name in (first, second):
            people.event(name, "order", {"amount": name})
        people.alias(BOB, ANN)
        people.settle()
        assert (people.tag(BOB, "last"), people.tag(BOB, "first")) == (BOB, BOB)
