"""RFM by hand: what counts as a day, an order and a refund, and where a score begins."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.time import DAY, HOUR, Micros
from services.profile_store.analysis.grids import ELEVEN, SIMPLE, segment_of
from services.profile_store.analysis.rfm import (
    SCORES,
    Book,
    Payment,
    Rfm,
    beyond,
    counts,
    cuts_of,
    fifths,
    population,
    score,
    scored,
)

NOW: Micros = 20_000 * DAY
NUMBERS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=40)


def paid(amount: str, ago: int, *, order: str | None = None, orders: bool = True) -> Payment:
    return Payment(customer="ada", at=NOW - ago, amount=Decimal(amount), order=order, orders=orders)


def rfm_of(*payments: Payment, by_day: bool = False) -> Rfm:
    book = Book(NOW, (lambda at: at // DAY) if by_day else None)
    for payment in payments:
        book.add(payment)
    (one,) = book.customers()
    return one


def test_recency_counts_whole_days_of_24_hours_from_the_last_order() -> None:
    assert rfm_of(paid("1", 2 * DAY), paid("1", 9 * DAY)).recency == 2
    assert rfm_of(paid("1", 2 * DAY - 1)).recency == 1
    assert rfm_of(paid("1", 0)).recency == 0


def test_a_refund_lowers_the_money_and_is_neither_an_order_nor_recent() -> None:
    one = rfm_of(paid("100", 9 * DAY, order="a"), paid("-30.10", DAY, order="b"))
    assert (one.recency, one.frequency, one.monetary) == (9, 1, 69.9)


def test_refunds_may_take_the_money_below_nought() -> None:
    assert rfm_of(paid("10", DAY), paid("-25", DAY)).monetary == -15


def test_what_only_changes_the_balance_is_no_order() -> None:
    one = rfm_of(paid("10", 3 * DAY), paid("5", DAY, orders=False))
    assert (one.recency, one.frequency, one.monetary) == (3, 1, 15)


def test_lines_of_one_order_are_one_order_and_lines_without_are_one_each() -> None:
    lines = [paid("1", DAY, order="a"), paid("1", DAY, order="a"), paid("1", DAY), paid("1", DAY)]
    assert rfm_of(*lines).frequency == 3


def test_orders_of_one_day_merge_when_asked_to() -> None:
    lines = [paid("1", 2 * HOUR, order="a"), paid("1", 3 * HOUR, order="b"), paid("1", 30 * HOUR)]
    assert rfm_of(*lines).frequency == 3
    assert rfm_of(*lines, by_day=True).frequency == 2


def test_somebody_with_refunds_only_has_no_rfm_and_is_counted() -> None:
    book = Book(NOW)
    book.add(paid("-5", DAY))
    assert book.customers() == []
    assert book.without_order == 1


def test_payments_after_the_instant_are_left_out_and_counted() -> None:
    book = Book(NOW)
    book.add(paid("5", 0))
    book.add(paid("7", -1))
    assert [one.monetary for one in book.customers()] == [5]
    assert book.later == 1


def test_cents_add_up_exactly() -> None:
    assert rfm_of(*[paid("0.1", DAY)] * 30).monetary == 3.0


def test_fifths_are_quantiles_of_type_seven() -> None:
    # As R says: quantile(c(1, 2, 4, 8, 16, 32, 64), c(.2, .4, .6, .8), type = 7)
    assert fifths([64, 1, 32, 2, 16, 4, 8]) == pytest.approx((2.4, 5.6, 12.8, 28.8))
    assert fifths([1, 2, 3, 4, 5, 6]) == (2.0, 3.0, 4.0, 5.0)
    assert fifths([7]) == (7.0, 7.0, 7.0, 7.0)
    with pytest.raises(ValueError, match="no values"):
        fifths([])


@pytest.mark.parametrize(
    ("x", "lte", "lt_next"),
    [(9, 1, 1), (10, 1, 1), (10.5, 2, 1), (11, 2, 2), (40, 4, 4), (41, 5, 5)],
)
def test_both_boundary_rules_begin_where_they_say(x: float, lte: int, lt_next: int) -> None:
    cuts = (10.0, 20.0, 30.0, 40.0)
    assert (score(x, cuts, "lte"), score(x, cuts, "lt_next")) == (lte, lt_next)
    assert score(x, cuts, "lte", reverse=True) == 6 - lte
    assert score(x, cuts, "lt_next", reverse=True) == 6 - lt_next


def test_the_rules_agree_on_whole_cuts_and_part_on_others() -> None:
    assert beyond(3, 2.5, "lte")
    assert not beyond(3, 2.5, "lt_next")
    assert beyond(3, 2, "lte") == beyond(3, 2, "lt_next")


@settings(max_examples=15, deadline=None)
@given(values=NUMBERS)
def test_more_is_never_scored_less_and_everybody_has_one_score(values: list[int]) -> None:
    cuts = fifths(values)
    scores = [score(value, cuts) for value in sorted(values)]
    assert scores == sorted(scores)
    assert sum(counts(values, cuts, "lt_next").values()) == len(values)
    assert set(counts(values, cuts, "lte")) == set(SCORES)


def test_people_are_counted_by_each_rule_and_recency_is_turned_round() -> None:
    people = [Rfm(customer=str(n), recency=n, frequency=n, monetary=n / 4) for n in range(1, 11)]
    cuts = cuts_of(people)
    assert population(people, cuts, "lte")["frequency"] == {1: 2, 2: 2, 3: 2, 4: 2, 5: 2}
    assert population(people, cuts, "lt_next")["monetary"] == {1: 6, 2: 2, 3: 2, 4: 0, 5: 0}
    by_name = {one.rfm.customer: one for one in scored(people, cuts, "lte", segment_of("simple"))}
    assert (by_name["1"].r, by_name["1"].f, by_name["10"].r) == (5, 1, 1)


def test_the_grids_name_every_score_and_use_every_name() -> None:
    assert len({name for row in ELEVEN for name in row}) == 11
    assert {name for row in SIMPLE for name in row} == {
        "high_value", "potential", "general", "at_risk",
    }  # fmt: skip
    for table in (ELEVEN, SIMPLE):
        assert [len(row) for row in table] == [5] * 5


@pytest.mark.parametrize(
    ("scores", "eleven", "simple"),
    [
        ((5, 5, 5), "champion", "high_value"),
        ((5, 1, 1), "new", "potential"),
        ((3, 4, 5), "loyal", "high_value"),
        ((1, 5, 4), "cant_lose", "at_risk"),
        ((2, 3, 2), "at_risk", "at_risk"),
        ((1, 1, 1), "lost", "general"),
        ((3, 1, 2), "about_to_sleep", "general"),
    ],
)
def test_scores_get_the_names_of_the_tables(
    scores: tuple[int, int, int], eleven: str, simple: str
) -> None:
    assert segment_of("eleven")(*scores) == eleven
    assert segment_of("simple")(*scores) == simple
