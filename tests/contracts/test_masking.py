"""Masks: that a value is there may be seen, the value not."""

from typing import Any

import pytest

from services.contracts.masking import (
    SENSITIVE_TRAITS,
    is_sensitive,
    mask_clause,
    mask_tags,
    mask_traits,
    masked,
    sensitive_tags,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("+8613800138000", "***8000"),
        ("13800138000", "***8000"),
        ("ada@example.com", "a***@example.com"),
        ("110101199003074514", "***4514"),
        ("11010119900307451X", "***"),
        ("5 Long Street", "***"),
        ("12345", "***"),
        ("@", "***"),
        (13800138000, "***"),
        ({"street": "5 Long Street"}, "***"),
        (["a@b.c"], "***"),
        (True, "***"),
    ],
)
def test_a_mask_shows_no_more_than_it_says(value: Any, shown: str) -> None:
    assert masked(value) == shown


def test_sensitive_traits_are_masked_wherever_they_stand() -> None:
    traits = {
        "email": "ada@example.com",
        "city": "x",
        "home": {"address": {"street": "5 Long Street"}, "floor": 3},
        "phone": None,
    }
    assert mask_traits(traits, SENSITIVE_TRAITS) == {
        "email": "a***@example.com",
        "city": "x",
        "home": {"address": "***", "floor": 3},
        "phone": None,
    }


def test_a_path_is_sensitive_by_any_of_its_parts() -> None:
    assert is_sensitive("address.street", SENSITIVE_TRAITS)
    assert is_sensitive("home.address", SENSITIVE_TRAITS)
    assert not is_sensitive("addressee", SENSITIVE_TRAITS)


TAGS: dict[str, dict[str, Any]] = {
    "reached_at": {"derive": {"trait": "contact.phone"}},
    "called_from": {"aggregate": "last", "value": "phone"},
    "calls_to": {"aggregate": "top_k", "value": "to.email"},
    "first_from": {"aggregate": "first", "value": "address"},
    "phones": {"aggregate": "distinct", "value": "phone"},
    "calls": {"aggregate": "count", "events": ["Called"]},
    "city": {"derive": {"trait": "city"}},
    "band": {"derive": {"bands": {"of": "calls"}}},
    "life": {"name": "Life cycle"},
}


def test_tags_that_show_what_is_sensitive_are_known_by_their_definitions() -> None:
    assert sensitive_tags(TAGS.items(), SENSITIVE_TRAITS) == {
        "reached_at", "called_from", "calls_to", "first_from",
    }  # fmt: skip
    assert sensitive_tags(TAGS.items(), ["city"]) == {"city"}


def test_sensitive_tags_are_masked_and_no_others() -> None:
    values = {
        "called_from": "+8613800138000",
        "calls_to": ["a@b.c"],
        "calls": 3,
        "first_from": None,
    }
    assert mask_tags(values, sensitive_tags(TAGS.items(), SENSITIVE_TRAITS)) == {
        "called_from": "***8000", "calls_to": "***", "calls": 3, "first_from": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("clause", "hidden"),
    [
        ({"trait": "phone"}, True),
        ({"subject": "trait", "name": "home.address"}, True),
        ({"property": "to.email"}, True),
        ({"subject": "property", "name": "phone"}, True),
        ({"tag": "called_from"}, True),
        ({"subject": "tag", "name": "called_from"}, True),
        ({"tag": "phone"}, False),
        ({"trait": "called_from"}, False),
        ({"property": "city"}, False),
    ],
)
def test_what_a_clause_found_is_masked_by_what_it_names(
    clause: dict[str, Any], *, hidden: bool
) -> None:
    found = mask_clause({**clause, "actual": "x@y.z"}, SENSITIVE_TRAITS, {"called_from"})
    assert found["actual"] == ("x***@y.z" if hidden else "x@y.z")
