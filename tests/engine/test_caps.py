"""Frequency caps: exact windows, scopes, reservations, releases, putting off."""

import pytest

from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR, MINUTE, SECOND
from services.triggers.engine.limits import OPEN_SENDS_MAX, RUNS_MAX
from tests.engine.build import NOON, Log, at, bundle, log_of, policy, trigger

DEFER = {"action": "defer", "expires_after": "3d"}


def outcome(log: Log, now: int) -> Outcome:
    """The outcome of one more order at `now`."""
    [decision] = log.event(now=now)
    return decision.outcome


def test_rolling_cap_frees_exactly_24h_after_the_oldest_send() -> None:
    log = log_of(trigger(), policy(limit=2, window="24h"))
    assert outcome(log, NOON) is Outcome.SENT
    assert outcome(log, NOON + HOUR) is Outcome.SENT
    assert outcome(log, NOON + DAY - 1) is Outcome.CAP
    assert outcome(log, NOON + DAY) is Outcome.SENT
    assert outcome(log, NOON + DAY + 1) is Outcome.CAP
    assert outcome(log, NOON + DAY + HOUR) is Outcome.SENT


def test_a_rolling_day_is_no_calendar_day_in_disguise() -> None:
    log = log_of(trigger(), policy(limit=1, window="24h"))
    assert outcome(log, at("2026-06-10T23:59:00")) is Outcome.SENT
    assert outcome(log, at("2026-06-11T00:01:00")) is Outcome.CAP


def test_a_refusal_by_a_cap_tells_which_its_counter_and_when_it_frees() -> None:
    log = log_of(trigger(), policy("daily", limit=2, window="24h"))
    log.event(now=NOON)
    log.event(now=NOON + HOUR)
    [refused] = log.event(now=NOON + 2 * HOUR)
    assert refused.details == {
        "policy": "daily",
        "count": 2,
        "limit": 2,
        "frees_at": NOON + DAY,
    }
    assert (refused.run_id, refused.send_id) == (None, None)


def test_all_policies_must_pass_and_the_one_that_frees_last_is_told() -> None:
    log = log_of(
        trigger(),
        policy("a_hourly", limit=1, window="1h"),
        policy("b_weekly", limit=2, window="7d"),
        policy("c_daily", limit=2, window="24h"),
    )
    assert outcome(log, NOON) is Outcome.SENT
    [refused] = log.event(now=NOON + MINUTE)
    assert refused.details["policy"] == "a_hourly"
    assert outcome(log, NOON + HOUR) is Outcome.SENT
    [refused] = log.event(now=NOON + HOUR + MINUTE)
    assert refused.details["policy"] == "b_weekly"
    assert refused.details["frees_at"] == NOON + 7 * DAY


@pytest.mark.parametrize(
    ("scope", "capped"),
    [
        ({"kind": "all"}, {"log_a", "log_b", "mail_a"}),
        ({"kind": "channel", "value": "log"}, {"log_a", "log_b"}),
        ({"kind": "category", "value": "marketing"}, {"log_a", "log_b", "mail_a"}),
        ({"kind": "category", "value": "transactional"}, {"log_t"}),
        ({"kind": "trigger", "value": "log_a"}, {"log_a"}),
    ],
)
def test_a_cap_counts_its_scope_and_nothing_else(scope: dict[str, str], capped: set[str]) -> None:
    mail = {"channel": "mail", "content": {"subject": "s", "body": "b"}}
    log = log_of(
        trigger("log_a"),
        trigger("log_b"),
        trigger("mail_a", steps=[{"send": mail}]),
        trigger("log_t", category="transactional"),
        policy(limit=3, window="24h", **scope),
    )
    for _ in range(4):
        log.event()
    per_trigger = dict.fromkeys(("log_a", "log_b", "mail_a", "log_t"), 0)
    for command in log.out.commands:
        per_trigger[command.trigger] += 1
    assert sum(per_trigger[name] for name in capped) == 3
    assert all(per_trigger[name] == 4 for name in per_trigger.keys() - capped)


def test_a_failed_delivery_gives_its_place_back_and_an_accepted_one_keeps_it() -> None:
    log = log_of(trigger(), policy(limit=1, window="24h"))
    log.event()
    [first] = log.out.commands
    log.delivery(first.send_id, "failed", now=NOON + MINUTE)
    assert outcome(log, NOON + HOUR) is Outcome.SENT
    second = log.out.commands[-1]
    log.delivery(second.send_id, "accepted")
    log.delivery(second.send_id, "failed")
    assert outcome(log, NOON + 2 * HOUR) is Outcome.CAP


def test_a_delivery_applied_twice_changes_nothing() -> None:
    log = log_of(trigger(), policy(limit=2, window="24h"))
    log.event()
    log.event()
    first, second = log.out.commands
    for _ in range(2):
        log.delivery(first.send_id, "failed")
        log.delivery(second.send_id, "accepted")
    sending = log.state.sending
    assert sending is not None
    assert (sending.accepted, sending.failed) == (1, 1)
    assert [outcome(log, NOON + MINUTE), outcome(log, NOON + MINUTE)] == [
        Outcome.SENT,
        Outcome.CAP,
    ]


def test_a_delivery_of_an_unknown_send_changes_nothing() -> None:
    log = log_of(trigger(), policy(limit=1, window="24h"))
    log.delivery("never-decided", "failed")
    log.event()
    log.delivery("never-decided", "failed")
    assert outcome(log, NOON) is Outcome.CAP


def test_a_deferred_send_goes_out_at_the_first_instant_the_cap_allows() -> None:
    log = log_of(trigger(when_capped=DEFER), policy(limit=1, window="24h"))
    log.event(now=NOON)
    [capped] = log.event(now=NOON + HOUR)
    assert capped.outcome is Outcome.CAP
    assert capped.details["deferred_until"] == NOON + DAY
    assert capped.run_id is not None
    log.wake(NOON + 2 * SECOND + HOUR)
    assert log.state.wake_at == NOON + DAY
    assert log.wake(NOON + DAY - 1) == []
    [sent] = log.wake(NOON + DAY)
    assert (sent.outcome, sent.run_id) == (Outcome.SENT, capped.run_id)
    command = log.out.commands[-1]
    assert command.event_id == "event-2"
    assert command.origin_received_at == NOON + HOUR
    assert command.decided_at == NOON + DAY


def test_a_deferred_send_is_decided_again_from_the_start() -> None:
    log = log_of(
        trigger(when_capped=DEFER, audience={"trait": "vip", "op": "eq", "value": True}),
        policy(limit=1, window="24h"),
    )
    log.identify({"vip": True})
    log.event()
    log.event()
    log.identify({"vip": False})
    [decision] = log.wake(NOON + DAY)
    assert decision.outcome is Outcome.AUDIENCE
    assert log.state.wake_at is None


@pytest.mark.parametrize("status", ["archived", "draft", None])
def test_a_deferred_send_of_a_trigger_no_longer_live_is_not_sent(status: str | None) -> None:
    log = log_of(trigger(when_capped=DEFER), policy(limit=1, window="24h"))
    log.event()
    log.event()
    kept = () if status is None else (trigger(when_capped=DEFER, status=status),)
    log.publish(bundle(*kept, policy(limit=1, window="24h"), revision=2))
    [decision] = log.wake(NOON + DAY)
    assert decision.outcome is Outcome.PAUSED
    assert decision.run_id is not None
    assert len(log.out.commands) == 1


def test_a_deferred_send_expires() -> None:
    defer = {"action": "defer", "expires_after": "2h"}
    log = log_of(trigger(when_capped=defer), policy(limit=1, window="24h"))
    log.event(now=NOON)
    [capped] = log.event(now=NOON + HOUR)
    assert capped.details["deferred_until"] == NOON + 3 * HOUR
    [expired] = log.wake(NOON + 3 * HOUR)
    assert expired.outcome is Outcome.EXPIRED
    assert expired.details == {"entered_at": NOON + HOUR, "expired_at": NOON + 3 * HOUR}
    assert len(log.out.commands) == 1


def test_a_released_place_goes_to_the_one_that_waits_for_it_at_once() -> None:
    log = log_of(trigger(when_capped=DEFER), policy(limit=1, window="24h"))
    log.event(now=NOON)
    log.event(now=NOON + HOUR)
    decisions = log.delivery(log.out.commands[0].send_id, "failed", now=NOON + 2 * HOUR)
    assert [one.outcome for one in decisions] == [Outcome.SENT]
    assert log.out.commands[-1].event_id == "event-2"


def test_waiting_and_new_candidates_of_one_moment_compete_by_priority() -> None:
    log = log_of(
        trigger("low", priority=10, when_capped=DEFER),
        trigger("high", priority=90, entry={"events": ["visit"]}),
        policy(limit=1, window="24h"),
    )
    log.event("order", now=NOON)
    log.event("order", now=NOON + HOUR)
    decisions = log.event("visit", now=NOON + DAY)
    assert [(one.trigger, one.outcome) for one in decisions] == [
        ("high", Outcome.SENT),
        ("low", Outcome.CAP),
    ]


def test_only_so_many_sends_wait_for_one_person() -> None:
    log = log_of(trigger(when_capped=DEFER), policy(limit=1, window="24h"))
    for _ in range(RUNS_MAX + 2):
        log.event()
    last = log.out.decisions[-1]
    assert last.outcome is Outcome.CAP
    assert last.details["runs_max"] == RUNS_MAX
    assert "deferred_until" not in last.details
    assert log.state.sending is not None
    assert len(log.state.sending.runs) == RUNS_MAX


def test_a_changed_policy_applies_to_the_sends_as_they_stand() -> None:
    log = log_of(trigger(), policy(limit=3, window="24h"))
    for _ in range(3):
        log.event()
    log.publish(bundle(trigger(), policy(limit=2, window="24h"), revision=2))
    log.delivery(log.out.commands[0].send_id, "failed")
    assert outcome(log, NOON + HOUR) is Outcome.CAP
    log.publish(bundle(trigger(), policy(limit=4, window="24h"), revision=3))
    assert outcome(log, NOON + HOUR) is Outcome.SENT


def test_more_sends_than_a_lowered_limit_free_a_place_when_enough_have_left() -> None:
    log = log_of(trigger(), policy(limit=3, window="24h"))
    for hour in range(3):
        log.event(now=NOON + hour * HOUR)
    log.publish(bundle(trigger(), policy(limit=1, window="24h"), revision=2))
    [refused] = log.event(now=NOON + 3 * HOUR)
    assert refused.details["count"] == 3
    assert refused.details["frees_at"] == NOON + 2 * HOUR + DAY
    assert outcome(log, NOON + 2 * HOUR + DAY - 1) is Outcome.CAP
    assert outcome(log, NOON + 2 * HOUR + DAY) is Outcome.SENT


def test_a_new_policy_counts_sends_made_before_it_that_another_cap_counted() -> None:
    log = log_of(trigger(), policy("week", limit=9, window="7d"))
    log.event()
    log.event()
    log.publish(
        bundle(
            trigger(),
            policy("week", limit=9, window="7d"),
            policy("day", limit=2, window="day"),
            revision=2,
        )
    )
    assert outcome(log, NOON + HOUR) is Outcome.CAP


@pytest.mark.parametrize(
    ("zone", "last_allowed", "first_of_next"),
    [
        ("Europe/Berlin", "2026-03-29T21:59:59.999999", "2026-03-29T22:00:00"),  # 23 hours
        ("Europe/Berlin", "2026-10-25T22:59:59.999999", "2026-10-25T23:00:00"),  # 25 hours
        ("America/New_York", "2026-03-09T03:59:59.999999", "2026-03-09T04:00:00"),
        ("Africa/Cairo", "2026-04-23T21:59:59.999999", "2026-04-23T22:00:00"),  # no midnight
        ("Asia/Kathmandu", "2026-06-10T18:14:59.999999", "2026-06-10T18:15:00"),
    ],
)
def test_a_calendar_day_ends_at_the_persons_own_midnight(
    zone: str, last_allowed: str, first_of_next: str
) -> None:
    log = log_of(trigger(), policy(limit=1, window="day"), time_zone="Pacific/Auckland")
    log.event("view", now=at(last_allowed) - 5 * HOUR, context={"timezone": zone})
    assert outcome(log, at(last_allowed) - 5 * HOUR) is Outcome.SENT
    [refused] = log.event(now=at(last_allowed))
    assert refused.outcome is Outcome.CAP
    assert refused.details["frees_at"] == at(first_of_next)
    assert outcome(log, at(first_of_next)) is Outcome.SENT


def test_a_week_begins_on_monday_and_a_month_on_its_first() -> None:
    week = log_of(trigger(), policy(limit=1, window="week"))
    assert outcome(week, at("2026-06-14T23:59:59")) is Outcome.SENT  # a Sunday
    assert outcome(week, at("2026-06-15T00:00:00")) is Outcome.SENT
    assert outcome(week, at("2026-06-21T23:59:59")) is Outcome.CAP
    month = log_of(trigger(), policy(limit=1, window="month"))
    assert outcome(month, at("2028-02-01T00:00:00")) is Outcome.SENT
    [refused] = month.event(now=at("2028-02-29T23:59:59"))
    assert refused.details["frees_at"] == at("2028-03-01T00:00:00")
    assert outcome(month, at("2028-03-01T00:00:00")) is Outcome.SENT


def test_the_persons_zone_is_the_trait_then_the_context_then_the_workspaces() -> None:
    log = log_of(trigger(), policy(limit=1, window="day"), time_zone="UTC")
    log.event(now=at("2026-06-10T23:30:00"))
    assert outcome(log, at("2026-06-10T23:45:00")) is Outcome.CAP
    # In Tokyo all this is on the eleventh; in Reykjavik midnight has just passed.
    log.event("view", context={"timezone": "Asia/Tokyo"})
    assert outcome(log, at("2026-06-11T00:15:00")) is Outcome.CAP
    log.identify({"timezone": "Atlantic/Reykjavik"})
    assert outcome(log, at("2026-06-11T00:30:00")) is Outcome.SENT


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../../etc/passwd", 7, ["UTC"]])
def test_a_zone_that_does_not_exist_is_no_zone(zone: object) -> None:
    log = log_of(trigger(), policy(limit=1, window="day"), time_zone="Asia/Tokyo")
    log.identify({"timezone": zone}, context={"timezone": zone})
    assert outcome(log, at("2026-06-11T14:59:59")) is Outcome.SENT
    assert outcome(log, at("2026-06-11T15:00:00")) is Outcome.SENT


def test_sends_that_no_cap_can_count_any_more_are_forgotten() -> None:
    log = log_of(trigger(), policy(limit=5, window="1h"))
    for number in range(50):
        log.event(now=NOON + number * HOUR)
        log.delivery(log.out.commands[-1].send_id)
    assert log.state.sending is not None
    assert len(log.state.sending.sends) == 1


def test_uncapped_sends_are_remembered_for_their_delivery_within_a_bound() -> None:
    log = log_of(trigger(category="transactional"))
    for _ in range(OPEN_SENDS_MAX + 10):
        log.event()
    assert log.state.sending is not None
    assert len(log.state.sending.sends) == OPEN_SENDS_MAX
    log.delivery(log.out.commands[-1].send_id)
    assert log.state.sending.accepted == 1
