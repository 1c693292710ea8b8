"""The definitions that a backtest takes from files."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from services.cli.definitions import files_of, read_definitions
from services.contracts.definitions import Trigger
from services.contracts.errors import CuestreamError, DefinitionError
from services.triggers.backtest.rules import refused
from services.triggers.definitions.decoding import convert_definition, split_kind
from services.triggers.definitions.values import Definition


def read_files(paths: Iterable[Path]) -> list[Definition]:
    """The definitions in files and folders; a trigger's draft is taken for live.

    Raises:
        CuestreamError: a file cannot be read, or what is wrong in it, line by line.
    """
    found: list[Definition] = []
    try:
        for file in (file for path in paths for file in files_of(path)):
            try:
                for value in read_definitions([file]):
                    kind, fields = split_kind(value, "definition")
                    found.append(_live(convert_definition(kind, fields, archiving=True)))
            except DefinitionError as error:
                raise DefinitionError(
                    [(f"{file}: {at}", why) for at, why in error.problems]
                ) from error
    except DefinitionError as error:
        raise refused(error) from error
    except OSError as error:
        raise CuestreamError(f"{error.filename}: {error.strerror}") from error
    return found


def _live(definition: Definition) -> Definition:
    if isinstance(definition, Trigger) and definition.status == "draft":
        return msgspec.structs.replace(definition, status="live")
    return definition
