"""BG/NBD: who buys again, and how often; fitted to a population by maximum likelihood.

Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model, Marketing Science 24(2), 275-284; numbers of equations are theirs. Times are
in days. What the stream scores with (`services.triggers.engine.predicting`) is written for
one person and apart from this; tests hold the two against each other.
"""

from collections import Counter
from collections.abc import Iterable
from math import asinh, cosh, exp, expm1, inf, lgamma, log, log1p, pi, sinh, sqrt
from typing import Final, TypeAlias

from services.contracts.models import PARAMETER_MAX, PARAMETER_MIN, BgNbd
from services.profile_store.analysis.simplex import Least, Point, least

History: TypeAlias = tuple[int, float, float]
"""`(x, t_x, T)`: repeat orders, the last of them and now, in days since the first order."""
Grouped: TypeAlias = list[tuple[History, int]]
"""Histories with how many people have each."""

STEPS: Final = 500
"""Of an integral over p."""
LOG_REACH: Final = 40.0
"""exp(-40) of the integrand is left out at each end."""
LOG_ODDS_MAX: Final = 600.0
"""Who is gone by so much is gone."""
LOG_MIN: Final = log(PARAMETER_MIN)
LOG_MAX: Final = log(PARAMETER_MAX)


def grouped(histories: Iterable[History]) -> Grouped:
    """Each different history once: likelihoods cost so much less."""
    return sorted(Counter(histories).items())


def log_likelihood(parameters: BgNbd, people: Grouped) -> float:
    """The logarithm of equation (6), summed over all people."""
    r, alpha, a, b = parameters.r, parameters.alpha, parameters.a, parameters.b
    # What depends on x alone, and the logarithms of days, are few among many people.
    of_x = {x: _of_x(parameters, x) for x in {x for (x, _, _), _ in people}}
    days = {day for (_, t_x, now), _ in people for day in (t_x, now)}
    log_of = {day: log(alpha + day) for day in days}
    total = 0.0
    for (x, t_x, now), weight in people:
        shared = of_x[x] - (r + x) * log_of[now]
        if x:
            left = log(a / (b + x - 1)) + (r + x) * (log_of[now] - log_of[t_x])
            shared += left + log1p(exp(-left)) if left > 0 else log1p(exp(left))
        total += weight * shared
    return total


def _of_x(parameters: BgNbd, x: int) -> float:
    r, a, b = parameters.r, parameters.a, parameters.b
    rate = lgamma(r + x) - lgamma(r) + r * log(parameters.alpha)
    return rate + lgamma(a + b) + lgamma(b + x) - lgamma(b) - lgamma(a + b + x)


def fit(people: Grouped) -> tuple[BgNbd, Least]:
    """The parameters that make these people the most likely, and how the search ended.

    Its `value` is minus the mean logarithm of the likelihood of one.

    Raises:
        ValueError: there are no people, or none of them came back.
    """
    size = sum(weight for _, weight in people)
    repeats = sum(x * weight for (x, _, _), weight in people)
    if not repeats:
        raise ValueError("nobody bought twice")
    lived = sum(now * weight for (_, _, now), weight in people)

    def badness(point: Point) -> float:
        if not all(LOG_MIN <= one <= LOG_MAX for one in point):
            return inf
        return -log_likelihood(_of_point(point), people) / size

    # A rate of repeats an equal number of days, and a third of people who leave each time.
    start = (0.0, log(max(1.0, lived / repeats)), 0.0, log(2.0))
    found = least(badness, start)
    return _of_point(found.at), found


def _of_point(point: Point) -> BgNbd:
    r, alpha, a, b = (min(max(exp(one), PARAMETER_MIN), PARAMETER_MAX) for one in point)
    return BgNbd(r=r, alpha=alpha, a=a, b=b)


def chances(parameters: BgNbd, days: float, most: int) -> list[float]:
    """The probabilities of 0, 1, ... `most` - 1 repeat orders in so many days, then of more.

    Equation (8).
    """
    r, alpha, a, b = parameters.r, parameters.alpha, parameters.a, parameters.b
    log_stay, log_gone = log(alpha / (alpha + days)), log(days / (alpha + days)) if days else -inf
    found: list[float] = []
    bought_before = 0.0
    for x in range(most):
        at_rate = lgamma(r + x) - lgamma(r) - lgamma(x + 1) + r * log_stay
        at_rate = exp(at_rate + (x * log_gone if x else 0.0))
        still = lgamma(b + x) + lgamma(a + b) - lgamma(b) - lgamma(a + b + x)
        chance = exp(still) * at_rate
        if x:
            left = exp(still) * a / (b + x - 1)
            chance += left * max(0.0, 1 - bought_before)
        bought_before += at_rate
        found.append(chance)
    return [*found, max(0.0, 1 - sum(found))]


def expected(parameters: BgNbd, days: float) -> float:
    """How many repeat orders somebody new is expected to make in so many days: equation (9).

    By integration over the probability p to leave after an order, Beta(a, b): at rate
    Gamma(r, alpha) they make (1 - (alpha / (alpha + p * days)) ** r) / p orders.
    """
    return while_alive(parameters, 0, 0.0, days)


def expected_later(parameters: BgNbd, history: History, days: float) -> float:
    """What somebody with this history is expected to buy within `days`: equation (10)."""
    x, t_x, now = history
    left = 0.0
    if x:
        longer = (parameters.r + x) * log((parameters.alpha + now) / (parameters.alpha + t_x))
        left = exp(min(LOG_ODDS_MAX, longer)) * parameters.a / (parameters.b + x - 1)
    return while_alive(parameters, x, now, days) / (1 + left)


def while_alive(parameters: BgNbd, x: int, now: float, days: float) -> float:
    """What somebody with `x` repeats who is alive at `now` is expected to buy within `days`.

    The expectation behind equation (10): p ~ Beta(a, b + x), the rate ~ Gamma(r + x,
    alpha + now). By the trapezoidal rule after two substitutions, the logit of p and a sinh
    around its peak, so that narrow peaks and long tails are both met.
    """
    a, b = parameters.a, parameters.b + x
    norm = lgamma(a + b) - lgamma(a) - lgamma(b)
    rate, scale = parameters.r + x, days / (parameters.alpha + now)
    peak, spread = log(a / b), sqrt(1 / a + 1 / b)
    unit = min(pi, spread)
    low = -asinh((LOG_REACH / a + LOG_REACH / 3 * spread) / unit)
    high = asinh((LOG_REACH / b + LOG_REACH / 3 * spread) / unit)
    width = (high - low) / STEPS
    total = 0.0
    for step in range(STEPS + 1):
        at = low + width * step
        logit = peak + unit * sinh(at)
        log_p = -log1p(exp(-logit)) if logit > 0 else logit - log1p(exp(logit))
        p = exp(log_p)
        # Where p is too small for a double, what is bought no longer depends on it.
        bought = -expm1(-rate * log1p(p * scale)) / p if p else rate * scale
        total += bought * exp(norm + a * log_p + b * (log_p - logit)) * unit * cosh(at)
    return total * width
