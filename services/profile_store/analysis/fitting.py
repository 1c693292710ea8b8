"""Fits of the models, judged on people who were held out: what is good enough to be published.

Every fifth person is held out. The bounds below are named for what they ask; each leaves room
for chance, which shrinks with the number of people.
"""

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Final, TypeVar

import msgspec

from services.contracts.models import BgNbd, GammaGamma
from services.profile_store.analysis import bgnbd, gamma_gamma
from services.profile_store.analysis.beta import beta_share
from services.profile_store.analysis.bgnbd import Grouped, History
from services.profile_store.analysis.gamma_gamma import Spending

FITTED_PEOPLE_MIN: Final = 400
HELD_OUT_PEOPLE_MIN: Final = 100
RETURNED_MIN: Final = 100
"""People who bought again, among those fitted to."""
HELD_OUT_EVERY: Final = 5
DISTANCE_MAX: Final = 0.1
"""Of the held-out people this share may be, beyond chance, where the model does not see them."""
TOTAL_ERROR_MAX: Final = 0.15
"""How far the total that the model expects of them may be off, beyond chance."""
CORRELATION_MAX: Final = 0.3
"""Between number and value of orders, which gamma-gamma supposes to be independent."""
KNOWN_MIN: Final = 1e-3
KNOWN_MAX: Final = 1e5
"""Parameters outside ran away: these people do not say what they are."""
REPEATS_SHOWN: Final = 7
"""Histograms of repeats show 0 to 6, and more."""

Row = TypeVar("Row")


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A fit and how good it is; `refused` says why it must not be published, empty if it may.

    `figures` are rounded to four digits. Without people enough there are no parameters.
    """

    parameters: dict[str, float] = {}
    figures: dict[str, float] = {}
    refused: tuple[str, ...] = ()


def fit_bg_nbd(people: Sequence[History]) -> Fitted:
    """Fit to four fifths, in the order given, and judge on the rest: how the repeats of the
    held-out people are distributed, and how many they are altogether."""
    fitted, held_out = _split(people)
    returned = sum(x > 0 for x, _, _ in fitted)
    refused = _too_few(fitted, held_out, returned)
    if refused:
        return Fitted(refused=refused, figures={"people": len(people), "returned": returned})
    parameters, least = bgnbd.fit(bgnbd.grouped(fitted))
    groups = bgnbd.grouped(held_out)
    size = len(held_out)
    distance = _distance(parameters, groups, size)
    repeats = [x for x, _, _ in held_out]
    error, chance = _off(sum(_expected(parameters, groups)), repeats)
    allowed = DISTANCE_MAX + 1 / sqrt(size)
    wrong = _not_known(parameters) + _not_settled(least.settled)
    if distance > allowed:
        wrong.append(f"numbers of repeats are {distance:.3f} off, at most {allowed:.3f}")
    if abs(error) > TOTAL_ERROR_MAX + chance:
        wrong.append(f"all repeats are {error:+.1%} off, at most {TOTAL_ERROR_MAX + chance:.1%}")
    figures = {
        "people": len(people),
        "returned": returned,
        "log_likelihood": -least.value,
        "held_out_log_likelihood": bgnbd.log_likelihood(parameters, groups) / size,
        "held_out_distance": distance,
        "held_out_total_error": error,
    }
    return _told(parameters, figures, wrong)


def fit_gamma_gamma(people: Sequence[Spending]) -> Fitted:
    """Fit to four fifths, in the order given, and judge on the rest: how the values of the
    held-out people are distributed, and what they are on average.

    People without a positive mean value are left out: the model has none.
    """
    buyers = [(x, m) for x, m in people if x > 0 and m > 0]
    fitted, held_out = _split(buyers)
    returned = sum(x > 1 for x, _ in fitted)
    refused = _too_few(fitted, held_out, returned)
    if refused:
        return Fitted(refused=refused, figures={"people": len(buyers), "returned": returned})
    parameters, least = gamma_gamma.fit(fitted)
    size = len(held_out)
    distance = _farthest(parameters, held_out)
    values = [m for _, m in held_out]
    error, chance = _off(gamma_gamma.mean_value(parameters) * size, values)
    together = gamma_gamma.correlation(fitted)
    allowed = DISTANCE_MAX + 1 / sqrt(size)
    wrong = _not_known(parameters) + _not_settled(least.settled)
    if distance > allowed:
        wrong.append(f"values are {distance:.3f} off, at most {allowed:.3f}")
    if abs(error) > TOTAL_ERROR_MAX + chance:
        wrong.append(f"the mean value is {error:+.1%} off, at most {TOTAL_ERROR_MAX + chance:.1%}")
    if abs(together) > CORRELATION_MAX:
        wrong.append(f"number and value of orders correlate at {together:.2f}")
    figures = {
        "people": len(buyers),
        "returned": returned,
        "log_likelihood": -least.value,
        "held_out_log_likelihood": gamma_gamma.log_likelihood(parameters, held_out) / size,
        "held_out_distance": distance,
        "held_out_total_error": error,
        "correlation": together,
    }
    return _told(parameters, figures, wrong)


def _told(
    parameters: BgNbd | GammaGamma, figures: dict[str, float], wrong: Sequence[str]
) -> Fitted:
    return Fitted(
        parameters={
            name: round(one, 6) for name, one in msgspec.structs.asdict(parameters).items()
        },
        figures={name: round(float(one), 4) for name, one in figures.items()},
        refused=tuple(wrong),
    )


def _split(people: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    fitted = [one for place, one in enumerate(people) if place % HELD_OUT_EVERY]
    return fitted, list(people[::HELD_OUT_EVERY])


def _too_few(fitted: Sequence[Row], held_out: Sequence[Row], returned: int) -> tuple[str, ...]:
    asked = (
        ("people to fit to", len(fitted), FITTED_PEOPLE_MIN),
        ("people held out", len(held_out), HELD_OUT_PEOPLE_MIN),
        ("people who bought again", returned, RETURNED_MIN),
    )
    return tuple(f"{size} {what}, at least {least}" for what, size, least in asked if size < least)


def _not_known(parameters: BgNbd | GammaGamma) -> list[str]:
    return [
        f"{name} ran away to {one:g}"
        for name, one in msgspec.structs.asdict(parameters).items()
        if not KNOWN_MIN <= one <= KNOWN_MAX
    ]


def _not_settled(settled: bool) -> list[str]:
    return [] if settled else ["the search did not settle"]


def _off(wanted: float, found: Sequence[float]) -> tuple[float, float]:
    """How far the total of `found` is from `wanted`, as a part of it, and what chance may do:
    twice the standard error."""
    total, size = sum(found), len(found)
    mean = total / size
    spread = sqrt(sum((one - mean) ** 2 for one in found) / size)
    if not total:
        return (0.0 if not wanted else 1.0), 0.0
    return wanted / total - 1, 2 * spread * sqrt(size) / abs(total)


def _expected(parameters: BgNbd, groups: Grouped) -> list[float]:
    ages = Counter[float]()
    for (_, _, age), people in groups:
        ages[age] += people
    return [bgnbd.expected(parameters, age) * people for age, people in ages.items()]


def _distance(parameters: BgNbd, groups: Grouped, size: int) -> float:
    """The share of people who would have to buy more or less often for the model to be right:
    total variation distance of the numbers of repeats."""
    off = [0.0] * (REPEATS_SHOWN + 1)
    ages = Counter[float]()
    for (x, _, age), people in groups:
        off[min(x, REPEATS_SHOWN)] -= people
        ages[age] += people
    for age, people in ages.items():
        for x, chance in enumerate(bgnbd.chances(parameters, age, REPEATS_SHOWN)):
            off[x] += chance * people
    return sum(abs(one) for one in off) / 2 / size


def _farthest(parameters: GammaGamma, people: Sequence[Spending]) -> float:
    """Kolmogorov's distance of where people are in the distribution the model has for them:
    x * m / (v + x * m) follows Beta(p * x, q)."""
    places = sorted(
        beta_share(parameters.p * x, parameters.q, x * m / (parameters.v + x * m))
        for x, m in people
    )
    size = len(places)
    return max(max(one - n / size, (n + 1) / size - one) for n, one in enumerate(places))
