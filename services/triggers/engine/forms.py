"""Standard forms of values: one spelling for each date, number, phone and city.

What cannot be read for certain is `unknown`: nothing is guessed.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final

import phonenumbers

from services.contracts.cleaning import UNKNOWN, Cleaning
from services.triggers.engine.cities import standard_city
from services.triggers.engine.clauses import NUMERIC

Shape = Callable[[Any], Any]
"""From a value to its standard form, or to `unknown`."""

FORM_CHARS_MAX: Final = 200
"""Longer texts have no standard form: nobody's phone or city is."""

_NUMBER: Final = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", re.ASCII)
_YEAR_FIRST: Final = (
    re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?", re.ASCII),
    re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII),
    re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日", re.ASCII),
)
_YEAR_LAST: Final = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", re.ASCII)


def shape_of(rule: Cleaning) -> Shape | None:
    """How a rule brings values into form; None where it does not."""
    respell, form = rule.respell, None if rule.form is None else _FORMS[rule.form](rule)
    if respell is None:
        return form

    def shape(value: Any) -> Any:
        known = respell.get(value.strip()) if isinstance(value, str) else None
        if known is not None:
            return known
        return value if form is None else form(value)

    return shape


def _of_text(shaped: Callable[[str], Any]) -> Shape:
    def shape(value: Any) -> Any:
        if not isinstance(value, str):
            return UNKNOWN
        return shaped(value.strip()) if len(value) <= FORM_CHARS_MAX else UNKNOWN

    return shape


def _number(value: Any) -> Any:
    if type(value) in NUMERIC:
        return value
    text = value.strip() if isinstance(value, str) and len(value) <= FORM_CHARS_MAX else ""
    if not _NUMBER.fullmatch(text):
        return UNKNOWN
    text = text.replace(",", "")
    return float(text) if "." in text else int(text)


def iso_date(text: str, day_first: bool | None = None) -> str:
    """`YYYY-MM-DD` of a date in any of the usual spellings, `unknown` where it is none.

    With the year last it takes `day_first` to say what 03/04/2026 means, but where one of
    the two numbers can only be a day.
    """
    for pattern in _YEAR_FIRST:
        found = pattern.fullmatch(text)
        if found is not None:
            return _day(*map(int, found.groups()))
    found = _YEAR_LAST.fullmatch(text)
    if found is None:
        return UNKNOWN
    one, other, year = map(int, found.groups())
    if day_first is None and (one > _MONTHS) != (other > _MONTHS):
        day_first = one > _MONTHS
    if day_first is None and one != other:
        return UNKNOWN
    return _day(year, other, one) if day_first else _day(year, one, other)


_MONTHS: Final = 12


def _day(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return UNKNOWN


def e164(text: str, region: str) -> str:
    """A valid phone number with its country code (`+8613800138000`), else `unknown`."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return UNKNOWN
    if not phonenumbers.is_valid_number(number):
        return UNKNOWN
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _phone(rule: Cleaning) -> Shape:
    of_text = _of_text(lambda text: e164(text, rule.region))
    # Some send numbers as numbers: the digits are the same.
    return lambda value: of_text(str(value)) if type(value) is int else of_text(value)


def _date(rule: Cleaning) -> Shape:
    of_text = _of_text(lambda text: iso_date(text, rule.day_first))
    return lambda value: of_text(str(value)) if type(value) is int else of_text(value)


_FORMS: Final[dict[str, Callable[[Cleaning], Shape]]] = {
    "trim": lambda rule: lambda value: value.strip() if isinstance(value, str) else value,
    "lower": lambda rule: lambda value: value.strip().lower() if isinstance(value, str) else value,
    "upper": lambda rule: lambda value: value.strip().upper() if isinstance(value, str) else value,
    "number": lambda rule: _number,
    "date": _date,
    "phone": _phone,
    "city": lambda rule: _of_text(standard_city),
}
