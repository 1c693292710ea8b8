"""What may be shown of sensitive fields to those who may not see them."""

from collections.abc import Collection, Mapping
from typing import Any, Final

SENSITIVE_TRAITS: Final = ("phone", "email", "id_number", "address")
"""Sensitive unless a setting says otherwise."""
MASK: Final = "***"
_PHONE_SHOWN: Final = 4
_DIGITS_MIN: Final = 7


def is_sensitive(path: str, names: Collection[str]) -> bool:
    """Whether a dotted path leads to, or through, one of these traits."""
    return any(part in names for part in path.split("."))


def masked(value: Any) -> Any:
    """A value as anybody may see it: the end of a phone number, the domain of an address.

    Whatever else it is, it only shows that it is there.
    """
    if not isinstance(value, str):
        return MASK
    name, at, domain = value.rpartition("@")
    if at and name and domain and " " not in value:
        return f"{name[:1]}{MASK}@{domain}"
    digits = value.removeprefix("+")
    if digits.isdecimal() and digits.isascii() and len(digits) >= _DIGITS_MIN:
        return MASK + digits[-_PHONE_SHOWN:]
    return MASK


def mask_traits(traits: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The same traits with the sensitive ones masked, nested ones too."""
    return {name: _shown(name, value, names) for name, value in traits.items()}


def mask_clause(clause: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """What a clause found, with the value of a sensitive trait masked.

    It names the trait as `trait`, or as `name` where its `subject` is one.
    """
    told = dict(clause)
    trait = told.get("name") if told.get("subject") == "trait" else told.get("trait")
    if isinstance(trait, str) and "actual" in told and is_sensitive(trait, names):
        actual = told["actual"]
        told["actual"] = None if actual is None else masked(actual)
    return told


def _shown(name: str, value: Any, names: Collection[str]) -> Any:
    if value is None:
        return None
    if is_sensitive(name, names):
        return masked(value)
    if isinstance(value, dict):
        return mask_traits(value, names)
    return value
