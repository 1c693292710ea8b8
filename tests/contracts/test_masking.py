"""Masks: that a value is there may be seen, the value not."""

from typing import Any

import pytest

from services.contracts.masking import SENSITIVE_TRAITS, is_sensitive, mask_traits, masked


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
