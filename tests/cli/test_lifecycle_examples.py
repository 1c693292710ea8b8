"""The examples of a customer's lifecycle do what their names say."""

from functools import cache

import msgspec
import pytest

from services.cli.definitions import example_files, read_definitions
from services.contracts.definitions import KINDS, Bundle, Policy, Tag, Trigger, Workspace
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import Rules, compile_rules
from tests.engine.build import NOON, Log, at


@cache
def rules() -> Rules:
    found = [
        msgspec.convert({k: v for k, v in one.items() if k != "kind"}, KINDS[one["kind"]])
        for one in read_definitions(example_files("lifecycle"))
    ]
    [workspace] = [one for one in found if isinstance(one, Workspace)]
    return compile_rules(
        Bundle(
            revision=1,
            workspace=workspace,
            triggers=tuple(one for one in found if isinstance(one, Trigger)),
            tags=tuple(one for one in found if isinstance(one, Tag)),
            policies=tuple(one for one in found if isinstance(one, Policy)),
        )
    )


@pytest.fixture
def log() -> Log:
    return Log(rules=rules(), now=NOON)


def until(log: Log, now: int) -> list[str]:
    """Let time pass; gives the triggers that sent something until then, in order."""
    before = len(log.out.commands)
    while (due := log.state.wake_at) is not None and due <= now:
        log.wake(due)
    log.wake(now)
    return [one.trigger for one in log.out.commands[before:] if one.trigger != "monday_news"]


def test_a_newcomer_is_led_to_the_first_order(log: Log) -> None:
    log.event("Signed Up", now=NOON)
    assert log.out.commands[0].trigger == "newcomer_coupon"
    assert until(log, NOON + DAY) == ["newcomer_guide"]
    assert until(log, NOON + 3 * DAY) == ["newcomer_reminder"]
    assert until(log, NOON + 7 * DAY) == ["newcomer_last_offer"]


def test_any_order_ends_the_newcomers_messages(log: Log) -> None:
    log.event("Signed Up", now=NOON)
    until(log, NOON + DAY)
    log.event("Order Completed", {"order_id": 1, "revenue": 9}, now=NOON + 2 * DAY)
    assert until(log, NOON + 9 * DAY) == ["goes_with_it"]


def test_a_cart_is_remembered_product_by_product(log: Log) -> None:
    log.event("Product Added", {"product_id": "a"}, now=NOON)
    log.event("Product Added", {"product_id": "b"}, now=NOON + 1)
    log.event("Product Ordered", {"product_id": "a"}, now=NOON + HOUR)
    assert until(log, NOON + 2 * DAY) == ["cart_left"]
    assert log.out.commands[-1].variables["event"] == {"product_id": "b"}


def test_an_order_ends_a_cart_reminder_that_waits_for_the_morning(log: Log) -> None:
    night = at("2026-06-10T23:00:00")
    log.event("Product Added", {"product_id": "a"}, now=night)
    assert until(log, night + DAY) == []
    assert log.outcomes() == ["quiet_hours"]
    log.event("Product Ordered", {"product_id": "a"}, now=night + DAY + HOUR)
    assert until(log, night + 3 * DAY) == []
    assert log.outcomes() == ["quiet_hours", "exit"]


def test_a_sleeper_is_woken_after_thirty_days(log: Log) -> None:
    log.event("Signed In", now=NOON)
    assert until(log, NOON + 30 * DAY - 1) == []
    assert until(log, NOON + 30 * DAY) == ["sleeper"]
    log.event("Signed In", now=NOON + 31 * DAY)
    log.event("Account Closed", now=NOON + 32 * DAY)
    assert until(log, NOON + 90 * DAY) == []


@pytest.mark.parametrize(("spent", "sent"), [(499, []), (500, ["leaving"])])
def test_a_good_customer_is_held_before_leaving(log: Log, spent: int, sent: list[str]) -> None:
    log.event("Order Completed", {"order_id": 1, "revenue": spent}, now=NOON)
    until(log, NOON + 59 * DAY)
    assert until(log, NOON + 60 * DAY) == sent


def test_whoever_orders_half_as_often_is_asked(log: Log) -> None:
    for day in (0, 5, 10, 15, 35):
        until(log, NOON + day * DAY)
        log.event("Order Completed", {"order_id": day, "revenue": 200}, now=NOON + day * DAY)
    assert "buying_less" in until(log, NOON + 48 * DAY)


def test_what_goes_with_an_order_comes_three_days_later(log: Log) -> None:
    log.event("Order Completed", {"order_id": 1, "revenue": 9}, now=NOON)
    assert until(log, NOON + 3 * DAY) == ["goes_with_it"]


def test_nothing_goes_with_an_order_while_another_is_on_its_way_back(log: Log) -> None:
    log.event("Order Completed", {"order_id": 1, "revenue": 9}, now=NOON)
    log.event("Return Requested", {"order_id": 0}, now=NOON + DAY)
    assert until(log, NOON + 9 * DAY) == []


@pytest.mark.parametrize("orders", [False, True])
def test_from_the_mail_to_the_product_and_no_order(log: Log, orders: bool) -> None:
    log.event("Product Viewed", {"name": "Lamp"}, now=NOON)
    assert until(log, NOON + HOUR) == []
    log.event("Email Link Clicked", now=NOON + HOUR)
    log.event("Product Viewed", {"name": "Lamp"}, now=NOON + HOUR + MINUTE)
    if orders:
        log.event("Order Completed", {"revenue": 9}, now=NOON + HOUR + 2 * MINUTE)
    assert until(log, NOON + HOUR + 4 * MINUTE) == ([] if orders else ["mail_seen"])


def test_from_the_mail_to_the_cart(log: Log) -> None:
    log.event("Email Link Clicked", now=NOON)
    log.event("Product Viewed", now=NOON + MINUTE)
    log.event("Product Added", now=NOON + 2 * MINUTE)
    assert [one.trigger for one in log.out.commands] == ["mail_to_cart"]


def test_a_valued_customer_is_served_in_person_and_given_a_present(log: Log) -> None:
    log.identify({"birthday": "1990-06-20", "tier": "gold"}, now=NOON)
    log.event("Order Completed", {"order_id": 1, "revenue": 999}, now=NOON + 1)
    assert log.out.commands == []
    log.event("Order Completed", {"order_id": 2, "revenue": 1}, now=NOON + 2)
    assert [(one.trigger, one.lane) for one in log.out.commands] == [("valued_customer", "high")]
    assert "birthday" in until(log, at("2026-06-20T09:00:00"))


@pytest.mark.parametrize("renews", [False, True])
def test_the_end_of_a_membership_is_told_a_week_before(log: Log, renews: bool) -> None:
    log.identify({"membership_ends_on": "2026-06-21"}, now=NOON)
    assert until(log, at("2026-06-14T08:59:00")) == []
    if renews:
        log.event("Membership Renewed")
        log.identify({"membership_ends_on": "2027-06-21"})
    sent = until(log, at("2026-06-14T09:00:00"))
    assert sent == ([] if renews else ["membership_ends"])


def test_on_monday_at_nine_the_news_go_to_who_ordered_lately(log: Log) -> None:
    log.event("Order Completed", {"order_id": 1, "revenue": 9}, now=NOON)
    until(log, at("2026-06-15T10:00:00"))
    [news] = [one for one in log.out.commands if one.trigger == "monday_news"]
    monday = at("2026-06-15T09:00:00")
    assert monday <= news.decided_at < monday + HOUR
