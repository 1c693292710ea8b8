"""Definitions in files: reading them and putting them in force through the API.

A file is YAML with one document for each definition, which names its `kind` (trigger, tag,
template, …) beside its fields. What the fields may be is the API's to check.
"""

from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from services.cli.api import refusal
from services.client import ApiError, Client, Unreachable
from services.client.models import ApplyResult
from services.contracts.errors import DefinitionError, Transient

FILE_BYTES_MAX: Final = 1024 * 1024
SUFFIXES: Final = (".yaml", ".yml", ".json")


def example_files(name: str) -> list[Path]:
    """The files of a set that is shipped: `shop`, `retail`, `lifecycle`, `tags` or `segments`."""
    return files_of(Path(str(resources.files("services.cli.examples").joinpath(name))))


def files_of(path: Path) -> list[Path]:
    """The file itself, or every definition file under a folder, in order of their names."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)


def read_definitions(files: Iterable[Path]) -> list[dict[str, Any]]:
    """All definitions in the files, in order.

    Raises:
        DefinitionError: a file is no YAML, or a document is no mapping with a `kind`.
        OSError: a file cannot be read.
    """
    return [definition for file in files for definition in _documents(file)]


def _documents(file: Path) -> Iterator[dict[str, Any]]:
    if file.stat().st_size > FILE_BYTES_MAX:
        raise DefinitionError([(file.name, f"longer than {FILE_BYTES_MAX} bytes")])
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}"
        raise DefinitionError([(file.name, f"not YAML in UTF-8{where}")]) from error
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            place = f"{file.name}, document {number}"
            raise DefinitionError([(place, "must be a mapping with a kind")])
        yield document


async def apply(
    api_url: str, token: str, definitions: list[dict[str, Any]], *, dry_run: bool = False
) -> ApplyResult:
    """Put the definitions in force in one revision, or only say what that would change.

    Raises:
        DefinitionError: the API names what is wrong with them.
        Transient: the API cannot be reached or is not ready.
        Refused: it refuses for another reason, such as the token.
    """
    async with Client(api_url, token) as client:
        try:
            body = {"definitions": definitions, "dry_run": dry_run}
            return (await client.apply(body)).body
        except ApiError as error:
            if error.errors:
                problems = [(one.place, one.reason) for one in error.errors]
                raise DefinitionError(problems) from error
            if error.retry_after_seconds is not None:
                raise Transient(f"the API is busy: {error.detail}") from error
            raise refusal(error) from error
        except Unreachable as error:
            raise Transient(str(error)) from error
        except TypeError as error:
            # YAML knows dates, sets and binary, definitions don't.
            raise DefinitionError([("definitions", str(error))]) from error
