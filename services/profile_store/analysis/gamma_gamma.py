"""Gamma-gamma: what an order of somebody is worth; fitted by maximum likelihood.

Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value, brucehardie.com/notes/025;
numbers of equations are theirs. It supposes that the value of orders does not hang together
with how many there are: `correlation` says how far that is so.
"""

from collections.abc import Sequence
from math import exp, inf, lgamma, log, sqrt
from typing import Final, TypeAlias

from services.contracts.models import PARAMETER_MAX, PARAMETER_MIN, GammaGamma
from services.profile_store.analysis.simplex import Least, Point, least

Spending: TypeAlias = tuple[int, float]
"""`(x, m)`: so many orders of the mean value `m`, both above nought."""

LOG_MIN: Final = log(PARAMETER_MIN)
LOG_MAX: Final = log(PARAMETER_MAX / 2)


def log_likelihood(parameters: GammaGamma, people: Sequence[Spending]) -> float:
    """The logarithm of equation (1a), summed over all people."""
    p, q, v = parameters.p, parameters.q, parameters.v
    of_x = {
        x: lgamma(p * x + q) - lgamma(p * x) - lgamma(q) + q * log(v) + p * x * log(x)
        for x in {x for x, _ in people}
    }
    total = 0.0
    for x, m in people:
        total += of_x[x] + (p * x - 1) * log(m) - (p * x + q) * log(x * m + v)
    return total


def fit(people: Sequence[Spending]) -> tuple[GammaGamma, Least]:
    """The parameters that make these people the most likely, and how the search ended.

    Its `value` is minus the mean logarithm of the likelihood of one. `q` is kept above 1,
    where the mean value of customers exists.

    Raises:
        ValueError: there are no people.
    """
    if not people:
        raise ValueError("nobody spent anything")
    mean = sum(m for _, m in people) / len(people)

    def badness(point: Point) -> float:
        if not all(LOG_MIN <= one <= LOG_MAX for one in point):
            return inf
        return -log_likelihood(_of_point(point), people) / len(people)

    found = least(badness, (log(2.0), log(2.0), min(max(log(mean), LOG_MIN + 1), LOG_MAX - 1)))
    return _of_point(found.at), found


def _of_point(point: Point) -> GammaGamma:
    p, beyond_one, v = (exp(one) for one in point)
    return GammaGamma(p=p, q=1 + beyond_one, v=v)


def mean_value(parameters: GammaGamma) -> float:
    """The mean value of an order over all customers: p * v / (q - 1)."""
    return parameters.p * parameters.v / (parameters.q - 1)


def correlation(people: Sequence[Spending]) -> float:
    """Pearson's correlation of the number of orders with their mean value; 0 where one of
    them does not vary."""
    size = len(people)
    mean_x, mean_m = sum(x for x, _ in people) / size, sum(m for _, m in people) / size
    both = sum((x - mean_x) * (m - mean_m) for x, m in people)
    spread_x = sum((x - mean_x) ** 2 for x, _ in people)
    spread_m = sum((m - mean_m) ** 2 for _, m in people)
    return both / sqrt(spread_x * spread_m) if spread_x and spread_m else 0.0
