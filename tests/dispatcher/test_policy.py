"""What follows from an outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.command import WhenUnknown
from services.dispatcher.channels.port import Accepted, Delayed, Outcome, Refused, Unknown
from services.dispatcher.policy import (
    REASON_CHARS_MAX,
    Policy,
    SendState,
    Settlement,
    expired,
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
