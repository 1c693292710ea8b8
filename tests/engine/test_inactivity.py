"""`entry.inactivity`: nobody heard of them for a time, and no event is needed to notice it."""

from services.contracts.time import DAY, HOUR
from tests.engine.build import NOON, log_of, trigger

DORMANT = trigger("dormant", entry={"inactivity": {"events": ["Logged In"], "lasts": "30d"}})


def test_it_fires_when_the_time_is_over_and_not_before() -> None:
    log = log_of(DORMANT)
    log.event("Logged In", now=NOON)
    assert log.state.wake_at is not None
    assert log.wake(now=NOON + 30 * DAY - 1) == []
    (sent,) = log.wake(now=NOON + 30 * DAY)
    assert (sent.trigger, sent.outcome) == ("dormant", "sent")


def test_activity_puts_it_off_without_a_new_timer() -> None:
    log = log_of(DORMANT)
    log.event("Logged In", now=NOON)
    due = log.state.next_due
    log.event("Logged In", now=NOON + 10 * DAY)
    assert log.state.next_due == due
    assert log.wake(now=due) == []
    assert log.state.next_due == NOON + 40 * DAY
    assert len(log.wake(now=NOON + 40 * DAY)) == 1


def test_it_fires_once_until_they_are_heard_of_again() -> None:
    log = log_of(DORMANT)
    log.event("Logged In", now=NOON)
    assert len(log.wake(now=NOON + 31 * DAY)) == 1
    assert log.wake(now=NOON + 300 * DAY) == []
    log.event("Logged In", now=NOON + 301 * DAY)
    assert len(log.wake(now=NOON + 331 * DAY)) == 1


def test_another_event_is_no_sign_of_this_life() -> None:
    log = log_of(DORMANT)
    log.event("Logged In", now=NOON)
    log.event("Mail Opened", now=NOON + 29 * DAY)
    assert len(log.wake(now=NOON + 30 * DAY)) == 1


def test_a_late_sign_of_life_counts_where_it_belongs() -> None:
    log = log_of(DORMANT)
    log.event("Logged In", now=NOON)
    log.event("Logged In", now=NOON + 20 * DAY, occurred_at=NOON + 18 * DAY)
    assert log.wake(now=NOON + 48 * DAY - HOUR) == []
    assert len(log.wake(now=NOON + 48 * DAY)) == 1


def test_an_earlier_sign_of_life_that_arrives_later_takes_nothing_back() -> None:
    log = log_of(DORMANT)
    log.event("Logged In", now=NOON)
    log.event("Logged In", now=NOON + HOUR, occurred_at=NOON - 5 * DAY)
    assert log.wake(NOON + 26 * DAY) == []
    assert log.wake(NOON + 30 * DAY - 1) == []
    assert len(log.wake(NOON + 30 * DAY)) == 1
    assert log.event("Logged In", now=NOON + 31 * DAY, occurred_at=NOON - DAY) == []
    assert log.wake(NOON + 90 * DAY) == []


def test_it_survives_the_bytes_of_the_state() -> None:
    log = log_of(DORMANT)
    log.reload = True
    log.event("Logged In", now=NOON)
    assert len(log.wake(now=NOON + 30 * DAY)) == 1


def test_after_an_exit_a_late_sign_of_an_older_life_begins_nothing() -> None:
    exit_ = {"events": ["Unsubscribed"]}
    log = log_of(trigger("dormant", entry=DORMANT.entry, exit=exit_))
    log.event("Logged In", now=NOON)
    log.event("Unsubscribed", now=NOON + HOUR)
    log.event("Logged In", now=NOON + 2 * HOUR, occurred_at=NOON - 40 * DAY)
    assert log.wake(now=NOON + 3 * HOUR) == []
    assert log.wake(now=NOON + 31 * DAY) == []
