"""The distribution function of Beta(a, b)."""

from math import exp, lgamma, log, log1p
from typing import Final

TERMS_MAX: Final = 500
TOLERANCE: Final = 1e-12
TINY: Final = 1e-300
"""In place of a nought that would be divided by (Lentz's method)."""


def beta_share(a: float, b: float, x: float) -> float:
    """How much of Beta(a, b) lies up to `x`: the regularised incomplete beta function.

    By its continued fraction (Abramowitz & Stegun 26.5.8), on the side where it converges.
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    fraction, c, d = 1.0, 1.0, 0.0
    for term in range(1, TERMS_MAX):
        m = term // 2
        if term % 2:
            part = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            part = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        c = 1 + part / c or TINY
        d = 1 / (1 + part * d or TINY)
        fraction *= c * d
        if abs(1 - c * d) < TOLERANCE:
            break
    return front / fraction
