"""What a fit has to show before it is published."""

from random import Random

import pytest

from services.contracts.models import BgNbd
from services.profile_store.analysis.fitting import fit_bg_nbd, fit_gamma_gamma
from tests.profile_store.analysis.simulated import histories, spendings


def test_too_few_people_are_not_fitted_and_counted() -> None:
    fitted = fit_bg_nbd(histories(60))
    assert not fitted.parameters
    assert "48 people to fit to, at least 400" in fitted.refused
    assert "12 people held out, at least 100" in fitted.refused
    assert fit_gamma_gamma(spendings(30)).refused


def test_people_who_hardly_ever_came_back_are_not_fitted() -> None:
    fitted = fit_bg_nbd([(0, 0.0, 90.0)] * 600)
    assert fitted.refused == ("0 people who bought again, at least 100",)


@pytest.mark.embedded
def test_people_of_the_models_own_kind_are_fitted_well() -> None:
    fitted = fit_bg_nbd(histories(1_500))
    assert fitted.refused == ()
    assert set(fitted.parameters) == {"r", "alpha", "a", "b"}
    assert fitted.figures["held_out_distance"] < 0.1
    values = fit_gamma_gamma(spendings(1_500))
    assert values.refused == ()
    assert values.figures["held_out_distance"] < 0.08
    assert abs(values.figures["correlation"]) < 0.1


@pytest.mark.embedded
def test_a_population_of_another_kind_is_refused_with_the_reason() -> None:
    # Everybody buys exactly every ten days, until today: nobody leaves and nobody differs.
    clockwork = [(age // 10, float(age // 10 * 10), float(age)) for age in range(50, 650)]
    assert any("ran away" in reason for reason in fit_bg_nbd(clockwork).refused)
    # Half never come back, half come back five times: no one gamma does that.
    halves = [
        (0, 0.0, 300.0) if n % 2 else (5, 290.0, 300.0) for n in Random(1).sample(range(900), 900)
    ]
    assert any("numbers of repeats are" in reason for reason in fit_bg_nbd(halves).refused)


@pytest.mark.embedded
def test_values_that_hang_together_with_the_number_of_orders_are_refused() -> None:
    people = [(x, m * x) for x, m in spendings(1_200)]
    assert any("correlate" in reason for reason in fit_gamma_gamma(people).refused)


@pytest.mark.embedded
def test_values_of_two_kinds_are_refused() -> None:
    people = [(3, (10.0 if n % 2 else 1_000.0) * (1 + n % 7 / 100)) for n in range(1_000)]
    assert any("values are" in reason for reason in fit_gamma_gamma(people).refused)


@pytest.mark.embedded
def test_a_model_of_other_people_shows_on_those_held_out() -> None:
    others = histories(1_200, model=BgNbd(r=4.0, alpha=20.0, a=0.5, b=9.0))
    mixed = [
        other if n % 5 == 0 else one
        for n, (one, other) in enumerate(zip(histories(1_200), others, strict=True))
    ]
    refused = fit_bg_nbd(mixed).refused
    assert any("numbers of repeats are" in reason for reason in refused)
    assert any("all repeats are" in reason for reason in refused)
