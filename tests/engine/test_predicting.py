"""The models' closed forms beside published values, other forms and their own meaning."""

from math import exp, expm1, isfinite, lgamma, log1p

import pytest

from services.contracts.models import PARAMETER_MAX, PARAMETER_MIN, BgNbd, GammaGamma
from services.triggers.engine.predicting import (
    HORIZON_ALPHAS_MAX,
    alive,
    expected_purchases,
    expected_value,
)

CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""Of the 1/10 sample of CDNOW, time in weeks: table 1 of Fader, Hardie & Lee (2005)."""
CDNOW_VALUES = GammaGamma(p=6.25, q=3.74, v=15.44)
"""Of the same customers: Fader & Hardie (2013), section 4."""
STEPS = 800
REACH = 40


def integrated(parameters: BgNbd, x: float, age: float, horizon: float) -> float:
    """What somebody alive buys, over their probability p ~ Beta(a, b + x) to leave.

    At rate Gamma(r + x, alpha + age) it is (1 - (1 + p * horizon / (alpha + age)) ** -(r + x)) / p.
    By the trapezoidal rule over p's logit, where the integrand dies at both ends.
    """
    a, b = parameters.a, parameters.b + x
    norm = lgamma(a + b) - lgamma(a) - lgamma(b)
    width = REACH / min(a, b)
    total = 0.0
    for step in range(-STEPS, STEPS + 1):
        logit = width * step / STEPS
        log_p, log_q = -log1p(exp(-logit)), -log1p(exp(logit))
        left = horizon * exp(log_p) / (parameters.alpha + age)
        bought = -expm1(-(parameters.r + x) * log1p(left))
        total += bought * exp(norm + (a - 1) * log_p + b * log_q)
    return total * width / STEPS


def test_the_published_customer_is_expected_to_buy_as_often_as_published() -> None:
    # Customer 0001 of CDNOW over the next 39 weeks: the authors' spreadsheet says 1.226.
    assert expected_purchases(CDNOW, 2, 30.43, 38.86, 39) == pytest.approx(1.226, abs=5e-4)
    assert alive(CDNOW, 2, 30.43, 38.86) == pytest.approx(0.7266, abs=5e-4)


@pytest.mark.parametrize("a", [0.3, 0.793, 1.0, 1.0 + 1e-9, 2.5, 9.0])
@pytest.mark.parametrize(
    ("x", "age", "horizon"), [(0, 0, 10), (0, 30, 400), (1, 5, 1), (12, 90, 30)]
)
def test_purchases_are_the_integral_over_the_probability_to_leave(
    a: float, x: int, age: float, horizon: float
) -> None:
    parameters = BgNbd(r=0.4, alpha=7.0, a=a, b=2.4)
    wanted = integrated(parameters, x, age, horizon) * alive(parameters, x, age / 2, age)
    assert expected_purchases(parameters, x, age / 2, age, horizon) == pytest.approx(
        wanted, rel=1e-8
    )


def test_alive_is_the_papers_formula() -> None:
    r, alpha, a, b = 0.243, 4.414, 0.793, 2.426
    wanted = 1 / (1 + a / (b + 3) * ((alpha + 50) / (alpha + 20)) ** (r + 4))
    assert alive(CDNOW, 4, 20, 50) == pytest.approx(wanted, rel=1e-12)


def test_nobody_has_left_before_a_second_order() -> None:
    assert alive(CDNOW, 0, 0, 1_000) == 1.0


def test_the_longer_the_silence_after_many_orders_the_surer_the_end() -> None:
    chances = [alive(CDNOW, 20, 40, age) for age in (40, 45, 60, 100, 10_000)]
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] < 1e-9


def test_no_horizon_brings_no_purchase_and_a_longer_one_never_fewer() -> None:
    assert expected_purchases(CDNOW, 3, 10, 20, 0) == 0
    bought = [expected_purchases(CDNOW, 3, 10, 20, horizon) for horizon in (0.1, 1, 10, 100, 400)]
    assert bought == sorted(bought)


def test_a_short_horizon_brings_the_rate_times_its_length() -> None:
    rate = (CDNOW.r + 3) / (CDNOW.alpha + 20) * alive(CDNOW, 3, 10, 20)
    assert expected_purchases(CDNOW, 3, 10, 20, 1e-6) == pytest.approx(rate * 1e-6, rel=1e-6)


@pytest.mark.parametrize("r", [PARAMETER_MIN, PARAMETER_MAX])
@pytest.mark.parametrize("alpha", [PARAMETER_MIN, PARAMETER_MAX])
@pytest.mark.parametrize("a", [PARAMETER_MIN, 1.0, PARAMETER_MAX])
@pytest.mark.parametrize("b", [PARAMETER_MIN, PARAMETER_MAX])
def test_scores_are_finite_wherever_parameters_may_be(
    r: float, alpha: float, a: float, b: float
) -> None:
    parameters = BgNbd(r=r, alpha=alpha, a=a, b=b)
    for x, t_x, age in ((0, 0, 0), (1, 0, 3_650), (100_000, 10, 3_650), (-3, 9, 2), (1, -5, -9)):
        assert 0 <= alive(parameters, x, t_x, age) <= 1
        bought = expected_purchases(parameters, x, t_x, age, HORIZON_ALPHAS_MAX * alpha)
        assert isfinite(bought)
        assert bought >= 0


def test_the_mean_value_of_somebody_unknown_is_that_of_all() -> None:
    assert expected_value(CDNOW_VALUES, 0, 0) == pytest.approx(35.22, abs=0.01)


def test_the_more_orders_the_closer_is_the_expected_value_to_what_was_seen() -> None:

    off = [abs(expected_value(CDNOW_VALUES, x, 100.0) - 100.0) for x in (1, 2, 10, 1_000)]
    assert off == sorted(off, reverse=True)
    assert off[-1] < 0.1
