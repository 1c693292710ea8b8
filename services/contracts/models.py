"""Parameters of the repeat-purchase models: what a job fits and the stream scores with.

BG/NBD: Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to
the Pareto/NBD Model, Marketing Science 24(2). Gamma-gamma: Fader & Hardie (2013), The
Gamma-Gamma Model of Monetary Value (note at brucehardie.com/notes/025).
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

PARAMETER_MIN: Final = 1e-4
PARAMETER_MAX: Final = 1e6
"""A fit that runs to either end says that the data does not know the parameter."""

Parameter = Annotated[float, Meta(ge=PARAMETER_MIN, le=PARAMETER_MAX)]


class BgNbd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Orders come at a rate drawn from Gamma(r, alpha); after each, a customer leaves with a
    probability drawn from Beta(a, b). Time is in days: `alpha` is, the others have no unit.
    """

    r: Parameter
    alpha: Parameter
    a: Parameter
    b: Parameter


class GammaGamma(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values of a customer's orders follow Gamma(p, nu), and nu Gamma(q, v) over customers.

    `v` is in the currency of the orders. The mean value over customers exists for `q` > 1.
    """

    p: Parameter
    q: Annotated[float, Meta(gt=1, le=PARAMETER_MAX)]
    v: Parameter
