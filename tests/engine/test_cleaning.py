"""Cleaning in the fold: what rules do to events, traits and averages, and what they report."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Tag, Trigger
from services.contracts.errors import Malformed
from services.triggers.engine import check, compile_rules, encode_state
from tests.engine.build import Log, bundle, tag, trigger

AMOUNT = {"id": "amount", "events": ["order"], "property": "amount"}


def log_of(*rules: dict[str, Any], definitions: tuple[Tag | Trigger, ...] = ()) -> Log:
    """A log under these rules of cleaning, reloaded before every record."""
    return Log(rules=compile_rules(bundle(*definitions, cleaning=list(rules))), reload=True)


def faults(log: Log) -> list[tuple[str, str]]:
    return [(one.rule, one.fault) for one in log.out.findings]


def test_a_property_is_brought_into_form_before_tags_and_conditions_see_it() -> None:
    rule = {**AMOUNT, "form": "number"}
    total = tag("spent", "sum")
    hello = trigger(
        entry={"events": ["order"], "where": {"property": "amount", "op": "gt", "value": 1000}}
    )
    log = log_of(rule, definitions=(total, hello))
    log.event("order", {"amount": "1,200.5"})
    assert log.tag("spent") == 1200.5
    assert [command.trigger for command in log.out.commands] == ["hello"]
    assert faults(log) == [("amount", "respelled")]


def test_what_cannot_be_read_is_unknown_and_enters_no_sum() -> None:
    log = log_of({**AMOUNT, "form": "number"}, definitions=(tag("spent", "sum"),))
    log.event("order", {"amount": "a lot"})
    assert log.tag("spent") == 0
    assert faults(log) == [("amount", "unknown")]
    assert log.out.findings[0].sample == "a lot"


def test_an_impossible_value_is_taken_out_and_the_rest_goes_on() -> None:
    orders = tag("orders", "count")
    log = log_of({**AMOUNT, "min": 0}, definitions=(tag("spent", "sum"), orders))
    log.event("order", {"amount": -100})
    assert (log.tag("spent"), log.tag("orders")) == (0, 1)
    assert faults(log) == [("amount", "quarantined")]


def test_an_impossible_value_may_refuse_the_event_and_changes_nothing() -> None:
    log = log_of(
        {**AMOUNT, "min": 0, "impossible": "refuse"}, definitions=(tag("orders", "count"),)
    )
    log.event("order", {"amount": 5})
    before = encode_state(log.state)
    with pytest.raises(Malformed, match="rule amount") as refused:
        log.event("order", {"amount": -100})
    assert refused.value.code == "impossible"
    assert encode_state(log.state) == before


def test_missing_values_are_filled_inferred_or_unknown() -> None:
    city = {"id": "city", "trait": "city", "missing": {"infer": "zip", "table": {"518000": "SZ"}}}
    level = {"id": "level", "trait": "level", "missing": {"fill": "basic"}}
    job = {"id": "job", "trait": "job", "missing": {"unknown": True}}
    log = log_of(city, level, job)
    log.identify({"zip": "518000"})
    assert log.state.traits == {"zip": "518000", "city": "SZ", "level": "basic", "job": "unknown"}
    assert faults(log) == [("city", "inferred"), ("level", "filled"), ("job", "unknown")]


def test_what_is_known_of_a_person_is_not_missing() -> None:
    log = log_of({"id": "job", "trait": "job", "missing": {"unknown": True}})
    log.identify({"job": "smith"})
    log.identify({"name": "Ada"})
    assert log.state.traits["job"] == "smith"
    assert faults(log) == []


def test_a_table_that_does_not_know_gives_unknown() -> None:
    rule = {"id": "city", "trait": "city", "missing": {"infer": "zip", "table": {"1": "one"}}}
    log = log_of(rule)
    log.identify({"zip": "2"})
    assert log.state.traits["city"] == "unknown"


def test_nested_values_are_cleaned_where_they_stand() -> None:
    rule = {"id": "city", "trait": "address.city", "form": "city"}
    log = log_of(rule)
    log.identify({"address": {"city": "深圳", "zip": "1"}})
    assert log.state.traits["address"] == {"city": "广东省-深圳市", "zip": "1"}


def test_samples_of_personal_data_show_their_shape_only() -> None:
    log = log_of({"id": "phone", "trait": "phone", "form": "phone"})
    log.identify({"phone": "ext. 12-34"})
    assert log.out.findings[0].sample == "xxx. 99-99"


def test_an_event_that_comes_again_is_a_finding_of_its_source() -> None:
    log = log_of()
    log.event("order", id_="one", context={"source": "shop"})
    log.event("order", id_="one", context={"source": "shop"})
    assert [(one.fault, one.source, one.message_id) for one in log.out.findings] == [
        ("duplicate", "shop", "one")
    ]


OUTLIER = {**AMOUNT, "outlier": {"at_least": 5}}


def ten_orders(log: Log) -> None:
    for number in range(10):
        log.event("order", {"amount": 90 + 2 * number})


def test_an_outlier_stays_out_of_averages_and_is_named() -> None:
    mean = tag("mean", "average")
    whale = trigger(
        entry={
            "events": ["order"],
            "where": {"property": "$outliers", "op": "contains", "value": "amount"},
        }
    )
    log = log_of(OUTLIER, definitions=(mean, tag("spent", "sum"), whale))
    ten_orders(log)
    assert log.tag("mean") == 99
    log.event("order", {"amount": 10_000})
    assert (log.tag("mean"), log.tag("spent")) == (99, 10_990)
    assert faults(log) == [("amount", "outlier")]
    assert len(log.out.commands) == 1


def test_once_confirmed_it_counts_and_judges_those_after_it() -> None:
    log = log_of(OUTLIER, definitions=(tag("mean", "average"),))
    ten_orders(log)
    log.event("order", {"amount": 10_000}, id_="big")
    log.event("Outlier Confirmed", {"message_id": "big"})
    assert log.tag("mean") == pytest.approx(10_990 / 11)
    assert faults(log) == [("amount", "outlier"), ("amount", "confirmed")]
    log.event("order", {"amount": 9_000})
    assert faults(log)[2:] == []
    # A second confirmation finds nothing to confirm.
    mean = log.tag("mean")
    log.event("Outlier Confirmed", {"message_id": "big"})
    assert log.tag("mean") == mean


def test_a_confirmed_average_moves_who_waits_for_it() -> None:
    rich = trigger(entry={"threshold": {"tag": "mean", "direction": "up", "bound": 500}})
    log = log_of(OUTLIER, definitions=(tag("mean", "average"), rich))
    ten_orders(log)
    log.event("order", {"amount": 10_000}, id_="big")
    assert log.out.commands == []
    log.event("Outlier Confirmed", {"message_id": "big"})
    assert [one.trigger for one in log.out.commands] == ["hello"]


def test_who_always_pays_the_same_is_no_outlier_with_the_next_price() -> None:
    log = log_of(OUTLIER)
    for _ in range(10):
        log.event("order", {"amount": 10})
    log.event("order", {"amount": 12})
    assert faults(log) == []
    log.event("order", {"amount": 20})
    assert faults(log) == [("amount", "outlier")]


def test_the_populations_distribution_judges_the_first_value_already() -> None:
    rule = {**AMOUNT, "outlier": {"of": "population", "mean": 100, "deviation": 10}}
    log = log_of(rule)
    log.event("order", {"amount": 130})
    assert faults(log) == []
    log.event("order", {"amount": 130.5})
    assert faults(log) == [("amount", "outlier")]


def test_nobody_else_names_outliers() -> None:
    log = log_of(OUTLIER, definitions=(tag("mean", "average"),))
    log.event("order", {"amount": 5, "$outliers": ["amount"]})
    assert log.tag("mean") == 5


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
    sigma=st.sampled_from([1.0, 3.0]),
)
@settings(max_examples=30)
def test_outliers_are_those_of_a_plain_computation(values: list[float], sigma: float) -> None:
    log = log_of({**AMOUNT, "outlier": {"at_least": 3, "sigma": sigma}})
    kept: list[float] = []
    outliers = 0
    for value in values:
        log.event("order", {"amount": value})
        far = False
        if len(kept) >= 3:
            mean = sum(kept) / len(kept)
            spread = (sum((one - mean) ** 2 for one in kept) / (len(kept) - 1)) ** 0.5
            bound = mean + sigma * max(spread, 0.1 * abs(mean))
            if abs(value - bound) < 1e-6 * max(1, abs(bound)):
                return  # too near to call for two ways of rounding
            far = value > bound
        if far:
            outliers += 1
        else:
            kept.append(value)
    assert len(log.out.findings) == outliers


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"id": "r", "form": "trim"}, ""),
        ({"id": "r", "property": "a", "form": "trim"}, ".events"),
        ({"id": "r", "trait": "a"}, ""),
        ({"id": "r", "trait": "a", "min": 2, "max": 1}, ".min"),
        ({"id": "r", "trait": "a", "one_of": []}, ".one_of"),
        ({"id": "r", "trait": "a", "form": "trim", "day_first": True}, ".day_first"),
        ({"id": "r", "trait": "a", "missing": {}}, ".missing"),
        ({"id": "r", "trait": "a", "missing": {"infer": "b"}}, ".missing.table"),
        ({"id": "r", "trait": "a", "max": 5, "missing": {"fill": 6}}, ".missing.fill"),
        ({"id": "r", "trait": "a", "outlier": {}}, ".outlier"),
        ({**AMOUNT, "outlier": {"of": "population"}}, ".outlier"),
        ({**AMOUNT, "outlier": {"mean": 1}}, ".outlier"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_right_is_refused_with_its_place(
    rule: dict[str, Any], place: str
) -> None:
    assert [where for where, _ in check(bundle(cleaning=[rule]))] == [
        f"workspace.cleaning[0]{place}"
    ]


def test_two_rules_of_one_id_are_refused() -> None:
    rule = {"id": "r", "trait": "a", "form": "trim"}
    problems = check(bundle(cleaning=[rule, rule]))
    assert [where for where, _ in problems] == [
        "workspace.cleaning[0].id",
        "workspace.cleaning[1].id",
    ]


def test_the_distributions_of_rules_that_are_gone_go_with_them() -> None:
    log = log_of(OUTLIER)
    ten_orders(log)
    log.publish(bundle(revision=2))
    log.event("order", {"amount": 1})
    assert log.state.weighed is None
