"""When a provider is left alone, and when it is tried again."""

from services.dispatcher.breaker import OPEN_FACTOR_MAX, Breaker, BreakerPolicy

POLICY = BreakerPolicy(failures=3, open_seconds=10.0)
MANY = 50


def failed(breaker: Breaker, times: int, now: float = 0.0) -> Breaker:
    """Let attempts fail one after the other."""
    for _ in range(times):
        breaker.begun()
        breaker.failed(now)
    return breaker


def test_it_lets_everything_through_until_failures_in_a_row() -> None:
    breaker = failed(Breaker(POLICY), 2)
    breaker.succeeded()
    failed(breaker, 2)
    assert breaker.allowed(0.0, MANY) == MANY
    failed(breaker, 1)
    assert breaker.allowed(9.9, MANY) == 0
    assert breaker.troubled


def test_after_its_time_one_probe_goes_and_its_success_lets_all_follow() -> None:
    breaker = failed(Breaker(POLICY), 3)
    assert breaker.allowed(10.0, MANY) == 1
    breaker.begun()
    assert breaker.allowed(10.0, MANY) == 0
    breaker.succeeded()
    assert breaker.allowed(10.0, MANY) == MANY
    assert not breaker.troubled


def test_a_probe_that_was_not_used_leaves_the_next_one_free() -> None:
    breaker = failed(Breaker(POLICY), 3)
    breaker.begun()
    breaker.abandoned()
    assert breaker.allowed(10.0, MANY) == 1


def test_each_failed_probe_doubles_the_wait_up_to_its_bound() -> None:
    breaker, now, waits = failed(Breaker(POLICY), 3), 0.0, []
    for _ in range(8):
        until = breaker.opens_at(now)
        assert until is not None
        waits.append(until - now)
        now = until
        failed(breaker, 1, now)
    assert waits[:4] == [10.0, 20.0, 40.0, 80.0]
    assert max(waits) == 10.0 * OPEN_FACTOR_MAX


def test_attempts_that_were_under_way_when_it_opened_do_not_open_it_further() -> None:
    breaker = Breaker(POLICY)
    for _ in range(MANY):
        breaker.begun()
    for _ in range(MANY):
        breaker.failed(0.0)
    assert breaker.opens_at(0.0) == 10.0


def test_a_provider_that_asks_for_peace_gets_it_within_bounds_and_is_not_troubled() -> None:
    breaker = Breaker(POLICY)
    breaker.pause(0.0, 4.0)
    assert (breaker.allowed(3.9, MANY), breaker.allowed(4.0, MANY)) == (0, MANY)
    breaker.pause(4.0, 3600.0)
    assert breaker.allowed(14.0, MANY) == MANY
    assert not breaker.troubled
