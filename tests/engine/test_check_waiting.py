"""Entries that wait, and ways out, that cannot be right are refused with place and reason."""

from typing import Any

import pytest

from services.triggers.engine import check
from tests.engine.build import bundle, tag, trigger

ORDER = {"events": ["order"]}
CART = {"events": ["cart"]}
PAID = {"property": "paid", "op": "eq", "value": True}
NO_TAG = {"tag": "nope", "op": "exists"}
ABSENCE = {"after": CART, "without": ORDER, "within": "24h"}
SEQUENCE = {"parts": [CART, ORDER], "within": "24h"}
INACTIVITY = {"events": ["login"], "lasts": "30d"}


def problems(entry: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    found = check(bundle(tag("orders"), trigger("t", entry=entry, **fields)))
    return [(place.removeprefix("triggers.t."), reason) for place, reason in found]


@pytest.mark.parametrize(
    ("entry", "way_out"),
    [
        ({"sequence": {**SEQUENCE, "key": ["order.id", "sku"]}}, {**ORDER, "where": PAID}),
        ({"sequence": {**SEQUENCE, "key": ["sku"]}}, {**ORDER, "key": ["order_id"]}),
        ({"sequence": SEQUENCE}, {**CART}),
        ({"absence": {**ABSENCE, "key": ["sku"]}}, {**ORDER, "key": ["sku"]}),
        ({"absence": {**ABSENCE, "after": {**ORDER, "where": PAID}}}, None),
        ({"absence": ABSENCE}, {**ORDER, "where": {"tag": "orders", "op": "gt", "value": 1}}),
        ({"inactivity": INACTIVITY}, ORDER),
        ({"events": ["order"]}, {**ORDER, "key": ["order_id"]}),
    ],
)
def test_right_ones_have_no_problems(entry: dict[str, Any], way_out: dict[str, Any] | None) -> None:
    assert problems(entry, exit=way_out) == []


@pytest.mark.parametrize(
    ("entry", "way_out", "place", "reason"),
    [
        (
            {"sequence": {**SEQUENCE, "parts": [CART, {**ORDER, "where": NO_TAG}]}},
            None, "entry.sequence.parts[1].where.tag", "unknown tag 'nope'",
        ),
        (
            {"sequence": {**SEQUENCE, "within": "99999d"}},
            None, "entry.sequence.within", "longer than ten years",
        ),
        (
            {"sequence": {**SEQUENCE, "parts": [{"events": ["$nope"]}, ORDER]}},
            None, "entry.sequence.parts[0].events[0]", "no name of an event",
        ),
        (
            {"sequence": {**SEQUENCE, "key": ["sku", "sku"]}},
            None, "entry.sequence.key[1]", "there already",
        ),
        ({"sequence": SEQUENCE}, ORDER, "exit", "before parts[1]"),
        (
            {"sequence": {"parts": [CART, {**ORDER, "where": PAID}], "within": "1h"}},
            {"events": ["order", "other"], "where": PAID}, "exit", "before parts[1]",
        ),
        (
            {"sequence": {**SEQUENCE, "key": ["sku"]}},
            {**ORDER, "key": ["sku"]}, "exit", "before parts[1]",
        ),
        (
            {"absence": {**ABSENCE, "after": {**CART, "where": NO_TAG}}},
            None, "entry.absence.after.where.tag", "unknown tag",
        ),
        (
            {"absence": {**ABSENCE, "without": {**ORDER, "where": NO_TAG}}},
            None, "entry.absence.without.where.tag", "unknown tag",
        ),
        ({"absence": {**ABSENCE, "within": "9999d"}}, None, "entry.absence.within", "ten years"),
        ({"absence": {**ABSENCE, "key": ["a", "a"]}}, None, "entry.absence.key[1]", "already"),
        (
            {"absence": {**ABSENCE, "without": CART}},
            None, "entry.absence.without.events[0]", "begins the wait anew",
        ),
        (
            {"absence": {**ABSENCE, "without": {"events": ["order", "cart"], "where": PAID}}},
            None, "entry.absence.without.events[1]", "begins the wait anew",
        ),
        (
            {"absence": {**ABSENCE, "after": {"events": ["$x"]}, "without": {"events": ["$y"]}}},
            None, "entry.absence.without.events[0]", "no name of an event",
        ),
        ({"inactivity": {**INACTIVITY, "lasts": "9999d"}}, None, "entry.inactivity.lasts", "ten"),
        ({"inactivity": {**INACTIVITY, "events": ["$x"]}}, None, "entry.inactivity.events[0]", "$"),
        ({"inactivity": INACTIVITY}, {**ORDER, "key": ["sku"]}, "exit.key", "by inactivity"),
        (
            {"date": {"trait": "birthday"}},
            {**ORDER, "key": ["sku"]}, "exit.key", "by date",
        ),
        ({"events": ["cart"]}, {**ORDER, "where": NO_TAG}, "exit.where.tag", "unknown tag"),
        ({"events": ["cart"]}, {"events": ["$x"]}, "exit.events[0]", "no name of an event"),
        ({"events": ["cart"]}, {**ORDER, "key": ["a", "a"]}, "exit.key[1]", "there already"),
    ],
)  # fmt: skip
def test_wrong_ones_are_named_with_place_and_reason(
    entry: dict[str, Any], way_out: dict[str, Any] | None, place: str, reason: str
) -> None:
    found = problems(entry, exit=way_out)
    assert (place, True) in [(one, reason in text) for one, text in found], found
