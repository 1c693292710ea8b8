"""`exit`: an event ends all that the trigger has waiting in the person."""

from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR
from services.triggers.engine.limits import NEVER
from tests.engine.build import NOON, Log, at, bundle, log_of, policy, tag, trigger

DEFER = {"action": "defer", "expires_after": "3d"}
CART = {"events": ["cart"]}
ORDER = {"events": ["order"]}
ABSENCE = {"absence": {"after": CART, "without": {"events": ["none"]}, "within": "24h"}}
SEQUENCE = {"sequence": {"parts": [CART, {"events": ["pay"]}], "within": "24h"}}


def put_off(way_out: dict[str, Any], **fields: Any) -> Log:
    """A trigger on `cart` whose sends wait for a cap from the second on."""
    leaving = trigger("t", entry=CART, exit=way_out, when_capped=DEFER, **fields)
    log = log_of(leaving, tag("orders"), policy(kind="trigger", value="t"))
    log.event("cart", {"sku": "before"}, now=NOON - HOUR)
    log.delivery(log.out.commands[0].send_id)
    return log


@pytest.mark.parametrize("reload", [False, True], ids=["", "over restarts"])
def test_a_send_that_was_put_off_never_goes_out_and_leaves_a_record(reload: bool) -> None:
    log = put_off(ORDER)
    log.reload = reload
    (deferred,) = log.event("cart", {"sku": "a"}, now=NOON, id_="c")
    (ended,) = log.event("order", now=NOON + HOUR, id_="o")
    assert (ended.outcome, ended.event_id, ended.run_id) == (Outcome.EXIT, "c", deferred.run_id)
    assert ended.details == {"exit_event": "order", "exit_event_id": "o", "entered_at": NOON}
    assert log.wake(NOON + 9 * DAY) == []
    assert len(log.out.commands) == 1
    assert log.state.wake_at is None


def test_nothing_goes_out_after_an_exit_not_even_what_quiet_hours_held() -> None:
    quiet = [{"start": "22:00", "end": "08:00"}]
    night = at("2026-06-10T23:00:00")
    for leaves in (False, True):
        log = log_of(trigger("t", entry=CART, exit=ORDER), quiet_hours=quiet)
        (held,) = log.event("cart", now=night)
        assert held.outcome is Outcome.QUIET_HOURS
        if leaves:
            log.event("order", now=night + HOUR)
        log.wake(night + 9 * HOUR)
        assert log.outcomes()[1:] == ([Outcome.EXIT] if leaves else [Outcome.SENT])


def test_an_exit_goes_before_what_is_due_at_the_same_instant() -> None:
    log = put_off(ORDER)
    log.event("cart", now=NOON)
    (ended,) = log.event("order", now=NOON - HOUR + DAY)
    assert ended.outcome is Outcome.EXIT
    waiting = log_of(trigger("t", entry=ABSENCE, exit=ORDER))
    waiting.event("cart", now=NOON)
    assert waiting.event("order", now=NOON + DAY) == []
    assert waiting.state.slots == {}


def test_an_exit_goes_before_what_time_changed_since_the_last_record() -> None:
    recent = tag("recent", window="1h")
    entry = {"tag_change": {"tag": "recent", "change": "left", "op": "gte", "value": 1}}
    for leaves in (False, True):
        log = log_of(recent, trigger("t", entry=entry, exit={"events": ["quit"]}))
        log.event("order", now=NOON)
        # No tick came in between: what the emptied window brings in is found with the event.
        (decided,) = log.event("quit" if leaves else "other", now=NOON + 3 * HOUR)
        assert decided.outcome is (Outcome.EXIT if leaves else Outcome.SENT)
        assert decided.event_id.startswith("tag_change@")
        assert log.wake(NOON + 9 * HOUR) == []


def test_with_a_key_it_ends_only_what_entered_with_the_same_values() -> None:
    log = put_off({**ORDER, "key": ["order.id"]})
    log.event("cart", {"order": {"id": 1}}, now=NOON, id_="one")
    log.event("cart", {"order": {"id": 2}}, now=NOON, id_="two")
    log.event("cart", {}, now=NOON, id_="none")
    (ended,) = log.event("order", {"order": {"id": 1.0}}, now=NOON + 1)
    assert ended.event_id == "one"
    assert log.event("order", {}, now=NOON + 2) == []
    assert log.event("order", {"order": {"id": "2"}}, now=NOON + 3) == []


def test_a_condition_narrows_it_and_sees_the_profile_with_the_event_applied() -> None:
    log = put_off({**ORDER, "where": {"tag": "orders", "op": "gte", "value": 2}})
    log.event("cart", now=NOON)
    assert log.event("order", now=NOON + 1) == []
    (ended,) = log.event("order", now=NOON + 2)
    assert ended.outcome is Outcome.EXIT


def test_a_late_exit_counts_as_well() -> None:
    log = put_off(ORDER)
    log.event("cart", now=NOON)
    (ended,) = log.event("order", now=NOON + HOUR, occurred_at=NOON - 30 * DAY)
    assert ended.outcome is Outcome.EXIT
    assert log.out.counts["late"] == 1


def test_the_same_exit_again_ends_nothing_that_came_after_it() -> None:
    log = put_off(ORDER)
    log.event("order", now=NOON, id_="o")
    log.event("cart", now=NOON + 1)
    assert log.event("order", now=NOON + 2, id_="o") == []
    log.wake(NOON + DAY)
    assert len(log.out.commands) == 2


def test_it_concerns_no_other_trigger() -> None:
    log = log_of(
        trigger("leaves", entry=CART, exit=ORDER, when_capped=DEFER),
        trigger("stays", entry=CART, when_capped=DEFER),
        policy(),
    )
    log.event("cart", now=NOON)
    log.delivery(log.out.commands[0].send_id)
    log.event("cart", now=NOON + 1)
    (ended,) = log.event("order", now=NOON + HOUR)
    assert (ended.trigger, ended.outcome) == ("leaves", Outcome.EXIT)


def test_who_leaves_may_come_in_again_even_by_the_same_event() -> None:
    log = log_of(
        trigger("t", entry=ORDER, exit=ORDER, when_capped=DEFER),
        policy(kind="trigger", value="t"),
    )
    log.event("order", now=NOON)
    log.event("order", now=NOON + 1, id_="first")
    ended, deferred = log.event("order", now=NOON + 2, id_="second")
    assert (ended.outcome, ended.event_id) == (Outcome.EXIT, "first")
    assert (deferred.outcome, deferred.event_id) == (Outcome.CAP, "second")


def test_who_leaves_by_the_event_that_begins_a_wait_waits_anew() -> None:
    log = log_of(trigger("t", entry=ABSENCE, exit=CART))
    log.event("cart", now=NOON)
    log.event("cart", now=NOON + HOUR, id_="second")
    log.wake(NOON + 9 * DAY)
    assert [one.event_id for one in log.out.commands] == ["second"]


def test_it_ends_absences_that_are_waited_for() -> None:
    log = log_of(trigger("t", entry=ABSENCE, exit=ORDER))
    log.event("cart", now=NOON)
    log.event("order", now=NOON + HOUR, occurred_at=NOON - 5 * DAY)
    assert (log.state.slots, log.state.next_due) == ({}, NEVER)
    assert log.wake(NOON + 9 * DAY) == []


def test_with_a_key_it_ends_only_the_absences_that_bear_it() -> None:
    absence = {**ABSENCE["absence"], "key": ["sku"]}
    log = log_of(trigger("t", entry={"absence": absence}, exit={**ORDER, "key": ["order_id"]}))
    for number, sku in enumerate("abc"):
        log.event("cart", {"sku": sku, "order_id": number % 2}, now=NOON, id_=sku)
    log.event("order", {"order_id": 0, "sku": "b"}, now=NOON + HOUR)
    log.wake(NOON + DAY)
    assert [one.event_id for one in log.out.commands] == ["b"]


def test_it_ends_sequences_that_are_open() -> None:
    log = log_of(trigger("t", entry=SEQUENCE, exit=ORDER))
    log.event("cart", now=NOON)
    log.event("order", now=NOON + 1)
    log.event("pay", now=NOON + 2)
    assert log.out.decisions == []
    log.event("cart", now=NOON + 3)
    assert len(log.event("pay", now=NOON + 4)) == 1


def test_with_a_key_it_ends_only_the_parts_that_bear_it() -> None:
    log = log_of(trigger("t", entry=SEQUENCE, exit={**ORDER, "key": ["order_id"]}))
    log.event("cart", {"order_id": 1}, now=NOON)
    log.event("order", {"order_id": 2}, now=NOON + 1)
    log.event("order", {}, now=NOON + 1)
    assert len(log.event("pay", now=NOON + 2)) == 1
    log.event("cart", {"order_id": 1}, now=NOON + 3)
    log.event("order", {"order_id": 1}, now=NOON + 4)
    assert log.event("pay", now=NOON + 5) == []


def test_whoever_leaves_is_not_missed_until_another_sign_of_life() -> None:
    dormant = {"inactivity": {"events": ["login"], "lasts": "30d"}}
    log = log_of(trigger("t", entry=dormant, exit=ORDER))
    log.event("login", now=NOON)
    log.event("order", now=NOON + DAY)
    assert log.wake(NOON + 90 * DAY) == []
    log.event("login", now=NOON + 90 * DAY)
    assert len(log.wake(NOON + 120 * DAY)) == 1


def test_a_changed_exit_key_does_not_end_what_was_marked_by_another() -> None:
    """What waits is marked when it begins, so it goes with the key it was marked by."""
    log = log_of(trigger("t", entry=ABSENCE, exit={**ORDER, "key": ["a"]}))
    log.event("cart", {"a": 1, "b": 2}, now=NOON)
    log.publish(bundle(trigger("t", entry=ABSENCE, exit={**ORDER, "key": ["b"]}), revision=2))
    log.wake(NOON + 1)
    assert log.state.slots == {}
