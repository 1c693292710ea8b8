"""Sends on the way: checks, caps, putting off, groups, holdouts and the room for runs."""

from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine.limits import RUNS_BYTES_MAX, RUNS_MAX
from tests.engine.build import NOON, Log, at, bundle, policy, trigger
from tests.engine.on_journey import (
    DEFER,
    MAIL,
    NIGHT,
    SEND,
    branch,
    journey,
    mark,
    runs,
    told,
    underway,
    wait,
    wait_for,
)

CAP = policy()
OFFER: dict[str, Any] = {"offer": {"kind": "gift", "endpoint": "shop", "reference": "mug"}}
TASK: dict[str, Any] = {
    "handoff": {"to": "service", "endpoint": "crm", "content": {"subject": "call"}}
}


def test_consent_is_asked_at_the_entry_and_again_at_each_send() -> None:
    log = underway(journey(SEND, wait("1h"), SEND, wait("1h"), SEND))
    log.event("cart", now=NOON)
    log.identify({"consent": {"marketing": False}}, now=NOON + 1)
    assert told(log.wake(NOON + HOUR)) == [(1, "stepped"), (2, "consent")]
    log.identify({"consent": None}, now=NOON + HOUR + 1)
    assert told(log.wake(NOON + 2 * HOUR)) == [(3, "stepped"), (4, "sent"), (4, "ended")]
    assert told(log.event("cart")) == [(0, "sent")]


@pytest.mark.parametrize(
    ("consent", "enters"),
    [
        ({"log": False, "mail": False}, False),
        ({"log": False, "mail": True}, True),
        ({"log": True, "mail": False}, True),
        ({"marketing": False, "mail": True}, False),
        ({}, False),
    ],
)
def test_one_open_channel_lets_a_journey_begin(consent: dict[str, bool], enters: bool) -> None:
    log = underway(journey(wait("1h"), SEND, MAIL), consent="opt_in")
    log.identify({"consent": consent})
    [decision] = log.event("cart")
    assert decision.outcome is (Outcome.ENTERED if enters else Outcome.CONSENT)
    # Each send asks for its own.
    sent = [one.outcome is Outcome.SENT for one in log.wake(NOON + HOUR)][1:3]
    asked = [consent.get("log", False), consent.get("mail", False)]
    assert sent == (asked if enters else [])


def test_audience_and_reentry_are_asked_at_the_entry_only() -> None:
    vip = {"trait": "vip", "op": "exists"}
    log = underway(journey(wait("1h"), SEND, audience=vip, reentry={"mode": "once"}))
    log.identify({"vip": True}, now=NOON)
    log.event("cart", now=NOON)
    log.identify({"vip": None}, now=NOON + 1)
    assert (1, "sent") in told(log.wake(NOON + HOUR))


def test_a_send_that_is_dropped_is_recorded_and_the_journey_goes_on() -> None:
    log = underway(journey(SEND, SEND, mark("after"), wait("24h"), SEND), CAP)
    decisions = log.event("cart", now=NOON)
    assert told(decisions) == [(0, "sent"), (1, "cap"), (2, "stepped")]
    assert decisions[1].details["frees_at"] == NOON + DAY
    assert decisions[1].run_id == decisions[0].run_id
    assert told(log.wake(NOON + DAY)) == [(3, "stepped"), (4, "sent"), (4, "ended")]


def test_a_send_that_is_put_off_holds_the_journey_until_it_can_go_out() -> None:
    log = underway(journey(SEND, SEND, mark("after"), when_capped=DEFER), CAP)
    decisions = log.event("cart", now=NOON)
    assert told(decisions) == [(0, "sent"), (1, "cap")]
    assert decisions[1].details["deferred_until"] == NOON + DAY
    assert log.wake(NOON + DAY - 1) == []
    assert told(log.wake(NOON + DAY)) == [(1, "sent"), (2, "stepped"), (2, "ended")]
    assert len({one.send_id for one in log.out.commands}) == 2


def test_a_later_send_that_expires_is_passed_over() -> None:
    short = {"action": "defer", "expires_after": "2h"}
    log = underway(journey(SEND, SEND, mark("after"), when_capped=short), CAP)
    log.event("cart", now=NOON)
    expired, *others = log.wake(NOON + 2 * HOUR)
    assert (expired.step, expired.outcome) == (1, Outcome.EXPIRED)
    assert expired.details == {"entered_at": NOON, "expired_at": NOON + 2 * HOUR}
    assert told(others) == [(2, "stepped"), (2, "ended")]


def test_the_time_to_expire_begins_anew_with_each_send() -> None:
    day = {"action": "defer", "expires_after": "25h"}
    log = underway(journey(SEND, SEND, SEND, when_capped=day), CAP)
    log.event("cart", now=NOON)
    for days in (1, 2):
        log.wake(NOON + days * DAY)
    assert [one.step for one in log.out.commands] == [0, 1, 2]


def test_an_entry_that_expires_ends_the_run() -> None:
    short = {"action": "defer", "expires_after": "2h"}
    log = underway(trigger("first"), journey(SEND, mark("after"), when_capped=short), CAP)
    log.event("order", now=NOON)
    log.event("cart", now=NOON)
    assert told(log.wake(NOON + 2 * HOUR)) == [(0, "expired")]
    assert (runs(log), log.state.traits) == ([], {})


def test_an_entry_that_was_put_off_is_decided_again_as_a_whole_and_walks_on() -> None:
    vip = {"trait": "vip", "op": "exists"}
    for stays in (True, False):
        log = underway(
            trigger("first"), journey(SEND, mark("after"), when_capped=DEFER, audience=vip), CAP
        )
        log.identify({"vip": 1}, now=NOON)
        log.event("order", now=NOON)
        log.event("cart", now=NOON)
        log.identify({"vip": 1 if stays else None}, now=NOON + 1)
        after = [(0, "sent"), (1, "stepped"), (1, "ended")]
        assert told(log.wake(NOON + DAY)) == (after if stays else [(0, "audience")])
        assert runs(log) == []


def test_a_release_lets_a_send_on_the_way_go_out() -> None:
    log = underway(journey(SEND, SEND, when_capped=DEFER), CAP)
    log.event("cart", now=NOON)
    decisions = log.delivery(log.out.commands[0].send_id, "failed", now=NOON + HOUR)
    assert told(decisions) == [(1, "sent"), (1, "ended")]
    log.delivery(log.out.commands[1].send_id, "accepted", now=NOON + HOUR)
    assert log.state.sending is not None
    assert (log.state.sending.accepted, log.state.sending.failed) == (1, 1)


def test_quiet_hours_hold_a_send_on_the_way_and_what_is_no_send_goes_on() -> None:
    log = underway(journey(wait("10h"), mark("night"), OFFER, SEND, SEND), quiet_hours=[NIGHT])
    log.event("cart", now=NOON)
    decisions = log.wake(NOON + 10 * HOUR)
    assert told(decisions)[-2:] == [(2, "offered"), (3, "quiet_hours")]
    morning = at("2026-06-11T08:00:00")
    assert decisions[-1].details["deferred_until"] == morning
    assert told(log.wake(morning)) == [(3, "sent"), (4, "sent"), (4, "ended")]


def test_quiet_hours_and_caps_are_not_asked_at_an_entry_without_a_send() -> None:
    log = underway(trigger("first"), journey(wait("12h"), SEND), CAP, quiet_hours=[NIGHT])
    log.event("order", now=at("2026-06-10T21:00:00"))
    assert told(log.event("cart", now=at("2026-06-10T23:00:00"))) == [(0, "entered")]


def test_quiet_hours_of_a_channel_hold_only_its_sends() -> None:
    quiet = [{**NIGHT, "channels": ["mail"]}]
    log = underway(journey(wait("11h"), SEND, MAIL), quiet_hours=quiet)
    log.event("cart", now=NOON)
    assert told(log.wake(NOON + 11 * HOUR))[1:] == [(1, "sent"), (2, "quiet_hours")]


# Several sends in one moment.


def test_sends_of_one_moment_take_caps_in_the_one_order_whoever_they_belong_to() -> None:
    trips = [
        journey(wait("1h"), SEND, id_="low", priority=10),
        journey(wait("1h"), SEND, id_="high", priority=90),
        trigger("new", priority=50),
    ]
    for limit, winners in ((1, ["high"]), (2, ["high", "new"]), (3, ["high", "new", "low"])):
        log = underway(*trips, policy(limit=limit))
        log.event("cart", now=NOON)
        log.event("order", now=NOON + HOUR)
        assert [one.trigger for one in log.out.commands] == winners


def test_a_send_that_follows_in_the_same_moment_comes_after_all_that_were_there() -> None:
    trips = [
        journey(SEND, SEND, id_="twice", priority=90),
        trigger("once", entry={"events": ["cart"]}),
    ]
    log = underway(*trips, policy(limit=2))
    log.event("cart")
    assert [(one.trigger, one.step) for one in log.out.commands] == [("twice", 0), ("once", 0)]


def test_later_sends_are_ordered_among_themselves() -> None:
    trips = [journey(wait("1h"), SEND, SEND, id_=name) for name in ("b", "a")]
    log = underway(*trips)
    log.event("cart", now=NOON)
    log.wake(NOON + HOUR)
    sent = [(one.trigger, one.step) for one in log.out.commands]
    assert sent == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_among_equals_the_send_on_the_way_that_has_to_go_out_first_goes_first() -> None:
    patient = journey(wait("1h"), SEND, id_="a", send_within="2d", when_capped=DEFER)
    urgent = journey(wait("1h"), SEND, id_="b", send_within="1h", when_capped=DEFER)
    log = underway(patient, urgent, CAP)
    log.event("cart", now=NOON)
    log.wake(NOON + HOUR)
    assert [one.trigger for one in log.out.commands] == ["b"]


def test_a_tag_that_one_run_sets_is_seen_by_the_next_of_the_moment() -> None:
    seen = {"trait": "seen", "op": "exists"}
    first = journey(SEND, mark("seen"), id_="first", priority=90)
    second = journey(SEND, branch(seen, MAIL), id_="second")
    log = underway(first, second)
    log.event("cart")
    assert [(one.trigger, one.step) for one in log.out.commands][-1] == ("second", 2)


# Groups.


def test_a_journey_under_way_is_live_in_its_group() -> None:
    log = underway(
        journey(wait("1h"), SEND, group="g"),
        trigger("rival", group="g"),
        trigger("better", group="g", priority=90, entry={"events": ["visit"]}),
    )
    log.event("cart", now=NOON, id_="c")
    [lost] = log.event("order", now=NOON + 1)
    assert (lost.outcome, lost.details["winner"]) == (Outcome.ARBITRATION, "trip")
    sent, displaced = log.event("visit", now=NOON + 2)
    assert (sent.trigger, sent.outcome) == ("better", Outcome.SENT)
    assert (displaced.trigger, displaced.outcome) == ("trip", Outcome.ARBITRATION)
    assert (displaced.event_id, displaced.details["winner"]) == ("c", "better")
    assert runs(log) == []
    assert log.wake(NOON + DAY) == []


def test_a_run_that_is_displaced_in_the_moment_of_its_send_does_not_send() -> None:
    log = underway(journey(wait("1h"), SEND, group="g"), trigger("better", group="g", priority=90))
    log.event("cart", now=NOON)
    decisions = log.event("order", now=NOON + HOUR)
    assert [(one.trigger, one.outcome) for one in decisions][1:] == [
        ("better", Outcome.SENT),
        ("trip", Outcome.ARBITRATION),
    ]
    assert (len(log.out.commands), runs(log)) == (1, [])


def test_a_run_at_its_send_keeps_an_equal_out_of_the_group() -> None:
    # The newcomer's name goes before the journey's.
    log = underway(journey(wait("1h"), SEND, group="g"), trigger("a", group="g"))
    log.event("cart", now=NOON)
    log.event("order", now=NOON + HOUR)
    assert [one.trigger for one in log.out.commands] == ["trip"]


def test_a_send_on_the_way_is_a_better_one_for_whom_waits_for_such() -> None:
    log = underway(
        journey(wait("1h"), SEND, priority=90),
        trigger("held", arbitration_window="2h", when_capped=DEFER),
    )
    log.event("cart", now=NOON)
    log.event("order", now=NOON + 1)
    decisions = log.wake(NOON + HOUR)
    assert ("held", Outcome.ARBITRATION) in [(one.trigger, one.outcome) for one in decisions]


# Room for runs.


def full(log: Log, count: int = RUNS_MAX) -> None:
    for number in range(count):
        log.event("cart", {"n": number}, now=NOON, id_=f"c{number}")
    assert len(runs(log)) == count


def test_a_journey_that_finds_no_room_is_refused_at_its_entry() -> None:
    log = underway(journey(wait("1h"), SEND), trigger("one"))
    full(log)
    [refused] = log.event("cart", now=NOON + 1)
    assert (refused.outcome, refused.run_id) == (Outcome.CAP, None)
    assert refused.details == {"policy": "runs_max", "count": RUNS_MAX, "limit": RUNS_MAX}
    # It has not entered; and what needs no room is not refused.
    assert log.state.sending is not None
    assert len(log.state.sending.dedup_keys) == RUNS_MAX
    assert told(log.event("order")) == [(0, "sent")]


def test_properties_have_a_bound_together() -> None:
    log = underway(journey(wait("1h"), SEND))
    size = RUNS_BYTES_MAX // 4
    outcomes = [log.event("cart", {"text": "x" * size})[0].outcome for _ in range(5)]
    assert outcomes == [Outcome.ENTERED] * 3 + [Outcome.CAP] * 2


@pytest.mark.parametrize(("priority", "enters"), [(90, False), (10, True)])
def test_entries_that_are_decided_again_keep_their_places_until_then(
    priority: int, enters: bool
) -> None:
    visit = {"events": ["visit"]}
    log = underway(
        trigger("t", entry={"events": ["cart"]}, when_capped=DEFER),
        journey(wait("1h"), SEND, id_="new", entry=visit, priority=priority),
        policy(kind="trigger", value="t"),
    )
    log.event("cart", now=NOON)
    full(log)
    decisions = log.event("visit", now=NOON + DAY)
    # One of them is sent and makes room, for whoever comes after it.
    assert [one.outcome for one in decisions if one.trigger == "new"] == [
        Outcome.ENTERED if enters else Outcome.CAP
    ]
    assert len(runs(log)) == RUNS_MAX - (not enters)


# Held out.


def test_who_is_held_out_walks_and_nothing_is_done_to_them() -> None:
    trip = journey(
        SEND,
        wait("1h"),
        mark("stage"),
        OFFER,
        TASK,
        branch({"trait": "stage", "op": "exists"}, MAIL),
        SEND,
        holdout=100,
    )
    log = underway(trip)
    decisions = [*log.event("cart", now=NOON), *log.wake(NOON + HOUR)]
    assert told(decisions) == [
        (0, "would_have_sent"),
        (1, "stepped"),
        (2, "stepped"),
        (3, "would_have_sent"),
        (4, "would_have_sent"),
        (5, "stepped"),
        (7, "would_have_sent"),
        (7, "ended"),
    ]
    assert (log.out.commands, log.state.traits) == ([], {})
    assert [one.details.get("held_out") for one in decisions] == [None] + [True] * 5 + [None, True]


def test_whom_a_holdout_drew_at_the_entry_stays_held_out() -> None:
    log = underway(journey(wait("1h"), SEND, holdout=100))
    log.event("cart", now=NOON)
    assert runs(log)[0].held_out
    log.publish(bundle(journey(wait("1h"), SEND), revision=2))
    assert told(log.wake(NOON + HOUR))[1] == (1, "would_have_sent")


def test_caps_measure_a_held_out_journey_against_what_was_held_back_too() -> None:
    log = underway(journey(SEND, SEND, holdout=100), trigger("real"), CAP)
    assert told(log.event("cart")) == [(0, "would_have_sent"), (1, "cap"), (1, "ended")]
    assert told(log.event("order")) == [(0, "sent")]


def test_a_wait_for_a_put_off_send_of_minutes_ends_in_order() -> None:
    trip = journey(SEND, wait_for(SEND, within="2h", timeout=(MAIL,)), when_capped=DEFER)
    log = underway(trip, policy(window="1h"))
    log.event("cart", now=NOON)
    assert told(log.event("visit", now=NOON + MINUTE)) == [(1, "stepped"), (2, "cap")]
    assert log.event("visit", now=NOON + 2 * MINUTE) == []
    assert told(log.wake(NOON + HOUR)) == [(2, "sent"), (2, "ended")]
