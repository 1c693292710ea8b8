"""Definitions to JSON values and back: the form in PostgreSQL and on the topic."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec

from services.contracts.definitions import (
    HEAD_KEY,
    KINDS,
    VERSIONS_KEPT_MAX,
    DefinitionRecord,
    Kind,
)
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


def version_of(record: DefinitionRecord) -> DefinitionRecord:
    """A trigger's record under the key of its version alone."""
    return msgspec.structs.replace(record, kind="version", id=f"{record.id}@{record.version}")


def with_versions(records: Iterable[DefinitionRecord]) -> Iterator[DefinitionRecord]:
    """The records of one revision with what they mean for versions: a published trigger adds
    its own and lets go of the oldest one, a removed trigger lets go of all: nobody goes on in
    a version from before the removal.
    """
    versions: list[DefinitionRecord] = []
    for record in records:
        yield record
        if record.kind != "trigger":
            continue
        oldest = max(1, record.version - VERSIONS_KEPT_MAX)
        last = record.version
        if record.definition is not None:
            versions.append(version_of(record))
            last = record.version - VERSIONS_KEPT_MAX + 1
        versions += [
            version_of(msgspec.structs.replace(record, version=version, definition=None))
            for version in range(oldest, last)
        ]
    yield from versions


def kept_versions(published: Iterable[DefinitionRecord]) -> list[DefinitionRecord]:
    """Versions of one trigger that people may be under way in, of all that were published (in
    any order, removals too), the oldest first; none where it is removed now.
    """
    newest_first = sorted(published, key=lambda record: -record.version)
    kept: list[DefinitionRecord] = []
    for record in newest_first[:VERSIONS_KEPT_MAX]:
        if record.definition is None:
            break
        kept.append(version_of(record))
    return kept[::-1]
