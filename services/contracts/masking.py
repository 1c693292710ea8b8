"""What may be shown of sensitive fields to those who may not see them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

SENSITIVE_TRAITS: Final = ("phone", "email", "id_number", "address")
"""Sensitive unless a setting says otherwise."""
MASK: Final = "***"
_SHOWING: Final = frozenset({"first", "last", "top_k"})
"""Aggregates whose value is one of the property's, or some; the others give numbers."""
_SUBJECTS: Final = ("trait", "property", "tag")
_PHONE_SHOWN: Final = 4
_DIGITS_MIN: Final = 7


def is_sensitive(path: str, names: Collection[str]) -> bool:
    """Whether a dotted path leads to, or through, one of these traits."""
    return any(part in names for part in path.split("."))


def sensitive_tags(
    tags: Iterable[tuple[str, Mapping[str, Any]]], names: Collection[str]
) -> frozenset[str]:
    """Which tags show a value of these traits or properties; each by id, as it is published."""
    return frozenset(
        id_
        for id_, tag in tags
        if is_sensitive(
            (tag.get("derive") or {}).get("trait")
            or (tag.get("value") if tag.get("aggregate") in _SHOWING else None)
            or "",
            names,
        )
    )


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


def mask_tags(values: Mapping[str, Any], tags: Collection[str]) -> dict[str, Any]:
    """The same values with those of sensitive tags masked; see `sensitive_tags`."""
    return {
        id_: masked(value) if id_ in tags and value is not None else value
        for id_, value in values.items()
    }


def mask_clause(
    clause: Mapping[str, Any], names: Collection[str], tags: Collection[str] = ()
) -> dict[str, Any]:
    """What a clause found, with the value masked of a trait, a property or a tag that is sensitive.

    It names it as `trait`, `property` or `tag`, or as `name` where its `subject` is one.
    """
    told = dict(clause)
    if told.get("actual") is None:
        return told
    for subject in _SUBJECTS:
        which = told.get("name") if told.get("subject") == subject else told.get(subject)
        if isinstance(which, str) and (
            which in tags if subject == "tag" else is_sensitive(which, names)
        ):
            told["actual"] = masked(told["actual"])
            break
    return told


def _shown(name: str, value: Any, names: Collection[str]) -> Any:
    if value is None:
        return None
    if is_sensitive(name, names):
        return masked(value)
    if isinstance(value, dict):
        return mask_traits(value, names)
    return value
