"""The starter set of tags: right as it is shipped, and right about people on every boundary."""

from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import Any

import msgspec
import pytest

from services.cli.definitions import example_files, read_definitions
from services.contracts.definitions import KINDS, Bundle, Tag
from services.contracts.time import DAY, HOUR
from services.profile_store.analysis.grids import Grid, segment_of
from services.triggers.engine import Rules, check, compile_rules
from services.triggers.engine.cities import standard_city
from services.triggers.engine.limits import TAG_READS_MAX
from tests.engine.build import NOON, Log, at

LAYERS = ("basic", "behaviour", "preference", "value", "predicted")


@cache
def bundle() -> Bundle:
    found = read_definitions(example_files("tags"))
    assert {one["kind"] for one in found} == {"tag"}
    tags = [
        msgspec.convert({name: one[name] for name in one if name != "kind"}, KINDS["tag"])
        for one in found
    ]
    return Bundle(revision=1, tags=tuple(one for one in tags if isinstance(one, Tag)))


@cache
def rules() -> Rules:
    return compile_rules(bundle())


def somebody(**traits: Any) -> Log:
    log = Log(rules=rules(), reload=True)
    if traits:
        log.identify(traits)
    return log


def orders(amounts: Iterable[float], **properties: Any) -> Log:
    log = somebody()
    for amount in amounts:
        log.event("Order Completed", {"revenue": amount, **properties})
    return log


def test_the_set_is_right_and_every_tag_says_what_a_team_has_to_know() -> None:
    assert check(bundle()) == []
    assert {one.layer for one in bundle().tags} == set(LAYERS)
    for one in bundle().tags:
        assert one.source, one.id
        assert one.owner, one.id
        assert one.review_by, one.id
        # The name in English, and in Chinese.
        assert " / " in one.name, one.id
        assert not one.name.isascii(), one.id


def test_a_person_of_whom_nothing_is_known_has_no_label_but_that_they_are_worth_nothing() -> None:
    log = somebody()
    labels = {
        one.id: log.tag(one.id)
        for one in bundle().tags
        if one.derive is not None and (one.derive.bands or one.derive.cases or one.derive.score)
    }
    assert labels.pop("value_level") == "0-500"
    assert set(labels.values()) == {None}


@pytest.mark.parametrize(
    ("birthday", "band"),
    [
        ("2008-06-11", "under_18"), ("2008-06-10", "18-24"), ("2001-06-11", "18-24"),
        ("2001-06-10", "25-34"), ("1991-06-10", "35-44"), ("1981-06-10", "45-54"),
        ("1971-06-11", "45-54"), ("1971-06-10", "55+"), ("1850-01-01", None),
        ("unknown", None),
    ],
)  # fmt: skip
def test_age_bands_change_on_the_birthday(birthday: str, band: str | None) -> None:
    assert somebody(birthday=birthday).tag("age_band") == band


@pytest.mark.parametrize(
    ("city", "region", "tier"),
    [
        ("深圳", "south", "first"), ("上海市", "east", "first"), ("北京", "north", "first"),
        ("成都", "southwest", "new_first"), ("重庆", "southwest", "new_first"),
        ("合肥市", "east", "new_first"), ("武汉", "central", "new_first"),
        ("西安", "northwest", "new_first"), ("沈阳", "northeast", "other"), ("Bern", None, None),
    ],
)  # fmt: skip
def test_region_and_tier_go_by_the_form_that_cleaning_gives_a_city(
    city: str, region: str | None, tier: str | None
) -> None:
    log = somebody(city=standard_city(city))
    assert (log.tag("region"), log.tag("city_tier")) == (region, tier)


def test_what_people_say_of_themselves_and_where_they_came_from() -> None:
    log = somebody(gender="female", occupation="nurse")
    log.event("Signed Up", {"channel": "wechat"})
    log.event("Signed Up", {"channel": "mail"}, now=NOON + DAY)
    told = [log.tag(one) for one in ("gender", "occupation", "source_channel", "days_known")]
    assert told == ["female", "nurse", "wechat", 1]


@pytest.mark.parametrize(
    ("count", "level", "monthly"),
    [
        (0, None, None), (1, "1-2", None), (2, "1-2", "frequent"), (3, "3-5", "frequent"),
        (5, "3-5", "frequent"), (6, ">5", "frequent"),
    ],
)  # fmt: skip
def test_purchases_of_six_months_and_of_a_month(
    count: int, level: str | None, monthly: str | None
) -> None:
    log = orders([10.0] * count)
    assert (log.tag("purchase_level"), log.tag("monthly_buyer")) == (level, monthly)
    assert log.tag("orders_per_month") == round(count / 6, 6)
    assert log.tag("purchase_level", NOON + 190 * DAY) is None
    assert log.tag("monthly_buyer", NOON + 32 * DAY) is None


@pytest.mark.parametrize(
    ("promotions", "others", "sensitivity"),
    [
        (0, 0, None), (0, 4, "low"), (2, 0, "low"), (3, 9, "middle"), (4, 0, "middle"),
        (5, 0, "high"), (6, 6, "high"),
    ],
)  # fmt: skip
def test_price_sensitivity_by_promotions_in_six_months(
    promotions: int, others: int, sensitivity: str | None
) -> None:
    log = orders([10.0] * others)
    for _ in range(promotions):
        log.event("Order Completed", {"revenue": 8.0, "coupon": "SUMMER"})
    total = promotions + others
    assert log.tag("price_sensitivity") == sensitivity
    assert log.tag("promotion_share") == (round(promotions / total, 6) if total else None)


@pytest.mark.parametrize(
    ("amounts", "refund", "level"),
    [
        ([], 0, "0-500"), ([0.0], 0, "0-500"), ([500.0], 0, "0-500"), ([500.01], 0, "501-2000"),
        ([501.0], 0, "501-2000"), ([1999.99, 0.01], 0, "501-2000"), ([2000.01], 0, ">2000"),
        ([2500.0], 500, "501-2000"), ([600.0], 100, "0-500"), ([600.0], 601, None),
    ],
)  # fmt: skip
def test_lifetime_value_is_net_of_refunds(
    amounts: list[float], refund: float, level: str | None
) -> None:
    log = orders(amounts)
    if refund:
        log.event("Order Refunded", {"total": refund})
    assert log.tag("lifetime_value") == sum(amounts) - refund
    assert log.tag("value_level") == level


def test_repurchase_rate_is_the_share_of_repeat_purchases() -> None:
    rates = [orders([1.0] * count).tag("repurchase_rate") for count in (0, 1, 2, 4)]
    assert rates == [None, 0.0, 0.5, 0.75]


@pytest.mark.parametrize("name", ["Signed In", "Order Completed"])
def test_at_risk_is_who_did_neither_log_in_nor_buy_for_60_days(name: str) -> None:
    log = somebody()
    log.event(name, {"revenue": 1.0})
    days = [log.tag("at_risk", NOON + 60 * DAY + later) for later in (-1, 0, 900 * DAY)]
    assert days == ["active", "at_risk", "at_risk"]
    log.event("Signed In", now=NOON + 61 * DAY)
    assert log.tag("at_risk") == "active"


@pytest.mark.parametrize(
    ("amounts", "label"),
    [([95.99], None), ([96.0], "high_potential"), ([80.0, 112.0], "high_potential"), ([80], None)],
)
def test_high_potential_is_a_fifth_over_the_trades_mean(
    amounts: list[float], label: str | None
) -> None:
    assert orders(amounts).tag("high_potential") == label


def test_hours_days_and_channels_in_which_most_happens() -> None:
    log = somebody(timezone="Asia/Shanghai")
    evening = at("2026-06-01T21:15:00+08:00")
    for day in range(6):
        log.event("Signed In", now=evening + day * DAY)
        log.event("Product Viewed", {"channel": "app", "seconds": 100 + day})
    log.event("Order Completed", {"channel": "web"}, now=log.now + HOUR)
    assert log.tag("active_hours") == [21, 22]
    assert log.tag("active_days_30d") == 6
    assert log.tag("channel_preference") == ["app"]
    assert (log.tag("stay_seconds_30d"), log.tag("stay_level")) == (102.5, "browse")


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(29.9, "glance"), (30, "browse"), (179.9, "browse"), (180, "deep")],
)
def test_stay_time_is_a_glance_or_browsing_or_deep(seconds: float, level: str) -> None:
    log = somebody()
    log.event("Product Viewed", {"seconds": seconds})
    assert log.tag("stay_level") == level


def test_favourite_categories_and_styles() -> None:
    log = somebody()
    for category, style in (("shoes", "sport"), ("bags", "classic"), ("shoes", "sport")):
        log.event("Product Viewed", {"category": category, "style": style})
    assert log.tag("top_categories") == ["shoes", "bags"]
    assert log.tag("top_styles") == ["sport", "classic"]


def test_scores_by_the_cuts_they_begin_with() -> None:
    log = orders([100.0, 0.01])
    assert [log.tag(f"rfm_{one}") for one in ("recency", "frequency", "monetary")] == [5, 2, 2]
    assert log.tag("rfm_recency", NOON + 30 * DAY) == 5
    assert log.tag("rfm_recency", NOON + 31 * DAY) == 4
    assert log.tag("rfm_recency", NOON + 181 * DAY) == 1


@pytest.mark.parametrize(("tag", "grid"), [("rfm_segment", "simple"), ("rfm_grid", "eleven")])
def test_the_grids_name_every_score_as_the_command_line_does(tag: str, grid: Grid) -> None:
    named = segment_of(grid)
    scored = ("rfm_recency", "rfm_frequency", "rfm_monetary")
    given = {one.id: one for one in bundle().tags if one.id in ("rfm_worth", tag)}
    for name in scored:
        given[name] = msgspec.convert({"id": name, "derive": {"trait": name}}, Tag)
    log = Log(rules=compile_rules(Bundle(revision=1, tags=tuple(given.values()))))
    for r, f, m in product(range(1, 6), repeat=3):
        log.state.traits = dict(zip(scored, (r, f, m), strict=True))
        assert log.tag(tag) == named(r, f, m), (r, f, m)


def test_predictions_fall_with_silence_and_rise_with_purchases() -> None:
    log = somebody()
    for week in range(5):
        log.event("Order Completed", {"revenue": 100.0}, now=NOON + week * 7 * DAY)
    regular = log.tag("alive")
    assert log.tag("churn_risk") == "low"
    assert log.tag("expected_orders_90d") > 2
    # Drawn from 100 towards the mean of everybody, 6.25 * 15.44 / 2.74.
    assert 35.2 < log.tag("expected_order_value") < 100
    assert log.tag("future_value") == "high"
    silent = log.now + 200 * DAY
    assert log.tag("alive", silent) < regular
    assert (log.tag("churn_risk", silent), log.tag("future_value", silent)) == ("high", "normal")


def test_the_whole_set_is_far_from_what_a_workspace_may_read() -> None:
    assert len(bundle().tags) < 60
    assert len(rules().derived) < TAG_READS_MAX
