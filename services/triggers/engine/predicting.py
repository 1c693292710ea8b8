"""Scores of the repeat-purchase models for one person, in closed form.

BG/NBD and gamma-gamma, see `services.contracts.models` for the papers and the parameters.
Times are in days, counted from the first order: `x` orders followed it, the last of them at
`t_x`, and now is at `age` (T in the papers). No function raises for finite numbers: what no
log can hold (less than no orders, an order after now) is taken as the nearest that it can.
Whoever keeps a score rounds it: the last digits are the C library's.
"""

from math import exp, expm1, log, log1p
from typing import Final

from services.contracts.models import BgNbd, GammaGamma

SERIES_TERMS_MAX: Final = 4_000
SERIES_TOLERANCE: Final = 1e-12
"""The series ends where all its rest is below this part of its sum."""
TRANSFORMED_BELOW: Final = 2.0
LOG_LEAST: Final = -600.0
"""Of what is still a double when it is raised from its logarithm."""
HORIZON_ALPHAS_MAX: Final = 100.0
"""A horizon may be so many times `alpha` long. Beyond, the series could need more terms than
it has for somebody whose first order was just now."""


def alive(parameters: BgNbd, x: float, t_x: float, age: float) -> float:
    """The probability that the person still buys: 1 as long as nothing followed the first order.

    Fader, Hardie & Lee (2005), section 4 and the note "Computing P(alive) Using the BG/NBD
    Model" (2008): 1 / (1 + a / (b + x - 1) * ((alpha + age) / (alpha + t_x)) ** (r + x)).
    """
    if x < 1:
        return 1.0
    t_x, age = _ordered(t_x, age)
    odds = log(parameters.a / (parameters.b + x - 1.0))
    odds += (parameters.r + x) * log((parameters.alpha + age) / (parameters.alpha + t_x))
    # By the sign, so that exp never overflows.
    return 1.0 / (1.0 + exp(odds)) if odds < 0 else exp(-odds) / (1.0 + exp(-odds))


def expected_purchases(
    parameters: BgNbd,
    x: float,
    t_x: float,
    age: float,
    horizon: float,
) -> float:
    """How many orders are to be expected within `horizon` days from now on.

    Equation (10) of the paper, see `_while_alive`, times the probability to be alive. Rounding
    is kept between nothing and what nobody's leaving would bring.
    """
    x = max(0.0, x)
    t_x, age = _ordered(t_x, age)
    if horizon <= 0.0:
        return 0.0
    most = (parameters.r + x) * horizon / (parameters.alpha + age)
    bought = _while_alive(parameters, x, horizon / (parameters.alpha + age + horizon))
    return min(max(0.0, bought), most) * alive(parameters, x, t_x, age)


def expected_value(parameters: GammaGamma, x: float, m: float) -> float:
    """The value an order of this person is expected to have, from `x` orders of mean value `m`.

    Fader & Hardie (2013), equation (5): p * (v + x * m) / (p * x + q - 1), which is the mean
    over all customers where nothing is known of this one. Values below nought count as none.
    """
    x, m = max(0.0, x), max(0.0, m)
    p, q, v = parameters.p, parameters.q, parameters.v
    return p * (v + x * m) / (p * x + q - 1.0)


def _ordered(t_x: float, age: float) -> tuple[float, float]:
    age = max(0.0, age)
    return min(max(0.0, t_x), age), age


def _while_alive(parameters: BgNbd, x: float, z: float) -> float:
    """What somebody who is alive now is expected to buy; z = horizon / (alpha + age + horizon).

    With A = r + x, B = b + x, C = a + b + x - 1 that is (1 - (1-z)**A * F(A, B; C; z)) * C / (a-1),
    where F is Gauss's hypergeometric function, or by Euler's transformation
    (1 - (1-z)**(a-1) * F(C - A, a - 1; C; z)) * C / (a-1). The second has no pole at a = 1
    and converges fast wherever A is not far below a - 1; there the first one does. In both the
    first term of F is taken out, or little would be left of the digits for small z.
    """
    rate, left = parameters.r + x, parameters.a - 1.0
    over = left + parameters.b + x
    log_rest = log1p(-z)
    if left > rate + TRANSFORMED_BELOW and rate * log_rest > LOG_LEAST:
        stays = rate * (parameters.b + x) * z * _series(rate, parameters.b + x, over, z)
        return (-over * expm1(rate * log_rest) - exp(rate * log_rest) * stays) / left
    shape = over - rate
    bought = -expm1(left * log_rest) / left if left else -log_rest
    return over * bought - exp(left * log_rest) * shape * z * _series(shape, left, over, z)


def _series(one: float, other: float, over: float, z: float) -> float:
    """Sum over n >= 0 of (one + 1)_n (other + 1)_n / ((over + 1)_n (n + 1)!) z ** n.

    It is (F(one, other; over; z) - 1) * over / (one * other * z). The ratio of its terms nears
    z: from the last one the rest is judged.
    """
    term = total = 1.0
    for n in range(1, SERIES_TERMS_MAX):
        ratio = (one + n) * (other + n) / ((over + n) * (n + 1.0)) * z
        term *= ratio
        total += term
        worst = max(abs(ratio), z)
        if worst < 1.0 and abs(term) * worst <= SERIES_TOLERANCE * abs(total) * (1.0 - worst):
            break
    return total
