"""Tags that are made of other tags and of traits, not of events."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from services.contracts.conditions import Condition, Duration, Identifier, Name

Label = Annotated[str, Meta(min_length=1, max_length=100)]
"""A value of a tag of bands or cases."""

BANDS_MAX: Final = 50
CASES_MAX: Final = 50
TERMS_MAX: Final = 20
PARAMETERS_MAX: Final = 20


class Ratio(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One number divided by another; null where either is missing or the divisor is 0."""

    of: Identifier
    to: Identifier | float


class Term(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A number tag, `times` as much."""

    of: Identifier
    times: float = 1.0


class Total(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The terms added up, and `plus`; null where one of them is missing."""

    terms: Annotated[tuple[Term, ...], Meta(min_length=1, max_length=TERMS_MAX)]
    plus: float = 0.0


class Band(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"from_": "from"},
):
    """Numbers from `from` on (inclusive) and `below` (exclusive); one side may be open."""

    label: Label
    from_: float | None = None
    below: float | None = None


class Bands(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The label of the band that a number is in; null outside all of them.

    Bands ascend and do not overlap; there may be room between two.
    """

    of: Identifier
    bands: Annotated[tuple[Band, ...], Meta(min_length=1, max_length=BANDS_MAX)]


class Score(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """1 to 5 by four cuts, as quintiles give them: 1 and how many cuts a number is beyond.

    By the rule `lte` it is not beyond a cut q where `x <= q`, by `lt_next` where `x < q + 1`.
    `reverse`: small numbers are good (recency), and the score is 6 less that. Whoever has no
    value of the tag `among` has no score. `by` population: a job puts the fifths of everybody
    who has one (docs/rfm.md) in place of these `cuts`.
    """

    of: Identifier
    among: Identifier | None = None
    by: Literal["fixed", "population"] = "fixed"
    cuts: Annotated[tuple[float, ...], Meta(min_length=4, max_length=4)]
    rule: Literal["lte", "lt_next"] = "lte"
    reverse: bool = False


class Case(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The label of whom a condition over tags and traits holds for."""

    label: Label
    when: Condition


class Predict(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a fitted repeat-purchase model says; null where an input is missing.

    `alive`: the probability of buying again at all; `purchases`: how many are expected within
    `horizon`; both by `bg_nbd`. `value`: the expected value of one purchase, by `gamma_gamma`.
    `frequency` is a tag of repeat purchases, `recency` and `tenure` tags of whole days since
    the last and the first one. For `gamma_gamma` `monetary` is a tag of the mean value of
    purchases, and `frequency` of how many of them there are: all, or all repeats.
    `parameters` are the model's, `fit` what the job that fitted them said of how well.
    """

    model: Literal["bg_nbd", "gamma_gamma"]
    output: Literal["alive", "purchases", "value"]
    frequency: Identifier
    recency: Identifier | None = None
    tenure: Identifier | None = None
    monetary: Identifier | None = None
    horizon: Duration = "30d"
    parameters: Annotated[dict[str, float], Meta(max_length=PARAMETERS_MAX)]
    fitted_at: Name | None = None
    fit: Annotated[dict[str, Any], Meta(max_length=50)] = {}


class Derive(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a derived tag is made of: exactly one of these.

    `trait`: the value at a dotted path of the traits. `age_of`: whole years since the ISO
    date of a trait, in the person's time zone. `cases`: the label of the first whose condition
    holds, else `otherwise`.
    """

    trait: Name | None = None
    age_of: Name | None = None
    ratio: Ratio | None = None
    total: Total | None = None
    bands: Bands | None = None
    score: Score | None = None
    cases: Annotated[tuple[Case, ...], Meta(max_length=CASES_MAX)] = ()
    otherwise: Label | None = None
    predict: Predict | None = None
