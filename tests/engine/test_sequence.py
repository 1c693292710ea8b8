"""`entry.sequence`: one after the other by event time, close enough together, key by key."""

from typing import Any

import pytest

from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import encode_state
from services.triggers.engine.kept import split_events
from services.triggers.engine.limits import NEVER, SEQUENCE_EVENTS_MAX, SETTLED_KEYS_MAX
from tests.engine.build import NOON, Log, bundle, log_of, tag, trigger


def parts(*names: str) -> list[dict[str, Any]]:
    return [{"events": [name]} for name in names]


def followed(*names: str, within: str = "1h", **sequence: Any) -> Log:
    """A trigger for these events one after the other."""
    entry = {"sequence": {"parts": parts(*names), "within": within, **sequence}}
    return log_of(trigger("t", entry=entry))


def sent(log: Log) -> list[str]:
    """The events that completed a sequence, in order."""
    return [one.event_id for one in log.out.commands]


@pytest.fixture(params=[False, True], ids=["", "over restarts"])
def log(request: pytest.FixtureRequest) -> Log:
    made = followed("view", "cart", key=["sku"])
    made.reload = request.param
    return made


def test_the_last_part_completes_it_and_stands_for_it(log: Log) -> None:
    assert log.event("view", {"sku": "a"}, now=NOON) == []
    (decision,) = log.event("cart", {"sku": "a", "n": 2}, now=NOON + HOUR, id_="c")
    assert (decision.outcome, decision.event_id) == ("sent", "c")
    assert log.out.commands[0].variables["event"] == {"sku": "a", "n": 2}


def test_it_has_to_be_over_within_its_time(log: Log) -> None:
    log.event("view", {"sku": "a"}, now=NOON)
    log.event("cart", {"sku": "a"}, now=NOON + HOUR + 1)
    assert sent(log) == []


def test_the_time_runs_from_the_first_of_them_and_a_later_first_is_as_good() -> None:
    log = followed("a", "b", "c")
    for minutes, name in ((0, "a"), (40, "b"), (61, "c"), (70, "a"), (80, "b"), (130, "c")):
        log.event(name, now=NOON + minutes * MINUTE, id_=f"{name}{minutes}")
    assert sent(log) == ["c130"]


def test_the_order_of_the_parts_matters(log: Log) -> None:
    log.event("cart", {"sku": "a"}, now=NOON)
    log.event("view", {"sku": "a"}, now=NOON + 1)
    assert sent(log) == []


def test_another_key_is_another_sequence(log: Log) -> None:
    log.event("view", {"sku": "a"}, now=NOON)
    log.event("cart", {"sku": "b"}, now=NOON + 1)
    log.event("cart", {}, now=NOON + 1)
    assert sent(log) == []
    log.event("view", {"sku": "b"}, now=NOON + 2)
    log.event("cart", {"sku": "b"}, now=NOON + 3, id_="b")
    log.event("cart", {"sku": "a"}, now=NOON + 4, id_="a")
    assert sent(log) == ["b", "a"]


def test_of_two_at_one_instant_the_first_to_arrive_came_first(log: Log) -> None:
    log.event("view", {"sku": "a"}, now=NOON)
    log.event("cart", {"sku": "a"}, now=NOON)
    log.event("cart", {"sku": "b"}, now=NOON)
    log.event("view", {"sku": "b"}, now=NOON)
    assert len(sent(log)) == 1


def test_a_first_part_that_was_overtaken_completes_it(log: Log) -> None:
    log.event("cart", {"sku": "a"}, now=NOON, id_="cart")
    log.event("view", {"sku": "a"}, now=NOON + HOUR, occurred_at=NOON - 1, id_="view")
    assert sent(log) == ["view"]


def test_a_part_between_that_was_overtaken_completes_it() -> None:
    log = followed("a", "b", "c")
    log.event("a", now=NOON)
    log.event("c", now=NOON + 10)
    log.event("b", now=NOON + 20, occurred_at=NOON + 10, id_="after c")
    assert sent(log) == []
    log.event("b", now=NOON + 30, occurred_at=NOON + 9, id_="before c")
    assert sent(log) == ["before c"]


def test_a_first_part_is_kept_for_a_second_that_is_long_under_way(log: Log) -> None:
    log.event("view", {"sku": "a"}, now=NOON)
    log.event("view", {"sku": "b"}, now=NOON + 20 * HOUR)
    log.event("cart", {"sku": "a"}, now=NOON + 20 * HOUR, occurred_at=NOON + HOUR, id_="cart")
    assert sent(log) == ["cart"]


def test_a_late_event_is_part_of_nothing() -> None:
    log = followed("a", "b", within="3d")
    log.event("a", now=NOON, occurred_at=NOON - DAY - 1)
    log.event("b", now=NOON)
    assert sent(log) == []


def test_an_event_serves_as_one_part_only() -> None:
    log = followed("a", "a", "a")
    for number in range(7):
        log.event("a", now=NOON + number, id_=f"a{number}")
    assert sent(log) == ["a2", "a5"]


def test_a_completed_one_uses_up_what_came_before_its_end(log: Log) -> None:
    for n, name in enumerate(["view", "view", "cart", "cart"]):
        log.event(name, {"sku": "a"}, now=NOON + n, id_=f"{name}{n}")
    log.event("view", {"sku": "a"}, now=NOON + 9, occurred_at=NOON + 1)
    log.event("cart", {"sku": "a"}, now=NOON + 10, id_="again")
    assert sent(log) == ["cart2"]
    log.event("view", {"sku": "a"}, now=NOON + 11)
    log.event("cart", {"sku": "a"}, now=NOON + 12, id_="anew")
    assert sent(log) == ["cart2", "anew"]


def test_a_duplicate_is_not_two() -> None:
    log = followed("a", "a")
    log.event("a", now=NOON, id_="same")
    log.event("a", now=NOON + 1, id_="same")
    assert sent(log) == []


def test_conditions_hold_as_of_arrival_with_the_event_applied() -> None:
    entry = {
        "sequence": {
            "parts": [
                {"events": ["order"], "where": {"tag": "orders", "op": "eq", "value": 1}},
                {"events": ["order"], "where": {"property": "total", "op": "gt", "value": 9}},
            ],
            "within": "1d",
        }
    }
    log = log_of(tag("orders"), trigger("t", entry=entry))
    log.event("order", {"total": 20}, now=NOON)
    log.event("order", {"total": 5}, now=NOON + 1)
    log.event("order", {"total": 20}, now=NOON + 2, id_="yes")
    assert sent(log) == ["yes"]


def test_many_of_one_part_do_not_crowd_out_the_rest() -> None:
    log = followed("view", "cart", "pay", within="1d")
    log.event("view", now=NOON)
    log.event("cart", now=NOON + 1)
    for number in range(3 * SEQUENCE_EVENTS_MAX):
        log.event("view", now=NOON + 2 + number)
    log.event("pay", now=NOON + HOUR, id_="paid")
    assert sent(log) == ["paid"]


def test_past_the_bound_the_oldest_goes(log: Log) -> None:
    for number in range(SEQUENCE_EVENTS_MAX + 1):
        log.event("view", {"sku": number}, now=NOON + number)
    (slot,) = log.state.slots.values()
    assert len(split_events(slot[1])) == SEQUENCE_EVENTS_MAX
    log.event("cart", {"sku": 0}, now=NOON + MINUTE)
    log.event("cart", {"sku": 1}, now=NOON + MINUTE, id_="one")
    assert sent(log) == ["one"]


def test_what_can_begin_nothing_any_more_is_forgotten(log: Log) -> None:
    for number in range(SETTLED_KEYS_MAX + 1):
        for name in ("view", "cart"):
            log.event(name, {"sku": number}, now=NOON + number)
    (slot,) = log.state.slots.values()
    assert (slot[1], len(slot[2])) == (b"", SETTLED_KEYS_MAX)
    log.event("view", {"sku": "a"}, now=NOON + HOUR)
    log.event("view", {"sku": "b"}, now=NOON + 26 * HOUR + 1)
    (slot,) = log.state.slots.values()
    assert len(split_events(slot[1])) == 1


def test_what_can_still_begin_one_is_not(log: Log) -> None:
    log.event("view", {"sku": "a"}, now=NOON)
    log.event("view", {"sku": "b"}, now=NOON + 25 * HOUR)
    log.event("cart", {"sku": "a"}, now=NOON + 25 * HOUR, occurred_at=NOON + HOUR, id_="overtaken")
    assert sent(log) == ["overtaken"]


def test_it_needs_no_timer(log: Log) -> None:
    log.event("view", {"sku": "a"}, now=NOON)
    assert log.state.next_due == NEVER


def test_a_changed_entry_forgets() -> None:
    log = followed("view", "cart")
    log.event("view", now=NOON)
    entry = {"sequence": {"parts": parts("view", "cart"), "within": "2h"}}
    log.publish(bundle(trigger("t", entry=entry), revision=2))
    log.event("cart", now=NOON + 1)
    assert sent(log) == []


def test_restarts_change_no_byte_of_the_state() -> None:
    states = []
    for reload in (False, True):
        log = followed("view", "cart", key=["sku"])
        log.reload = reload
        for number, sku in enumerate("abcab"):
            log.event("view", {"sku": sku}, now=NOON + number)
        log.event("cart", {"sku": "c"}, now=NOON + MINUTE)
        states.append(encode_state(log.state))
    assert states[0] == states[1]
