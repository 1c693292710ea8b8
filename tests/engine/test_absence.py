"""`entry.absence`: what should have followed did not, by event time and key by key."""

from typing import Any

import pytest

from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.triggers.engine import encode_state
from services.triggers.engine.limits import (
    NEVER,
    SLOTS_BYTES_MAX,
    WAIT_PROPERTIES_BYTES_MAX,
    WAITING_KEYS_MAX,
)
from services.triggers.engine.waits import encode
from tests.engine.build import NOON, Log, bundle, log_of, tag, trigger

CART = {"after": {"events": ["cart"]}, "without": {"events": ["order"]}, "within": "24h"}


def cart_left(**absence: Any) -> Log:
    """A trigger `cart_left` for a cart of a product without an order of it within 24 h."""
    return log_of(trigger("cart_left", entry={"absence": {**CART, "key": ["sku"], **absence}}))


def sent(log: Log) -> list[str]:
    """The entry events of what was sent, in order."""
    return [one.event_id for one in log.out.commands]


@pytest.fixture(params=[False, True], ids=["", "over restarts"])
def log(request: pytest.FixtureRequest) -> Log:
    made = cart_left()
    made.reload = request.param
    return made


def test_it_fires_when_the_time_is_over_with_the_event_that_began_it(log: Log) -> None:
    log.event("cart", {"sku": "a", "price": 3}, now=NOON, id_="c1")
    assert log.wake(NOON + DAY - 1) == []
    (decision,) = log.wake(NOON + DAY)
    assert (decision.trigger, decision.outcome, decision.event_id) == ("cart_left", "sent", "c1")
    assert log.out.commands[0].variables["event"] == {"sku": "a", "price": 3}
    assert log.wake(NOON + 30 * DAY) == []


def test_the_time_runs_from_when_it_happened_not_from_when_it_arrived(log: Log) -> None:
    log.event("cart", {"sku": "a"}, now=NOON, occurred_at=NOON - 20 * HOUR)
    assert log.wake(NOON + 4 * HOUR - 1) == []
    assert len(log.wake(NOON + 4 * HOUR)) == 1


def test_what_was_missing_on_its_arrival_already_fires_at_once() -> None:
    log = cart_left(within="1h")
    assert len(log.event("cart", {"sku": "a"}, occurred_at=NOON - 2 * HOUR)) == 1


def test_what_should_follow_cancels_it_for_its_key_alone(log: Log) -> None:
    log.event("cart", {"sku": "a"}, now=NOON, id_="a")
    log.event("cart", {"sku": "b"}, now=NOON, id_="b")
    log.event("order", {"sku": "a"}, now=NOON + HOUR)
    log.wake(NOON + DAY)
    assert sent(log) == ["b"]


def test_the_last_activity_of_a_key_counts(log: Log) -> None:
    log.event("cart", {"sku": "a"}, now=NOON, id_="first")
    log.event("cart", {"sku": "a"}, now=NOON + 5 * HOUR, id_="second")
    assert log.wake(NOON + DAY) == []
    assert len(log.wake(NOON + 29 * HOUR)) == 1
    assert sent(log) == ["second"]


def test_an_earlier_activity_that_arrives_later_changes_nothing(log: Log) -> None:
    log.event("cart", {"sku": "a"}, now=NOON, id_="second")
    log.event("cart", {"sku": "a"}, now=NOON + HOUR, occurred_at=NOON - HOUR, id_="first")
    log.wake(NOON + DAY)
    log.event("cart", {"sku": "a"}, now=NOON + DAY, occurred_at=NOON - 2, id_="zeroth")
    log.wake(NOON + 3 * DAY)
    assert sent(log) == ["second"]


def test_what_happened_before_it_does_not_cancel_it(log: Log) -> None:
    log.event("order", {"sku": "a"}, now=NOON - HOUR)
    log.event("cart", {"sku": "a"}, now=NOON)
    log.event("order", {"sku": "a"}, now=NOON + HOUR, occurred_at=NOON - 2)
    assert len(log.wake(NOON + DAY)) == 1


def test_what_happened_at_the_same_instant_has_followed(log: Log) -> None:
    log.event("cart", {"sku": "a"}, now=NOON)
    log.event("order", {"sku": "a"}, now=NOON)
    log.event("order", {"sku": "b"}, now=NOON)
    log.event("cart", {"sku": "b"}, now=NOON)
    assert log.wake(NOON + DAY) == []


def test_one_overtaken_by_what_should_follow_never_begins(log: Log) -> None:
    log.event("order", {"sku": "a"}, now=NOON)
    log.event("cart", {"sku": "a"}, now=NOON + MINUTE, occurred_at=NOON - MINUTE)
    assert log.wake(NOON + 3 * DAY) == []


@pytest.mark.parametrize("behind", [0, 2 * DAY], ids=["in time", "late"])
def test_a_late_cancellation_counts_until_it_fires(behind: Micros) -> None:
    log = cart_left(within="7d")
    log.event("cart", {"sku": "a"}, now=NOON)
    log.event("order", {"sku": "a"}, now=NOON + 5 * DAY, occurred_at=NOON + 5 * DAY - behind)
    assert log.wake(NOON + 7 * DAY) == []


def test_nobody_is_reminded_of_what_is_known_by_then() -> None:
    """No tick came for a while: the order is in the log before the time is noticed to be over."""
    log = cart_left()
    log.event("cart", {"sku": "a"}, now=NOON)
    assert log.event("order", {"sku": "a"}, now=NOON + 30 * HOUR) == []
    assert log.wake(NOON + 90 * DAY) == []


def test_a_late_activity_begins_nothing(log: Log) -> None:
    assert log.event("cart", {"sku": "a"}, now=NOON, occurred_at=NOON - DAY - 1) == []
    assert log.state.slots == {}
    assert log.wake(NOON + 3 * DAY) == []


def test_without_its_key_an_event_neither_begins_nor_cancels(log: Log) -> None:
    log.event("cart", {"price": 3}, now=NOON)
    log.event("cart", {"sku": None}, now=NOON)
    log.event("cart", {"sku": ["a"]}, now=NOON)
    assert log.state.next_due == NEVER
    log.event("cart", {"sku": "a"}, now=NOON)
    log.event("order", {}, now=NOON)
    assert len(log.wake(NOON + DAY)) == 1


def test_without_a_key_anything_goes_with_anything() -> None:
    log = cart_left(key=[])
    log.event("cart", {"sku": "a"}, now=NOON)
    log.event("order", {"sku": "b"}, now=NOON + HOUR)
    assert log.wake(NOON + DAY) == []


def test_keys_are_values_not_spellings(log: Log) -> None:
    log.event("cart", {"sku": 1}, now=NOON, id_="number")
    log.event("cart", {"sku": "1"}, now=NOON, id_="text")
    log.event("order", {"sku": 1.0}, now=NOON)
    log.wake(NOON + DAY)
    assert sent(log) == ["text"]


def test_conditions_see_the_profile_with_the_event_applied() -> None:
    entry = {
        "after": {"events": ["cart"], "where": {"tag": "carts", "op": "gte", "value": 2}},
        "without": {"events": ["order"], "where": {"property": "paid", "op": "eq", "value": True}},
        "within": "24h",
    }
    log = log_of(tag("carts", events=["cart"]), trigger("t", entry={"absence": entry}))
    log.event("cart", now=NOON, id_="first")
    log.event("cart", now=NOON + HOUR, id_="second")
    log.event("order", {"paid": False}, now=NOON + 2 * HOUR)
    log.wake(NOON + 2 * DAY)
    assert sent(log) == ["second"]


def test_what_is_both_begins_anew() -> None:
    """A large order and then none at all: the large order itself is no order after it."""
    large = {"property": "total", "op": "gte", "value": 100}
    log = cart_left(
        after={"events": ["order"], "where": large}, without={"events": ["order"]}, key=[]
    )
    log.event("order", {"total": 150}, now=NOON, id_="first")
    log.event("order", {"total": 150}, now=NOON + HOUR, id_="second")
    log.wake(NOON + 3 * DAY)
    assert sent(log) == ["second"]
    log.event("order", {"total": 150}, now=NOON + 3 * DAY)
    log.event("order", {"total": 15}, now=NOON + 3 * DAY + HOUR)
    assert log.wake(NOON + 9 * DAY) == []


def test_one_that_began_earlier_and_arrives_later_is_due_first(log: Log) -> None:
    log.event("cart", {"sku": "b"}, now=NOON, id_="b")
    log.event("cart", {"sku": "a"}, now=NOON, occurred_at=NOON - HOUR, id_="a")
    assert log.state.next_due == NOON + 23 * HOUR
    assert len(log.wake(NOON + 23 * HOUR)) == 1
    assert sent(log) == ["a"]


def test_past_the_bound_of_keys_the_oldest_goes(log: Log) -> None:
    for number in range(WAITING_KEYS_MAX + 1):
        log.event("cart", {"sku": number}, now=NOON + number, id_=f"c{number}")
    log.wake(NOON + 2 * DAY)
    assert set(sent(log)) == {f"c{number}" for number in range(1, WAITING_KEYS_MAX + 1)}


def test_of_too_many_properties_those_are_kept_that_fit() -> None:
    log = cart_left()
    large = "x" * WAIT_PROPERTIES_BYTES_MAX
    log.event("cart", {"sku": "a", "page": large, "price": 3, "big": 1 << 70}, now=NOON)
    log.wake(NOON + DAY)
    assert log.out.commands[0].variables["event"] == {"sku": "a", "price": 3}


def test_properties_that_are_only_too_many_are_kept_as_far_as_they_fit() -> None:
    log = cart_left()
    half = "x" * (WAIT_PROPERTIES_BYTES_MAX // 2)
    log.event("cart", {"sku": "a", "one": half, "two": half, "price": 3}, now=NOON)
    log.wake(NOON + DAY)
    assert log.out.commands[0].variables["event"] == {"sku": "a", "one": half, "price": 3}


def test_all_that_waits_in_a_person_stays_within_its_bound() -> None:
    log = log_of(*(trigger(f"t{n}", entry={"absence": {**CART, "key": ["sku"]}}) for n in range(5)))
    for number in range(3 * WAITING_KEYS_MAX):
        note = "x" * (WAIT_PROPERTIES_BYTES_MAX - 100)
        log.event(
            "cart", {"sku": number, "note": note}, now=NOON + number, id_="y" * 200 + str(number)
        )
        log.event("order", {"sku": -number}, now=NOON + number)
    assert SLOTS_BYTES_MAX / 2 < len(encode(log.state.slots)) <= SLOTS_BYTES_MAX


def test_what_is_done_with_is_forgotten_once_nothing_can_be_overtaken_any_more() -> None:
    log = cart_left()
    log.event("order", {"sku": "a"}, now=NOON)
    log.event("order", {"sku": "b"}, now=NOON + DAY + 1)
    (slot,) = log.state.slots.values()
    assert len(slot[2]) == 1


def test_a_changed_entry_forgets_and_another_change_does_not() -> None:
    log = cart_left()
    log.event("cart", {"sku": "a"}, now=NOON)
    same = trigger("cart_left", entry={"absence": {**CART, "key": ["sku"]}}, priority=90)
    log.publish(bundle(same, revision=2))
    log.wake(NOON + HOUR)
    assert log.state.next_due == NOON + DAY
    other = trigger("cart_left", entry={"absence": {**CART, "key": ["sku"], "within": "25h"}})
    log.publish(bundle(other, revision=3))
    log.wake(NOON + 2 * HOUR)
    assert (log.state.slots, log.state.next_due) == ({}, NEVER)


def test_restarts_change_no_byte_of_the_state() -> None:
    states = []
    for reload in (False, True):
        log = cart_left()
        log.reload = reload
        for number, sku in enumerate("abcab"):
            log.event("cart", {"sku": sku, "n": number}, now=NOON + number)
        log.event("order", {"sku": "c"}, now=NOON + HOUR)
        log.wake(NOON + DAY)
        states.append(encode_state(log.state))
    assert states[0] == states[1]
