"""Bodies of requests and files to definitions: strictly, with the place of what is wrong."""

import re
from typing import Any, Final, cast

import msgspec

from services.contracts.conditions import ID_PATTERN
from services.contracts.definitions import KINDS, Kind
from services.contracts.errors import DefinitionError
from services.triggers.definitions.values import Definition, place_of

DEFINITION_BYTES_MAX: Final = 256 * 1024
DEFINITION_DEPTH_MAX: Final = 64
_INTEGER_MAX: Final = (1 << 63) - 1

_AT: Final = re.compile(r"^(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_FIELD: Final = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)
_SURE_ID: Final = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")


class NotJson(DefinitionError):
    """The bytes are no JSON at all."""


def decode_value(raw: bytes, *, what: str = "body") -> Any:
    """Read JSON into plain values.

    Raises:
        NotJson: it is not JSON, or nested deeper than any reader should follow.
    """
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise NotJson([(what, f"not JSON: {error}")]) from error
    except (UnicodeDecodeError, RecursionError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deeply"
        raise NotJson([(what, reason)]) from error


def convert_definition(
    kind: Kind, value: Any, *, id_: str | None = None, archiving: bool = False
) -> Definition:
    """Make a definition of plain values; unknown fields and wrong types are refused.

    `version` is the service's to give, so a version in `value` is ignored. A trigger
    without `status` gets `draft`: it keeps the status it has. `id_` is the id the address
    says, taken where the body has none. `archived` is allowed only where `archiving`.

    Raises:
        DefinitionError: with place and reason of what does not fit.
    """
    if not isinstance(value, dict):
        raise DefinitionError([(place_of(kind, id_ or "?"), "a definition is an object")])
    fields = dict(value)
    if id_ is not None:
        fields.setdefault("id", id_)
    place = place_of(kind, _name(fields.get("id")))
    if kind == "trigger":
        fields.setdefault("status", "draft")
    id_given = fields.get("id")
    # `$` in a pattern lets a line feed at the end pass.
    if isinstance(id_given, str) and _name(id_given) == "?":
        raise DefinitionError([(f"{place}.id", f"must match {ID_PATTERN}")])
    problems = unreadable(fields, place)
    if problems:
        raise DefinitionError(problems)
    try:
        definition = msgspec.convert(fields, KINDS[kind])
    except msgspec.ValidationError as error:
        raise DefinitionError([problem_of(place, str(error))]) from error
    if id_ is not None and definition.id != id_:
        raise DefinitionError([(f"{place}.id", f"the address says {id_}")])
    if getattr(definition, "status", None) == "archived" and not archiving:
        raise DefinitionError([(f"{place}.status", "archive it with DELETE instead")])
    return msgspec.structs.replace(definition, version=0)


def _name(id_: Any) -> str:
    return id_ if isinstance(id_, str) and _SURE_ID.match(id_) else "?"


def unreadable(value: Any, place: str) -> list[tuple[str, str]]:
    """What a type cannot say: depth, numbers no reader holds, characters no text may have.

    Iterative on purpose: the input chooses the depth.
    """
    waiting: list[tuple[str, Any, int]] = [(place, value, 0)]
    while waiting:
        at, value, depth = waiting.pop()
        if depth > DEFINITION_DEPTH_MAX:
            return [(at, f"nested deeper than {DEFINITION_DEPTH_MAX}")]
        if isinstance(value, dict):
            waiting += [(f"{at}.{key}", one, depth + 1) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(f"{at}[{index}]", one, depth + 1) for index, one in enumerate(value)]
        elif isinstance(value, str) and "\0" in value:
            return [(at, "contains the character U+0000")]
        elif isinstance(value, int) and abs(value) > _INTEGER_MAX:
            return [(at, "the number does not fit 64 bits")]
    return []


def problem_of(place: str, message: str) -> tuple[str, str]:
    """Turn msgspec's sentence into the place and the reason."""
    found = _AT.match(message)
    assert found is not None
    path, reason = found["path"] or "", found["reason"]
    field = _FIELD.match(reason)
    if field is not None:
        path = f"{path}.{field[2]}"
        reason = "is required" if field[1] == "missing required" else "unknown field"
    return f"{place}{path}", reason


def split_kind(value: Any, place: str) -> tuple[Kind, dict[str, Any]]:
    """Take `kind` out of a definition that names it itself, as files do.

    Raises:
        DefinitionError: no object, or a kind that there is not.
    """
    if not isinstance(value, dict):
        raise DefinitionError([(place, "a definition is an object")])
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise DefinitionError([(f"{place}.kind", f"must be one of {', '.join(KINDS)}")])
    return cast("Kind", kind), {name: one for name, one in value.items() if name != "kind"}
