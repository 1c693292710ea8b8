"""Likelihoods and distributions beside published values, integrals and the stream's own forms."""

from math import exp, lgamma, log

import pytest

from services.contracts.models import BgNbd, GammaGamma
from services.profile_store.analysis import bgnbd, gamma_gamma
from services.profile_store.analysis.beta import beta_share
from services.profile_store.analysis.simplex import least
from services.triggers.engine.predicting import alive, expected_purchases
from tests.profile_store.analysis.simulated import MODEL, VALUES, histories, spendings

PEOPLE = [(0, 0.0, 30.0), (1, 12.0, 30.0), (5, 80.0, 90.0), (30, 200.0, 201.0), (2, 3.0, 400.0)]


def test_the_simplex_finds_the_bottom_of_a_curved_valley() -> None:
    def valley(point: tuple[float, ...]) -> float:
        x, y = point
        return 100 * (y - x * x) ** 2 + (1 - x) ** 2

    found = least(valley, (-1.2, 1.0))
    assert found.settled
    assert found.at == pytest.approx((1, 1), abs=1e-3)


def test_the_simplex_keeps_out_of_where_the_function_is_infinite() -> None:
    found = least(lambda point: float("inf") if point[0] < 1 else point[0], (5.0,))
    assert found.at == pytest.approx((1,), abs=1e-6)


@pytest.mark.parametrize("person", PEOPLE)
def test_a_likelihood_is_that_of_equation_six(person: tuple[int, float, float]) -> None:
    (x, t_x, now), (r, alpha, a, b) = person, (0.7, 40.0, 0.8, 2.5)

    def beta(one: float, other: float) -> float:
        return exp(lgamma(one) + lgamma(other) - lgamma(one + other))

    rate = exp(lgamma(r + x) - lgamma(r)) * alpha**r
    wanted = beta(a, b + x) / beta(a, b) * rate / (alpha + now) ** (r + x)
    if x:
        wanted += beta(a + 1, b + x - 1) / beta(a, b) * rate / (alpha + t_x) ** (r + x)
    assert bgnbd.log_likelihood(MODEL, [(person, 3)]) == pytest.approx(3 * log(wanted), rel=1e-10)


@pytest.mark.parametrize("person", PEOPLE)
def test_the_chance_to_be_alive_is_the_part_of_the_likelihood_that_lives(
    person: tuple[int, float, float],
) -> None:
    x, t_x, now = person
    # The likelihood has two terms, the first of those who did not leave after the last order.
    living = lgamma(0.7 + x) - lgamma(0.7) + 0.7 * log(40.0) - (0.7 + x) * log(40.0 + now)
    living += lgamma(2.5 + x) + lgamma(3.3) - lgamma(2.5) - lgamma(3.3 + x)
    wanted = exp(living - bgnbd.log_likelihood(MODEL, [(person, 1)]))
    assert alive(MODEL, x, t_x, now) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("model", [MODEL, BgNbd(r=0.1, alpha=3.0, a=0.05, b=0.4),
                                   BgNbd(r=9.0, alpha=90.0, a=20.0, b=70.0)])  # fmt: skip
@pytest.mark.parametrize(("x", "now", "days"), [(0, 0.0, 30.0), (3, 90.0, 30.0), (20, 5.0, 200.0)])
def test_the_streams_closed_form_is_the_jobs_integral(
    model: BgNbd, x: int, now: float, days: float
) -> None:
    # Whose last order was just now cannot have left before; for others the chance is a factor.
    scored = expected_purchases(model, x, now, now, days) / alive(model, x, now, now)
    assert scored == pytest.approx(bgnbd.while_alive(model, x, now, days), rel=1e-6)


def test_the_expected_number_is_the_mean_of_the_distribution() -> None:
    chances = bgnbd.chances(MODEL, 60.0, 200)
    assert sum(chances) == pytest.approx(1)
    assert all(chance >= 0 for chance in chances)
    mean = sum(x * chance for x, chance in enumerate(chances))
    assert bgnbd.expected(MODEL, 60.0) == pytest.approx(mean, rel=1e-6)
    assert bgnbd.chances(MODEL, 0.0, 3) == [1.0, 0.0, 0.0, 0.0]


def test_nobody_who_came_back_leaves_nothing_to_fit() -> None:
    with pytest.raises(ValueError, match="nobody bought twice"):
        bgnbd.fit([((0, 0.0, 10.0), 5)])


def test_the_value_of_orders_has_the_density_of_its_paper() -> None:
    # Numerically, over nu ~ Gamma(q, v): the mean of x orders is Gamma(p x, nu x).
    p, q, v, x, m = 6.0, 4.0, 15.0, 3, 28.0
    total, step = 0.0, 0.001
    for n in range(1, 4000):
        nu = n * step
        prior = q * log(v) + (q - 1) * log(nu) - v * nu - lgamma(q)
        total += step * exp(
            prior + p * x * log(nu * x) + (p * x - 1) * log(m) - nu * x * m - lgamma(p * x)
        )
    assert gamma_gamma.log_likelihood(VALUES, [(x, m)]) == pytest.approx(log(total), rel=1e-6)


def test_correlation_is_pearsons() -> None:
    assert gamma_gamma.correlation([(1, 10.0), (2, 20.0), (3, 30.0)]) == pytest.approx(1)
    assert gamma_gamma.correlation([(1, 10.0), (2, 5.0), (3, 10.0)]) == pytest.approx(0)
    assert gamma_gamma.correlation([(2, 10.0), (2, 5.0)]) == 0


@pytest.mark.parametrize(
    ("a", "b", "x", "share"),
    [
        (1, 1, 0.3, 0.3),
        (2, 3, 0.4, 0.5248),
        (2, 3, 0.9, 0.9963),
        (0.5, 0.5, 0.5, 0.5),
        (3, 2, 0, 0),
    ],
)
def test_shares_of_beta_are_those_of_its_tables(a: float, b: float, x: float, share: float) -> None:
    assert beta_share(a, b, x) == pytest.approx(share)
    assert beta_share(a, b, x) + beta_share(b, a, 1 - x) == pytest.approx(1)


@pytest.mark.embedded
def test_parameters_that_people_were_drawn_from_are_found_again() -> None:
    # Not embedded by what it needs, but by the second that it takes.
    found, search = bgnbd.fit(bgnbd.grouped(histories(6_000)))
    assert search.settled
    assert (found.r, found.alpha) == pytest.approx((0.7, 40.0), rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(0.8 / 3.3, rel=0.1)
    values, search = gamma_gamma.fit(spendings(4_000))
    assert search.settled
    assert (values.p, values.q, values.v) == pytest.approx((6.0, 4.0, 15.0), rel=0.2)
    assert gamma_gamma.mean_value(values) == pytest.approx(30.0, rel=0.05)
    unlike = GammaGamma(p=values.p * 1.2, q=values.q, v=values.v)
    people = spendings(4_000)
    assert gamma_gamma.log_likelihood(values, people) > gamma_gamma.log_likelihood(unlike, people)
