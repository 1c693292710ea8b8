"""The life cycle that is shipped takes people through the states that its names say."""

from typing import Any

import msgspec
import pytest

from services.cli.definitions import example_files, read_definitions
from services.contracts.definitions import KINDS, Bundle
from services.contracts.time import DAY, Micros
from services.triggers.definitions.values import make_bundle
from services.triggers.engine import check, compile_rules
from tests.engine.build import NOON, Log


def shipped() -> Bundle:
    """The starter set of tags, and what is built on it."""
    definitions: list[Any] = []
    for definition in read_definitions([*example_files("tags"), *example_files("segments")]):
        kind = definition.pop("kind")
        definitions.append(msgspec.convert(definition, KINDS[kind]))
    return make_bundle(1, definitions)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return shipped()


class Customer:
    """Somebody who signed up at noon, and days since then."""

    def __init__(self, bundle: Bundle) -> None:
        self.log = Log(rules=compile_rules(bundle), reload=True)
        self.did("Signed Up", 0)

    def did(self, what: str, day: float) -> str:
        """Something they did on a day; the state they are in then."""
        self.log.event(what, {"revenue": 200, "order_id": f"o{day}"}, now=self.at(day))
        return str(self.stage(day))

    def stage(self, day: float) -> Any:
        """The state they are in on a day, woken whenever they ask for it until then."""
        while (wake_at := self.log.state.wake_at) is not None and wake_at <= self.at(day):
            self.log.wake(wake_at)
        return self.log.tag("life_stage", self.at(day))

    def segments(self) -> tuple[str, ...]:
        groups, membership = self.log.rules.groups, self.log.state.membership
        assert groups is not None
        assert membership is not None
        return groups.members(membership)

    def at(self, day: float) -> Micros:
        return NOON + int(day * DAY)


def test_the_set_has_no_problem(bundle: Bundle) -> None:
    assert check(bundle) == []
    assert sum(one.core for one in bundle.segments) <= 8


def test_who_registered_is_new_for_a_week_or_until_an_order(bundle: Bundle) -> None:
    customer = Customer(bundle)
    assert (customer.stage(0), customer.segments()) == ("new", ("newcomers",))
    assert customer.stage(7.99) == "new"
    assert (customer.stage(8), customer.segments()) == ("occasional", ())
    other = Customer(bundle)
    assert other.did("Order Completed", 2) == "occasional"


def test_two_orders_in_30_days_are_active(bundle: Bundle) -> None:
    customer = Customer(bundle)
    customer.did("Order Completed", 1)
    assert customer.did("Order Completed", 20) == "active"
    assert customer.segments() == ("active_customers",)
    assert customer.stage(30.9) == "active"


def test_half_as_many_orders_are_at_risk_and_more_of_them_active_again(bundle: Bundle) -> None:
    customer = Customer(bundle)
    for day in (1, 3, 5, 8):
        customer.did("Order Completed", day)
    assert customer.stage(34) == "active"
    assert (customer.stage(42), customer.segments()) == ("at_risk", ("leaving",))
    assert customer.did("Order Completed", 43) == "at_risk"
    assert customer.did("Order Completed", 44) == "at_risk"
    assert (customer.did("Order Completed", 45), customer.segments()) == (
        "active", ("active_customers",),
    )  # fmt: skip


def test_90_days_without_login_or_order_are_dormant_and_180_churned(bundle: Bundle) -> None:
    customer = Customer(bundle)
    customer.did("Signed In", 10)
    assert customer.stage(99.99) == "occasional"
    assert (customer.stage(100), customer.segments()) == ("dormant", ("sleepers",))
    assert customer.stage(189.99) == "dormant"
    assert customer.stage(190) == "churned"


def test_a_login_wakes_and_an_order_wins_back(bundle: Bundle) -> None:
    customer = Customer(bundle)
    assert customer.stage(95) == "dormant"
    assert customer.did("Signed In", 96) == "occasional"
    assert customer.stage(186) == "dormant"
    assert customer.did("Order Completed", 190) == "won_back"
    assert customer.segments() == ("active_customers",)
    assert customer.stage(219.99) == "won_back"
    assert customer.stage(220) == "occasional"
