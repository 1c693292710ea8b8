"""The examples of a customer's lifecycle do what their names say, step by step."""

from functools import cache
from typing import Any

import msgspec
import pytest

from services.cli.definitions import example_files, read_definitions
from services.contracts.command import SendCommand
from services.contracts.decision import Outcome
from services.contracts.definitions import KINDS, Bundle, Policy, Tag, Trigger, Workspace
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import Rules, compile_rules
from services.triggers.engine.lint import warnings
from tests.engine.build import NOON, PERSON, Log, at


@cache
def bundle() -> Bundle:
    found = [
        msgspec.convert({k: v for k, v in one.items() if k != "kind"}, KINDS[one["kind"]])
        for one in read_definitions(example_files("lifecycle"))
    ]
    [workspace] = [one for one in found if isinstance(one, Workspace)]
    return Bundle(
        revision=1,
        workspace=workspace,
        triggers=tuple(one for one in found if isinstance(one, Trigger)),
        tags=tuple(one for one in found if isinstance(one, Tag)),
        policies=tuple(one for one in found if isinstance(one, Policy)),
    )


@cache
def rules() -> Rules:
    return compile_rules(bundle())


@pytest.fixture(params=[False, True], ids=["at rest", "read again"])
def log(request: pytest.FixtureRequest) -> Log:
    return Log(rules=rules(), now=NOON, reload=request.param)


def said(one: SendCommand) -> str:
    """A command in short: a message by its subject, the rest by what is asked for."""
    if one.kind == "send":
        return one.content.subject
    return f"{one.kind} {one.request.get('reference') or one.request['to']}"


def until(log: Log, now: int, *, trigger: str = "") -> list[str]:
    """Let time pass; gives what was asked for until then, in order (by one trigger alone)."""
    before = len(log.out.commands)
    while (due := log.state.wake_at) is not None and due <= now:
        log.wake(due)
    log.wake(now)
    return [
        said(one)
        for one in log.out.commands[before:]
        if one.trigger != "monday_news" and trigger in ("", one.trigger)
    ]


def happens(log: Log, name: str, now: int, **properties: Any) -> list[str]:
    """Something happens, after time has come to that; gives what it led to at once."""
    until(log, now)
    before = len(log.out.commands)
    log.event(name, properties, now=now)
    return [said(one) for one in log.out.commands[before:]]


def result(log: Log, trigger: str) -> str | None:
    """How the trigger's last run ended: with its result or by the exit."""
    ends = [
        one
        for one in log.out.decisions
        if one.trigger == trigger and one.outcome in (Outcome.ENDED, Outcome.EXIT)
    ]
    return ends[-1].details.get("result", "exit") if ends else None


def test_every_kind_of_step_is_among_them() -> None:
    text = msgspec.json.encode(bundle().triggers).decode()
    kinds = ("send", "wait", "wait_for", "branch", "split", "tag", "offer", "handoff", "end")
    assert [kind for kind in kinds if f'"{kind}":' not in text] == []


def test_only_the_long_ones_are_worth_another_look() -> None:
    places = [place for place, _ in warnings(bundle())]
    assert places == ["triggers.newcomer.steps", "triggers.sleeper.steps"]


def test_a_newcomer_is_led_to_the_first_order(log: Log) -> None:
    assert happens(log, "Signed Up", NOON) == ["offer newcomer", "Welcome"]
    assert until(log, NOON + DAY - 1) == []
    assert until(log, NOON + DAY) == ["Where to begin"]
    assert until(log, NOON + 3 * DAY) == ["Your coupon still waits"]
    assert until(log, NOON + 7 * DAY) == ["30 off"]
    assert result(log, "newcomer") == "done"
    assert happens(log, "Signed Up", NOON + 8 * DAY) == []


@pytest.mark.parametrize("days", [0, 2, 6])
def test_any_order_ends_the_newcomers_messages(log: Log, days: int) -> None:
    happens(log, "Signed Up", NOON)
    happens(log, "Order Completed", NOON + days * DAY + HOUR, order_id=1, revenue=9)
    assert until(log, NOON + 20 * DAY) == ["Goes well with it"]
    assert result(log, "newcomer") == "exit"


def test_a_newcomer_of_the_night_is_welcomed_in_the_morning_and_goes_on_from_there(
    log: Log,
) -> None:
    night, morning = at("2026-06-10T23:00:00"), at("2026-06-11T08:00:00")
    assert happens(log, "Signed Up", night) == ["offer newcomer"]
    assert until(log, morning) == ["Welcome"]
    assert until(log, morning + DAY - 1) == []
    assert until(log, morning + DAY) == ["Where to begin"]


def test_a_cart_is_remembered_product_by_product(log: Log) -> None:
    log.event("Product Added", {"product_id": "a"}, now=NOON)
    log.event("Product Added", {"product_id": "b"}, now=NOON + 1)
    log.event("Product Ordered", {"product_id": "a"}, now=NOON + HOUR)
    assert until(log, NOON + 2 * DAY) == ["Still in your cart"]
    assert log.out.commands[-1].variables["event"] == {"product_id": "b"}


def test_an_order_ends_a_cart_reminder_that_waits_for_the_morning(log: Log) -> None:
    night = at("2026-06-10T23:00:00")
    log.event("Product Added", {"product_id": "a"}, now=night)
    assert until(log, night + DAY) == []
    assert log.outcomes() == ["quiet_hours"]
    log.event("Product Ordered", {"product_id": "a"}, now=night + DAY + HOUR)
    assert until(log, night + 3 * DAY) == []
    assert log.outcomes() == ["quiet_hours", "exit"]


ASLEEP = NOON + 30 * DAY
FIRST = ["offer we_miss_you", "We miss you"]


@pytest.fixture
def sleeper(log: Log) -> Log:
    """Not seen for 30 days, and written to."""
    log.identify({"first_name": "Ada"}, now=NOON)
    log.event("Signed In", now=NOON)
    assert until(log, ASLEEP - 1) == []
    assert until(log, ASLEEP) == FIRST
    return log


def test_a_sleeper_who_never_stirs_is_handed_to_people_after_seven_days(sleeper: Log) -> None:
    assert until(sleeper, ASLEEP + 3 * DAY) == ["Still here"]
    assert until(sleeper, ASLEEP + 7 * DAY - 1) == []
    assert until(sleeper, ASLEEP + 7 * DAY) == ["handoff sales"]
    assert result(sleeper, "sleeper") == "not_woken"


def test_a_sleeper_who_signs_in_after_the_second_reminder_is_woken(sleeper: Log) -> None:
    until(sleeper, ASLEEP + 3 * DAY)
    assert happens(sleeper, "Signed In", ASLEEP + 5 * DAY) == []
    assert result(sleeper, "sleeper") == "woken"


def test_a_sleeper_who_orders_at_once_is_woken(sleeper: Log) -> None:
    assert happens(sleeper, "Order Completed", ASLEEP + DAY, order_id=1, revenue=9) == []
    assert result(sleeper, "sleeper") == "woken"


def test_a_sleeper_who_looks_for_three_minutes_gets_a_coupon_then_service(sleeper: Log) -> None:
    visit = ASLEEP + DAY
    assert happens(sleeper, "Signed In", visit) == ["Now cheaper"]
    assert happens(sleeper, "Product Viewed", visit + MINUTE, seconds=100) == []
    looked = visit + 4 * MINUTE
    assert happens(sleeper, "Product Viewed", looked, seconds=80) == ["offer last_push", "For you"]
    assert until(sleeper, looked + DAY - 1) == []
    assert until(sleeper, looked + DAY) == ["handoff service"]
    assert sleeper.out.commands[-1].content.subject == "Talk to {{ person.first_name }}"
    assert until(sleeper, looked + 5 * DAY, trigger="sleeper") == ["handoff sales"]
    assert result(sleeper, "sleeper") == "not_woken"


def test_a_sleeper_who_only_glances_is_served_without_the_coupon(sleeper: Log) -> None:
    visit = ASLEEP + DAY
    assert happens(sleeper, "Product Viewed", visit, seconds=20) == ["Now cheaper"]
    assert until(sleeper, visit + 2 * DAY) == ["handoff service"]
    assert happens(sleeper, "Signed In", visit + 3 * DAY) == []
    assert result(sleeper, "sleeper") == "woken"


@pytest.mark.parametrize("looked", [False, True])
def test_an_order_after_the_visit_wakes_a_sleeper(sleeper: Log, looked: bool) -> None:
    visit = ASLEEP + DAY
    happens(sleeper, "Signed In", visit)
    if looked:
        happens(sleeper, "Product Viewed", visit + MINUTE, seconds=200)
    happens(sleeper, "Order Completed", visit + HOUR, order_id=1, revenue=9)
    assert result(sleeper, "sleeper") == "woken"
    assert until(sleeper, visit + 9 * DAY) == ["Goes well with it"]


def test_a_sleeper_who_closes_the_account_is_left_alone(sleeper: Log) -> None:
    happens(sleeper, "Account Closed", ASLEEP + DAY)
    assert until(sleeper, ASLEEP + 60 * DAY) == []
    assert result(sleeper, "sleeper") == "exit"


def test_a_valued_customer_is_served_in_person_and_goes_before_others(log: Log) -> None:
    assert happens(log, "Order Completed", NOON, order_id=1, revenue=999) == []
    found = happens(log, "Order Completed", NOON + HOUR, order_id=2, revenue=1)
    assert found == ["handoff service", "Your personal contact"]
    assert log.state.traits["tier"] == "gold"
    assert [(one.lane, one.priority) for one in log.out.commands] == [("high", 90)] * 2


def test_a_birthday_brings_a_present_to_who_ever_bought_something(log: Log) -> None:
    log.identify({"birthday": "1990-06-20"}, now=NOON)
    day = at("2026-06-20T09:00:00")
    assert until(log, day) == []
    happens(log, "Order Completed", day + HOUR, order_id=1, revenue=9)
    next_year = at("2027-06-20T09:00:00")
    until(log, next_year - 1)
    assert until(log, next_year) == ["offer birthday", "Happy birthday"]


@pytest.mark.parametrize(("spent", "told"), [(499, []), (500, ["offer large", "Back in stock"])])
def test_a_good_customer_is_held_before_leaving(log: Log, spent: int, told: list[str]) -> None:
    log.event("Order Completed", {"order_id": 1, "revenue": spent}, now=NOON)
    until(log, NOON + 59 * DAY)
    assert until(log, NOON + 60 * DAY, trigger="leaving") == told
    late_morning = at("2026-08-13T10:00:00")
    assert until(log, late_morning - 1, trigger="leaving") == []
    assert until(log, late_morning, trigger="leaving") == ["handoff sales"][: len(told)]


def test_nobody_calls_a_good_customer_who_orders_after_all(log: Log) -> None:
    log.event("Order Completed", {"order_id": 1, "revenue": 500}, now=NOON)
    until(log, NOON + 60 * DAY)
    happens(log, "Order Completed", NOON + 61 * DAY, order_id=2, revenue=9)
    assert until(log, NOON + 70 * DAY, trigger="leaving") == []
    assert result(log, "leaving") == "exit"


def test_whoever_orders_half_as_often_is_asked_and_then_called(log: Log) -> None:
    for day in (0, 5, 10, 15, 35):
        happens(log, "Order Completed", NOON + day * DAY, order_id=day, revenue=120)
    found = until(log, NOON + 51 * DAY, trigger="buying_less")
    assert found == ["Is anything wrong", "handoff service"]


def test_what_goes_with_an_order_comes_three_days_later(log: Log) -> None:
    for order_id in (1, 2):
        log.event("Order Completed", {"order_id": order_id, "revenue": 9}, now=NOON + order_id)
    assert until(log, NOON + 3 * DAY) == []
    assert until(log, NOON + 3 * DAY + 1) == ["Goes well with it"]
    assert until(log, NOON + 3 * DAY + 2) == ["Goes well with it"]


@pytest.mark.parametrize("days", [-1, 1])
def test_nothing_goes_with_an_order_while_another_is_on_its_way_back(log: Log, days: int) -> None:
    happenings = sorted([(0, "Order Completed"), (days, "Return Requested")])
    for day, name in happenings:
        happens(log, name, NOON + (day + 1) * DAY, order_id=day, revenue=9)
    assert until(log, NOON + 9 * DAY) == []


@pytest.mark.parametrize("orders", [False, True])
def test_from_the_mail_to_the_product_and_no_order(log: Log, orders: bool) -> None:
    log.event("Product Viewed", {"name": "Lamp"}, now=NOON)
    assert until(log, NOON + HOUR) == []
    log.event("Email Link Clicked", now=NOON + HOUR)
    log.event("Product Viewed", {"name": "Lamp"}, now=NOON + HOUR + MINUTE)
    if orders:
        log.event("Order Completed", {"revenue": 9}, now=NOON + HOUR + 2 * MINUTE)
    assert until(log, NOON + HOUR + 4 * MINUTE - 1) == []
    told = until(log, NOON + HOUR + 4 * MINUTE)
    assert told == ([] if orders else ["handoff service", "May we help"])
    assert result(log, "mail_seen") == ("sold" if orders else "done")


def test_from_the_mail_to_the_cart(log: Log) -> None:
    log.event("Email Link Clicked", now=NOON)
    log.event("Product Viewed", now=NOON + MINUTE)
    log.event("Product Added", now=NOON + 2 * MINUTE)
    assert [one.trigger for one in log.out.commands] == ["mail_to_cart"]


@pytest.mark.parametrize("renews", [False, True])
def test_the_end_of_a_membership_is_told_a_week_before(log: Log, renews: bool) -> None:
    log.identify({"membership_ends_on": "2026-06-21"}, now=NOON)
    assert until(log, at("2026-06-14T08:59:00")) == []
    if renews:
        log.event("Membership Renewed")
        log.identify({"membership_ends_on": "2027-06-21"})
    found = until(log, at("2026-06-14T09:00:00"))
    assert found == ([] if renews else ["Seven days left"])


def test_on_monday_at_nine_the_news_go_to_who_ordered_lately_always_the_same_half(
    log: Log,
) -> None:
    log.event("Order Completed", {"order_id": 1, "revenue": 9}, now=NOON)
    until(log, at("2026-06-22T10:00:00"))
    first, second = [one for one in log.out.commands if one.trigger == "monday_news"]
    monday = at("2026-06-15T09:00:00")
    assert monday <= first.decided_at < monday + HOUR
    assert second.decided_at == first.decided_at + 7 * DAY
    assert first.content == second.content
    arms = [one.details["label"] for one in log.out.decisions if "label" in one.details]
    assert arms in (["news"] * 2, ["prices"] * 2), PERSON
