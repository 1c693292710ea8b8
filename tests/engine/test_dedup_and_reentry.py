"""The same event twice, the same key twice, the same person twice."""

import pytest

from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR, SECOND
from tests.engine.build import NOON, bundle, log_of, policy, tag, trigger


def test_the_same_message_id_is_one_event() -> None:
    log = log_of(tag("orders"), trigger())
    assert len(log.event(id_="m-1")) == 1
    assert log.event(id_="m-1", now=NOON + HOUR) == []
    assert log.tag("orders") == 1
    assert log.out.counts["duplicate"] == 1
    assert len(log.out.commands) == 1


def test_a_message_id_is_forgotten_after_its_window_and_not_before() -> None:
    log = log_of(message_id_window="24h")
    log.event(id_="m-1", now=NOON)
    log.event(id_="m-1", now=NOON + DAY - 1)
    assert log.out.counts["duplicate"] == 1
    # Seen again does not begin the window anew; the resolution is a second.
    log.event(id_="m-1", now=NOON + DAY + SECOND)
    assert log.out.counts["duplicate"] == 1


def test_a_message_id_is_forgotten_when_too_many_came_after_it() -> None:
    log = log_of(message_ids_max=3)
    for id_ in ("m-1", "m-2", "m-3", "m-1", "m-4", "m-1"):
        log.event(id_=id_)
    assert log.out.counts["duplicate"] == 1
    assert log.out.counts["applied"] == 5


def test_a_smaller_number_of_message_ids_takes_effect_when_published() -> None:
    log = log_of(message_ids_max=10)
    for number in range(10):
        log.event(id_=f"m-{number}")
    log.publish(bundle(revision=2, message_ids_max=2))
    log.event(id_="new")
    log.event(id_="m-9")
    assert log.out.counts["duplicate"] == 1
    log.event(id_="m-8")
    assert log.out.counts["duplicate"] == 1


def test_the_id_window_of_a_new_revision_applies_at_once() -> None:
    log = log_of(message_id_window="30d")
    log.event(id_="m-1")
    log.publish(bundle(revision=2, message_id_window="1h"))
    log.event(id_="m-1", now=NOON + HOUR + SECOND)
    assert log.out.counts["duplicate"] == 0


def test_a_dedup_key_refuses_a_second_candidate_until_its_window_ends() -> None:
    log = log_of(trigger(dedup={"key": ["order_id"], "window": "2h"}))
    assert log.event("order", {"order_id": 7})[0].outcome is Outcome.SENT
    [refused] = log.event("order", {"order_id": 7}, now=NOON + 2 * HOUR - 1)
    assert refused.outcome is Outcome.DEDUP
    assert refused.details == {
        "entered_at": NOON,
        "until": NOON + 2 * HOUR,
        "key": {"order_id": 7},
    }
    assert log.event("order", {"order_id": 8})[0].outcome is Outcome.SENT
    assert log.event("order", {"order_id": 7}, now=NOON + 2 * HOUR)[0].outcome is Outcome.SENT


def test_a_dedup_key_tells_numbers_from_texts_and_borders_of_its_parts() -> None:
    log = log_of(trigger(dedup={"key": ["a", "b"]}))
    for properties in (
        {"a": 1, "b": 1},
        {"a": "1", "b": 1},
        {"a": True, "b": 1},
        {"a": "x", "b": "yz"},
        {"a": "xy", "b": "z"},
    ):
        assert log.event("order", properties)[0].outcome is Outcome.SENT
    assert log.event("order", {"a": 1.0, "b": 1})[0].outcome is Outcome.DEDUP


def test_without_the_keys_value_each_event_is_its_own_key() -> None:
    log = log_of(trigger(dedup={"key": ["order_id"]}))
    assert log.event("order", {})[0].outcome is Outcome.SENT
    assert log.event("order", {"order_id": None})[0].outcome is Outcome.SENT


def test_by_default_the_event_itself_is_the_key_even_when_its_message_id_was_forgotten() -> None:
    log = log_of(trigger(), message_ids_max=1)
    assert log.event(id_="m-1")[0].outcome is Outcome.SENT
    log.event("view", id_="m-2")
    assert log.event(id_="m-1")[0].outcome is Outcome.DEDUP


def test_two_triggers_do_not_share_a_key() -> None:
    log = log_of(trigger("a", dedup={"key": ["id"]}), trigger("b", dedup={"key": ["id"]}))
    decisions = log.event("order", {"id": 1})
    assert [one.outcome for one in decisions] == [Outcome.SENT, Outcome.SENT]


def test_a_refused_candidate_takes_neither_key_nor_entry() -> None:
    log = log_of(
        trigger(
            dedup={"key": ["order_id"]},
            reentry={"mode": "once"},
            audience={"property": "paid", "op": "eq", "value": True},
        )
    )
    order = {"order_id": 7, "paid": False}
    assert log.event("order", order)[0].outcome is Outcome.AUDIENCE
    assert log.event("order", {**order, "paid": True})[0].outcome is Outcome.SENT


def test_once_is_once_for_ever_and_across_versions() -> None:
    log = log_of(trigger(reentry={"mode": "once"}))
    assert log.event()[0].outcome is Outcome.SENT
    log.publish(bundle(trigger(reentry={"mode": "once"}, version=2), revision=2))
    [refused] = log.event(now=NOON + 3000 * DAY)
    assert refused.outcome is Outcome.REENTRY
    assert refused.details == {"mode": "once", "entered_at": NOON}


def test_a_cooldown_ends_exactly_its_length_after_entry() -> None:
    log = log_of(trigger(reentry={"mode": "cooldown", "cooldown": "7d"}))
    assert log.event()[0].outcome is Outcome.SENT
    [refused] = log.event(now=NOON + 7 * DAY - 1)
    assert refused.outcome is Outcome.REENTRY
    assert refused.details["until"] == NOON + 7 * DAY
    assert log.event(now=NOON + 7 * DAY)[0].outcome is Outcome.SENT


def test_a_cooldown_is_measured_from_entry_so_a_daily_rule_never_slips() -> None:
    # Yesterday's ran late, at 8:30 of processing time; today's is due at 8:30, not after.
    log = log_of(trigger(reentry={"mode": "cooldown", "cooldown": "24h"}))
    for day in range(5):
        assert log.event(now=NOON + day * DAY)[0].outcome is Outcome.SENT


def test_once_per_key_allows_one_entry_for_each_value() -> None:
    log = log_of(
        trigger(dedup={"key": ["order_id"], "window": "1h"}, reentry={"mode": "once_per_key"})
    )
    assert log.event("order", {"order_id": 1})[0].outcome is Outcome.SENT
    assert log.event("order", {"order_id": 2})[0].outcome is Outcome.SENT
    [refused] = log.event("order", {"order_id": 1}, now=NOON + 500 * DAY)
    assert refused.outcome is Outcome.REENTRY
    assert refused.details == {
        "mode": "once_per_key",
        "key": {"order_id": 1},
        "entered_at": NOON,
    }


@pytest.mark.parametrize("reload", [False, True])
def test_a_put_off_candidate_is_not_refused_for_its_own_entry(reload: bool) -> None:
    log = log_of(
        trigger("first"),
        trigger(
            "second",
            priority=1,
            dedup={"key": ["order_id"], "window": "7d"},
            reentry={"mode": "once"},
            when_capped={"action": "defer", "expires_after": "3d"},
        ),
        policy(limit=1, window="24h"),
    )
    log.reload = reload
    log.event("order", {"order_id": 1})
    assert log.outcomes() == [Outcome.SENT, Outcome.CAP]
    [sent] = log.wake(NOON + DAY)
    assert (sent.trigger, sent.outcome) == ("second", Outcome.SENT)


def test_a_put_off_candidate_yields_to_another_that_entered_after_it() -> None:
    log = log_of(
        trigger(
            "capped",
            dedup={"key": ["order_id"], "window": "2h"},
            when_capped={"action": "defer", "expires_after": "3d"},
        ),
        policy(limit=1, window="4h"),
    )
    log.event("order", {"order_id": 0})
    log.event("order", {"order_id": 1}, now=NOON + HOUR)
    log.event("order", {"order_id": 1}, now=NOON + 3 * HOUR)
    assert log.outcomes() == [Outcome.SENT, Outcome.CAP, Outcome.CAP]
    # Both wait for the same instant, and by then the later one holds the key.
    decisions = log.wake(NOON + 4 * HOUR)
    assert [(one.event_id, one.outcome) for one in decisions] == [
        ("event-2", Outcome.DEDUP),
        ("event-3", Outcome.SENT),
    ]
