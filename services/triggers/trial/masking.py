"""Answers about people without what not everybody may see: sensitive traits are masked."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from services.contracts.definitions import Tag
from services.contracts.masking import (
    is_sensitive,
    mask_clause,
    mask_tags,
    mask_traits,
    masked,
    sensitive_tags,
)
from services.triggers.engine.explain_texts import value_text


def masked_answer(answer: Any, names: Collection[str], tags: Iterable[Tag] = ()) -> Any:
    """The answer as JSON values: traits masked, and so what clauses found of them, in the fields
    and in the sentences. Likewise of properties of these names, and of `tags` that show one.
    """
    found: dict[str, str] = {}
    hidden = sensitive_tags(((tag.id, msgspec.to_builtins(tag)) for tag in tags), names)
    value = _masked(msgspec.to_builtins(answer), names, hidden, found)
    return _in_sentences(value, found) if found else value


def masked_variables(variables: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Variables of a command with the person's sensitive traits masked, those too that a
    template took from among them.
    """
    traits = variables.get("person", {})
    secrets = [one for one in _secrets(traits, names) if isinstance(one, str)]
    shown = {
        name: masked(value) if isinstance(value, str) and value in secrets else value
        for name, value in variables.items()
    }
    return {**shown, "person": mask_traits(traits, names)}


def _secrets(traits: Mapping[str, Any], names: Collection[str]) -> list[Any]:
    found: list[Any] = []
    for name, value in traits.items():
        if is_sensitive(name, names):
            found.append(value)
        elif isinstance(value, dict):
            found += _secrets(value, names)
    return found


def _masked(
    value: Any, names: Collection[str], tags: Collection[str], found: dict[str, str]
) -> Any:
    if isinstance(value, list | tuple):
        return [_masked(one, names, tags, found) for one in value]
    if not isinstance(value, dict):
        return value
    told = mask_clause(value, names, tags)
    if told.get("actual") != value.get("actual"):
        found[value_text(value["actual"])] = value_text(told["actual"])
    return {name: _within(name, one, names, tags, found) for name, one in told.items()}


def _within(
    name: str, value: Any, names: Collection[str], tags: Collection[str], found: dict[str, str]
) -> Any:
    if name == "traits" and isinstance(value, dict):
        return mask_traits(value, names)
    if name == "tags" and isinstance(value, dict):
        value = mask_tags(value, tags)
    return _masked(value, names, tags, found)


def _in_sentences(value: Any, found: Mapping[str, str], name: str = "") -> Any:
    if isinstance(value, str) and name == "sentence":
        for text, instead in found.items():
            value = value.replace(text, instead)
        return value
    if isinstance(value, list):
        return [_in_sentences(one, found, name) for one in value]
    if isinstance(value, dict):
        return {key: _in_sentences(one, found, key) for key, one in value.items()}
    return value
