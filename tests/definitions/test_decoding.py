"""What is not right is refused with its place, however it is wrong."""

import json
from typing import Any

import msgspec
import pytest

from services.contracts.definitions import Policy, Trigger
from services.contracts.errors import DefinitionError
from services.triggers.definitions.decoding import (
    NotJson,
    convert_definition,
    decode_value,
    split_kind,
)

GOOD: dict[str, Any] = {
    "id": "cart_left",
    "entry": {"events": ["Cart Updated"]},
    "steps": [{"send": {"channel": "log"}}],
}


def problems_of(value: Any, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as refused:
        convert_definition("trigger", value, **options)
    return refused.value.problems


def test_a_body_without_status_keeps_the_status_that_stands() -> None:
    made = convert_definition("trigger", GOOD)
    assert isinstance(made, Trigger)
    assert made.status == "draft"
    said = convert_definition("trigger", GOOD | {"status": "paused"})
    assert isinstance(said, Trigger)
    assert said.status == "paused"


def test_a_version_in_the_body_is_ignored() -> None:
    assert convert_definition("trigger", GOOD | {"version": 7}).version == 0


def test_the_id_may_be_left_to_the_address_but_not_contradict_it() -> None:
    without = {name: one for name, one in GOOD.items() if name != "id"}
    assert convert_definition("trigger", without, id_="cart_left").id == "cart_left"
    assert problems_of(GOOD, id_="other") == [("triggers.cart_left.id", "the address says other")]


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ({"colour": "red"}, "triggers.cart_left.colour", "unknown field"),
        ({"entry": None}, "triggers.cart_left.entry", "Expected `object`, got `null`"),
        (
            {"entry": {"events": ["a"], "where": {"all": [{"tagg": "x"}]}}},
            "triggers.cart_left.entry.where.all[0].tagg",
            "unknown field",
        ),
        (
            {"entry": {"events": [""]}},
            "triggers.cart_left.entry.events[0]",
            "Expected `str` of length >= 1",
        ),
        ({"priority": 101}, "triggers.cart_left.priority", "Expected `int` <= 100"),
        ({"name": "a\0b"}, "triggers.cart_left.name", "contains the character U+0000"),
        ({"id": "cart_left\n"}, "triggers.?.id", "must match ^[a-z][a-z0-9_]{0,63}$"),
        ({"id": "Cart"}, "triggers.?.id", "must match ^[a-z][a-z0-9_]{0,63}$"),
        (
            {"entry": {"events": ["a"], "where": {"tag": "x", "op": "eq", "value": 1 << 70}}},
            "triggers.cart_left.entry.where.value",
            "the number does not fit 64 bits",
        ),
        ({"status": "archived"}, "triggers.cart_left.status", "archive it with DELETE instead"),
    ],
)
def test_a_wrong_field_is_refused_with_place_and_reason(
    change: dict[str, Any], place: str, reason: str
) -> None:
    assert problems_of(GOOD | change) == [(place, reason)]


def test_a_missing_field_is_named() -> None:
    assert problems_of({"id": "cart_left"}) == [("triggers.cart_left.entry", "is required")]


@pytest.mark.parametrize("value", [None, 1, "x", [], [GOOD], True])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert problems_of(value) == [("triggers.?", "a definition is an object")]


def test_depth_that_would_exhaust_a_reader_is_refused() -> None:
    where: dict[str, Any] = {"tag": "x", "op": "exists"}
    for _ in range(100):
        where = {"not": where}
    (problem,) = problems_of(GOOD | {"entry": {"events": ["a"], "where": where}})
    assert problem[1] == "nested deeper than 64"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"NaN", b'{"a": 1e999', b'"\\ud800"', b"[" * 100_000]
)
def test_bytes_that_are_no_json_are_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        decode_value(raw)


def test_a_definition_in_a_file_names_its_kind() -> None:
    kind, fields = split_kind({"kind": "policy", "id": "weekly"}, "definitions[0]")
    assert (kind, fields) == ("policy", {"id": "weekly"})
    wrongs: tuple[dict[str, Any], ...] = ({}, {"kind": "trigge"}, {"kind": []})
    for wrong in wrongs:
        with pytest.raises(DefinitionError) as refused:
            split_kind(wrong, "definitions[0]")
        assert refused.value.problems[0][0] == "definitions[0].kind"


def test_what_is_decoded_encodes_to_what_decodes_to_it() -> None:
    raw = json.dumps({"id": "weekly", "limit": 2, "window": "7d"}).encode()
    made = convert_definition("policy", decode_value(raw))
    assert isinstance(made, Policy)
    assert convert_definition("policy", decode_value(msgspec.json.encode(made))) == made
