"""RFM: how recently, how often and for how much somebody bought, and scores from 1 to 5.

Definitions, docs/rfm.md says them at length:

- recency: whole days of 24 hours between the last order and the instant asked about;
- frequency: orders, or with `by_day` the civil days of a time zone on which there was one;
- monetary: all amounts of a person, refunds (below nought) taken off.

Somebody with refunds only never ordered and has no RFM.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from services.contracts.time import DAY, Micros

Rule = Literal["lte", "lt_next"]
RULES: Final[tuple[Rule, ...]] = ("lte", "lt_next")
Cuts: TypeAlias = tuple[float, float, float, float]
SCORES: Final = (1, 2, 3, 4, 5)
FIFTHS: Final = 5


class Payment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of somebody's account: an amount, below nought for a refund.

    Lines with one `order` are one order; None is an order of its own. `orders` is False for
    what changes the balance and is no order.
    """

    customer: str
    at: Micros
    amount: Decimal
    order: str | None = None
    orders: bool = True


class Rfm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is scored of one customer; `monetary` to six decimals, in the file's currency."""

    customer: str
    recency: int
    frequency: int
    monetary: float


class _Account:
    """What is kept of a customer while the payments pass."""

    __slots__ = ("last_at", "loose", "orders", "total")

    def __init__(self) -> None:
        self.last_at: Micros | None = None
        self.orders: set[str | int] = set()
        self.loose = 0
        self.total = Decimal(0)


class Book:
    """Accounts of all customers at one instant: payments go in one by one, in any order.

    `day_of` numbers the civil day of an instant; given, orders of one day are one order.
    `later` counts payments after the instant, which are left out.
    """

    def __init__(self, at: Micros, day_of: Callable[[Micros], int] | None = None) -> None:
        self.later = 0
        self._at = at
        self._day_of = day_of
        self._accounts: dict[str, _Account] = {}

    def add(self, payment: Payment) -> None:
        """Take one payment in."""
        if payment.at > self._at:
            self.later += 1
            return
        account = self._accounts.setdefault(payment.customer, _Account())
        account.total += payment.amount
        if payment.amount < 0 or not payment.orders:
            return
        if account.last_at is None or payment.at > account.last_at:
            account.last_at = payment.at
        if self._day_of is not None:
            account.orders.add(self._day_of(payment.at))
        elif payment.order is None:
            account.loose += 1
        else:
            account.orders.add(payment.order)

    def customers(self) -> list[Rfm]:
        """Everybody who ordered, by name."""
        return [
            Rfm(
                customer=customer,
                recency=(self._at - account.last_at) // DAY,
                frequency=len(account.orders) + account.loose,
                monetary=float(round(account.total, 6)),
            )
            for customer, account in sorted(self._accounts.items())
            if account.last_at is not None
        ]

    @property
    def without_order(self) -> int:
        """How many customers have refunds and adjustments, but no order."""
        return sum(account.last_at is None for account in self._accounts.values())


def fifths(values: Iterable[float]) -> Cuts:
    """The quantiles at .2, .4, .6 and .8 of type 7 (Hyndman & Fan 1996), as R and numpy.

    Places are found in whole fifths: one that falls on a value is exactly that value.

    Raises:
        ValueError: there is no value.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values to cut")

    def cut(fifth: int) -> float:
        place, rest = divmod((len(ordered) - 1) * fifth, FIFTHS)
        low = ordered[place]
        return low + (ordered[place + 1] - low) * rest / FIFTHS if rest else float(low)

    return cut(1), cut(2), cut(3), cut(4)


def beyond(x: float, cut: float, rule: Rule) -> bool:
    """Whether a number lies beyond a cut: not `x <= cut`, or not `x < cut + 1`."""
    return not (x <= cut if rule == "lte" else x < cut + 1)


def score(x: float, cuts: Cuts, rule: Rule = "lte", *, reverse: bool = False) -> int:
    """1 to 5: one and how many cuts `x` is beyond; with `reverse` six less that."""
    passed = sum(beyond(x, cut, rule) for cut in cuts)
    return FIFTHS - passed if reverse else 1 + passed


def counts(
    values: Iterable[float], cuts: Cuts, rule: Rule, *, reverse: bool = False
) -> dict[int, int]:
    """How many of `values` get each score, none left out."""
    given = Counter(score(value, cuts, rule, reverse=reverse) for value in values)
    return {one: given[one] for one in SCORES}


class Scored(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A customer's scores: 5 is the best of each, for recency too."""

    rfm: Rfm
    r: int
    f: int
    m: int
    segment: str


def cuts_of(customers: Sequence[Rfm]) -> dict[str, Cuts]:
    """The population's fifths of recency, frequency and monetary.

    Raises:
        ValueError: there are no customers.
    """
    return {
        "recency": fifths([one.recency for one in customers]),
        "frequency": fifths([one.frequency for one in customers]),
        "monetary": fifths([one.monetary for one in customers]),
    }


def scored(
    customers: Iterable[Rfm],
    cuts: Mapping[str, Cuts],
    rule: Rule,
    segment_of: Callable[[int, int, int], str],
) -> list[Scored]:
    """Every customer with scores and the name that `segment_of` gives to them."""
    found = []
    for one in customers:
        r = score(one.recency, cuts["recency"], rule, reverse=True)
        f = score(one.frequency, cuts["frequency"], rule)
        m = score(one.monetary, cuts["monetary"], rule)
        found.append(Scored(rfm=one, r=r, f=f, m=m, segment=segment_of(r, f, m)))
    return found


def population(
    customers: Sequence[Rfm], cuts: Mapping[str, Cuts], rule: Rule
) -> dict[str, dict[int, int]]:
    """How many customers get each score of recency, frequency and monetary by one rule."""
    return {
        name: counts(
            [getattr(one, name) for one in customers], cut, rule, reverse=name == "recency"
        )
        for name, cut in cuts.items()
    }
