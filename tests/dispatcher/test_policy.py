"""What follows from an outcome."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.command import NotBetween, WhenUnknown
from services.dispatcher.channels.port import Accepted, Delayed, Outcome, Refused, Unknown
from services.dispatcher.policy import (
    REASON_CHARS_MAX,
    Policy,
    SendState,
    Settlement,
    expired,
    hold,
    queue_of,
    settle,
)
from tests.dispatcher.support import DECIDED_AT, a_command

POLICY = Policy(attempts_max=3, first_seconds=1.0, max_seconds=10.0, retry_after_seconds_max=60.0)


def settled(
    outcome: Outcome,
    *,
    attempts: int = 1,
    doubtful: bool = False,
    idempotent: bool = False,
    when_unknown: WhenUnknown = "at_most_once",
    random: float = 0.0,
) -> Settlement:
    """The settlement with numbers that make waits whole."""
    return settle(
        outcome,
        attempts=attempts,
        doubtful=doubtful,
        idempotent=idempotent,
        when_unknown=when_unknown,
        policy=POLICY,
        random=lambda: random,
    )


def test_acceptance_ends_it_whatever_was_before() -> None:
    result = settled(Accepted(provider_id="7"), attempts=99, doubtful=True)
    assert result == Settlement(state=SendState.ACCEPTED, provider_id="7")


def test_a_refusal_fails_at_once() -> None:
    assert settled(Refused(reason="no")) == Settlement(state=SendState.FAILED, reason="no")


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2)])
def test_waits_double_up_to_the_last_attempt(attempts: int, seconds: int) -> None:
    result = settled(Delayed(reason="busy"), attempts=attempts)
    assert (result.state, result.wait_micros) == (SendState.PENDING, seconds * 1_000_000)


def test_the_last_delayed_attempt_fails_as_exhausted() -> None:
    result = settled(Delayed(reason="busy"), attempts=3)
    assert (result.state, result.reason) == (SendState.FAILED, "exhausted: busy")


@pytest.mark.parametrize(("asked", "seconds"), [(0.5, 1), (30.0, 30), (9e9, 60)])
def test_retry_after_stretches_the_wait_within_its_bound(asked: float, seconds: int) -> None:
    result = settled(Delayed(reason="busy", retry_after_seconds=asked))
    assert result.wait_micros == seconds * 1_000_000


def test_an_unknown_outcome_is_ambiguous_where_a_repeat_would_be_a_second_effect() -> None:
    assert settled(Unknown(reason="silence")).state is SendState.AMBIGUOUS


@pytest.mark.parametrize(
    ("idempotent", "when_unknown"), [(True, "at_most_once"), (False, "at_least_once")]
)
def test_an_unknown_outcome_is_tried_again_where_that_is_allowed(
    idempotent: bool, when_unknown: WhenUnknown
) -> None:
    result = settled(Unknown(reason="x"), idempotent=idempotent, when_unknown=when_unknown)
    assert result.state is SendState.PENDING
    assert result.doubtful


@given(
    outcome=st.sampled_from([Refused(reason="x"), Delayed(reason="x"), Unknown(reason="x")]),
    attempts=st.integers(1, 5),
    idempotent=st.booleans(),
    when_unknown=st.sampled_from(["at_most_once", "at_least_once"]),
)
def test_after_a_doubtful_attempt_nothing_releases_the_cap(
    outcome: Outcome, attempts: int, idempotent: bool, when_unknown: WhenUnknown
) -> None:
    result = settled(
        outcome,
        attempts=attempts,
        doubtful=True,
        idempotent=idempotent,
        when_unknown=when_unknown,
    )
    assert result.state is not SendState.FAILED
    assert result.doubtful


@given(
    outcome=st.sampled_from([Delayed(reason="x", retry_after_seconds=1e12), Unknown(reason="x")]),
    attempts=st.integers(1, 10**6),
    random=st.floats(0, 1, exclude_max=True),
)
def test_waits_are_positive_and_bounded(outcome: Outcome, attempts: int, random: float) -> None:
    result = settled(outcome, attempts=attempts, idempotent=True, random=random)
    assert 0 <= result.wait_micros <= 60_000_000
    assert (result.state is SendState.PENDING) == (attempts < POLICY.attempts_max)


def test_reasons_fit_the_ledger() -> None:
    result = settled(Refused(reason="a\0" * 1000))
    assert result.reason == "a" * REASON_CHARS_MAX


def test_a_command_expires_at_its_instant_and_never_without_one() -> None:
    command = a_command(1, expires_at=DECIDED_AT)
    assert not expired(command, DECIDED_AT - 1)
    assert expired(command, DECIDED_AT)
    assert not expired(a_command(1), DECIDED_AT * 2)


def test_each_endpoint_has_a_queue_of_its_own() -> None:
    assert queue_of(a_command(channel="mail")) == "mail"
    assert queue_of(a_command(channel="webhook", endpoint="crm")) == "webhook:crm"


@pytest.mark.parametrize(
    ("when_unknown", "bound"), [("at_most_once", True), ("at_least_once", False)]
)
def test_what_is_in_doubt_stays_with_its_provider_unless_twice_is_better_than_never(
    when_unknown: WhenUnknown, bound: bool
) -> None:
    result = settled(Unknown(reason="x"), idempotent=True, when_unknown=when_unknown)
    assert result.bound is bound
    assert not settled(Delayed(reason="x")).bound


def test_a_refusal_says_whether_the_address_is_to_blame() -> None:
    assert settled(Refused(reason="550", about_address=True)).about_address
    assert not settled(Refused(reason="413")).about_address


def held(start: str, end: str, zone: str, at: str) -> float:
    """Minutes that a window holds at an instant."""
    now = int(datetime.fromisoformat(at).timestamp() * 1_000_000)
    return hold((NotBetween(start=start, end=end, zone=zone),), now) / 60e6


@pytest.mark.parametrize(
    ("start", "end", "zone", "at", "minutes"),
    [
        ("22:00", "08:00", "UTC", "2026-03-01T21:59:59+00:00", 0),
        ("22:00", "08:00", "UTC", "2026-03-01T22:00:00+00:00", 600),
        ("22:00", "08:00", "UTC", "2026-03-02T07:59:00+00:00", 1),
        ("22:00", "08:00", "UTC", "2026-03-02T08:00:00+00:00", 0),
        ("12:00", "14:00", "UTC", "2026-03-01T13:00:00+00:00", 60),
        ("12:00", "14:00", "UTC", "2026-03-01T14:00:00+00:00", 0),
        ("22:00", "08:00", "Asia/Shanghai", "2026-03-01T14:00:00+00:00", 600),
        # The night in which Berlin's clocks go forward has an hour less, the other one more.
        ("22:00", "08:00", "Europe/Berlin", "2026-03-28T22:00:00+01:00", 540),
        ("22:00", "08:00", "Europe/Berlin", "2026-10-24T22:00:00+02:00", 660),
        # 2:30 comes twice: the first one counts.
        ("01:00", "02:30", "Europe/Berlin", "2026-10-25T02:10:00+02:00", 20),
        ("01:00", "02:30", "Europe/Berlin", "2026-10-25T02:10:00+01:00", 0),
        # 2:30 does not come: not before the gap, and within the hour after it.
        ("01:00", "02:30", "Europe/Berlin", "2026-03-29T01:30:00+01:00", 60),
        ("09:00", "09:00", "UTC", "2026-03-01T09:00:00+00:00", 0),
    ],
)
def test_quiet_hours_hold_until_the_instant_at_which_they_end(
    start: str, end: str, zone: str, at: str, minutes: float
) -> None:
    assert held(start, end, zone, at) == minutes


def test_without_quiet_hours_nothing_is_held() -> None:
    assert hold((), DECIDED_AT) == 0
