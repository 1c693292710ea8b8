"""The tag values that profiles must hold, from the lines of each person alone.

Exact for every tag but two: `distinct` is exact up to 64 values and an estimate beyond,
`top_k` ranks the 64 heaviest values it has met. For people beyond 64 products these two are
held to what the documentation promises instead.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from tests.e2e.retail_pandas import DAY, HOUR, in_days

EXACT_VALUES_MAX: Final = 64
SIGMAS: Final = 4.0
SAMPLE_MIN: Final = 32
"""An estimate rests on 32 to 64 values when they are most; fewer once the window holds less."""
TOP: Final = 5
HALF_LIFE: Final = 30 * DAY
WEIGHT_ERROR_MAX: Final = 1e-9


def in_hours(at: int, now: int) -> bool:
    """Whether the rolling 24 hours that end now still hold the hour of `at`."""
    return now < (at // HOUR + 1) * HOUR + DAY


def exact_values(rows: pd.DataFrame, now: int) -> dict[str, Any]:
    """Every tag but the estimates, at `now`; amounts in mills, the average as sum and count."""
    bought = rows[rows["kind"] == "bought"]
    returned = rows[rows["kind"] == "returned"]
    told = rows[rows["kind"] != "adjusted"]

    def within(lines: pd.DataFrame, days: int) -> pd.DataFrame:
        # A bare empty list would choose no columns where there are no lines.
        return lines.loc[np.array([in_days(day, now, days) for day in lines["day"]], dtype=bool)]

    last_30d, last_60d, last_90d = (within(bought, days) for days in (30, 60, 90))
    returned_90d = within(returned, 90)
    return {
        "purchases": len(bought),
        "purchases_60d": len(last_60d),
        "lines_24h": sum(in_hours(at, now) for at in bought["at"]),
        "orders_30d": int(last_30d["invoice"].nunique()),
        "products_90d": int(last_90d["product"].nunique()),
        "spend_30d": int(last_30d["revenue"].sum()),
        "spend_lifetime": int(bought["revenue"].sum()),
        "line_average": (int(bought["revenue"].sum()), len(bought)),
        "line_largest_90d": int(last_90d["revenue"].max()) if len(last_90d) else None,
        "price_lowest": int(bought["mills"].min()) if len(bought) else None,
        "bulk_lines_90d": int((last_90d["quantity"] >= 12).sum()),
        "returns_90d": len(returned_90d),
        "returned_value_90d": int(returned_90d["revenue"].sum()),
        "first_order": bought["invoice"].iloc[0] if len(bought) else None,
        "last_order": bought["invoice"].iloc[-1] if len(bought) else None,
        "last_country": told["country"].iloc[-1] if len(told) else None,
    }


AMOUNTS: Final = frozenset(
    {"spend_30d", "spend_lifetime", "line_largest_90d", "price_lowest", "returned_value_90d"}
)
TAGS: Final = frozenset({
    "purchases", "purchases_60d", "lines_24h", "orders_30d", "products_90d", "spend_30d",
    "spend_lifetime", "line_average", "line_largest_90d", "price_lowest", "bulk_lines_90d",
    "returns_90d", "returned_value_90d", "first_order", "last_order", "last_country",
    "top_products",
})  # fmt: skip


def weights(bought: pd.DataFrame, now: int) -> dict[str, float]:
    """How heavy each product is: 1 for each line, halved every 30 days."""
    found: dict[str, float] = {}
    for product, at in zip(bought["product"], bought["at"], strict=True):
        found[product] = found.get(product, 0.0) + 2.0 ** ((at - now) / HALF_LIFE)
    return found


def _same(name: str, value: Any, wanted: Any) -> bool:
    if name == "line_average":
        total, count = wanted
        if not count:
            return value is None
        return value is not None and abs(value - total / 1000 / count) <= 1e-6
    if name in AMOUNTS and wanted is not None:
        return isinstance(value, int | float) and abs(value * 1000 - wanted) <= 1e-3
    return bool(value == wanted)


def _error_max(wanted: int, ever: int) -> float:
    """Four standard errors of counting a sample, of which each value stands for several."""
    stands_for = max(1.0, (wanted if wanted > EXACT_VALUES_MAX else ever) / SAMPLE_MIN)
    return SIGMAS * math.sqrt(wanted * stands_for)


def _wrong_top(top: list[str], bought: pd.DataFrame, now: int) -> str | None:
    heavy = weights(bought, now)
    if len(set(top)) != len(top) or not set(top) <= set(heavy):
        return f"{top} are not different products of this person"
    if len(top) != min(TOP, len(heavy)):
        return f"{len(top)} products, not {min(TOP, len(heavy))}"
    if len(heavy) > EXACT_VALUES_MAX:
        return None
    best = sorted(heavy.values(), reverse=True)[:TOP]
    given = [heavy[product] for product in top]
    off = [abs(one - other) / other for one, other in zip(given, best, strict=True)]
    return f"weights {given}, not {best}" if max(off, default=0.0) > WEIGHT_ERROR_MAX else None


@dataclass(frozen=True)
class Profile:
    """A profile as it stands in PostgreSQL; `as_of` in seconds."""

    as_of: int
    tags: Mapping[str, Any]
    approximate: frozenset[str]
    messages_accepted: int


def wrong_profile(rows: pd.DataFrame, profile: Profile) -> list[str]:
    """What is wrong with one person's tags, given their lines without duplicates."""
    now, tags = profile.as_of, profile.tags
    if set(tags) != TAGS:
        return [f"tags {sorted(tags)}, not {sorted(TAGS)}"]
    bought = rows[rows["kind"] == "bought"]
    wrong: list[str] = []
    estimated = "products_90d" in profile.approximate
    if estimated and bought["product"].nunique() <= EXACT_VALUES_MAX:
        wrong.append("products_90d is an estimate of few values")
    for name, wanted in exact_values(rows, now).items():
        value = tags[name]
        if name == "products_90d" and estimated:
            if abs(value - wanted) > _error_max(wanted, bought["product"].nunique()):
                wrong.append(f"{name} is about {value}, not near {wanted}")
        elif not _same(name, value, wanted):
            wrong.append(f"{name} is {value}, not {wanted}")
    top = _wrong_top(tags["top_products"], bought, now)
    return wrong if top is None else [*wrong, f"top_products: {top}"]


def wrong_profiles(known: pd.DataFrame, profiles: Mapping[str, Profile]) -> list[str]:
    """What is wrong with all profiles, given all lines of known customers."""
    once = known[~known["duplicate"]].groupby("customer", sort=False)
    people = {str(person): rows for person, rows in once}
    wrong = [f"{person}: no profile" for person in people.keys() - profiles.keys()]
    wrong += [f"{person}: unknown" for person in profiles.keys() - people.keys()]
    for person in people.keys() & profiles.keys():
        rows, profile = people[person], profiles[person]
        if profile.as_of < rows["at"].iloc[-1]:
            wrong.append(f"{person}: the profile is older than the last line")
        wrong += [f"{person}: {what}" for what in wrong_profile(rows, profile)]
    return wrong
