"""Definitions to JSON values and back: the form in PostgreSQL and on the topic."""

from typing import Any, cast

import msgspec

from services.contracts.definitions import HEAD_KEY, KINDS, DefinitionRecord, Kind
from services.triggers.definitions.values import Definition


def to_body(definition: Definition | None) -> dict[str, Any] | None:
    """JSON values of a definition, just as they are read back; defaults are left out."""
    if definition is None:
        return None
    return cast("dict[str, Any]", msgspec.json.decode(msgspec.json.encode(definition)))


def from_body(kind: Kind, body: dict[str, Any] | None) -> Definition | None:
    """The definition again. What stands in the database was checked when it was written."""
    return None if body is None else msgspec.convert(body, KINDS[kind])


def head_record(revision: int) -> DefinitionRecord:
    """The record that closes a revision on the topic."""
    kind, _, id_ = HEAD_KEY.decode().partition("/")
    assert kind == "revision"
    return DefinitionRecord(kind="revision", id=id_, version=revision, revision=revision)
