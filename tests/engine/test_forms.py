"""Standard forms: what can be read for certain, and nothing else."""

from typing import Any

import msgspec
import pytest

from services.contracts.cleaning import UNKNOWN, Cleaning
from services.triggers.engine.forms import shape_of


def shaped(value: Any, **rule: Any) -> Any:
    shape = shape_of(msgspec.convert({"id": "r", "trait": "t", **rule}, Cleaning))
    assert shape is not None
    return shape(value)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-02-03", "2026-02-03"),
        ("2026-2-3", "2026-02-03"),
        ("2026/02/03", "2026-02-03"),
        ("2026.2.3", "2026-02-03"),
        ("20260203", "2026-02-03"),
        (20260203, "2026-02-03"),
        ("2026年2月3日", "2026-02-03"),
        ("2026-02-03T04:05:06Z", "2026-02-03"),
        ("25/12/2026", "2026-12-25"),
        ("12/25/2026", "2026-12-25"),
        ("05.05.2026", "2026-05-05"),
        ("03/04/2026", UNKNOWN),
        ("2026-02-30", UNKNOWN),
        ("2023-02-29", UNKNOWN),
        ("2024-02-29", "2024-02-29"),
        ("soon", UNKNOWN),
        ("", UNKNOWN),
        (None, UNKNOWN),
        (1.5, UNKNOWN),
        ("1" * 5000, UNKNOWN),
    ],
)
def test_dates_are_iso_or_unknown(text: Any, iso: str) -> None:
    assert shaped(text, form="date") == iso


def test_a_rule_may_say_which_of_two_numbers_is_the_day() -> None:
    assert shaped("03/04/2026", form="date", day_first=True) == "2026-04-03"
    assert shaped("03/04/2026", form="date", day_first=False) == "2026-03-04"
    assert shaped("25/12/2026", form="date", day_first=False) == UNKNOWN


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("138 0013 8000", "+8613800138000"),
        ("+86-138-0013-8000", "+8613800138000"),
        (13800138000, "+8613800138000"),
        ("0086 13800138000", "+8613800138000"),
        ("+44 20 7946 0958", "+442079460958"),
        ("12345", UNKNOWN),
        ("call me", UNKNOWN),
        (True, UNKNOWN),
    ],
)
def test_phones_are_e164_or_unknown(text: Any, number: str) -> None:
    assert shaped(text, form="phone") == number


def test_a_number_without_a_country_is_of_the_rules_region() -> None:
    assert shaped("020 7946 0958", form="phone", region="GB") == "+442079460958"


@pytest.mark.parametrize(
    ("text", "city"),
    [
        ("深圳", "广东省-深圳市"),
        ("广东 深圳市", "广东省-深圳市"),
        ("广东省深圳市", "广东省-深圳市"),
        ("北京", "北京市-北京市"),
        ("吉林", "吉林省-吉林市"),
        ("喀什", "新疆维吾尔自治区-喀什地区"),
        ("湖南-深圳", UNKNOWN),
        ("Atlantis", UNKNOWN),
    ],
)
def test_cities_stand_with_their_province_or_are_unknown(text: str, city: str) -> None:
    assert shaped(text, form="city") == city


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,234.50", 1234.5), ("12", 12), (" -3 ", -3), (7, 7), ("1,23", UNKNOWN), ("1e3", UNKNOWN),
     ("¥5", UNKNOWN), (True, UNKNOWN), ("９", UNKNOWN)],
)  # fmt: skip
def test_numbers_written_as_texts_become_numbers(text: Any, number: Any) -> None:
    assert shaped(text, form="number") == number


def test_spellings_of_ones_own_go_first() -> None:
    rule = {"form": "city", "respell": {"SZ": "广东省-深圳市"}}
    assert shaped("SZ", **rule) == "广东省-深圳市"
    assert shaped("广州", **rule) == "广东省-广州市"
    assert shaped("m", respell={"m": "male"}) == "male"
    assert shaped("other", respell={"m": "male"}) == "other"
