"""Definitions in files: reading them and putting them in force through the API.

A file is YAML with one document for each definition, which names its `kind` (trigger, tag,
policy or workspace) beside its fields. What the fields may be is the API's to check.
"""

from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import yaml

from services.contracts.errors import CuestreamError, DefinitionError, Transient

FILE_BYTES_MAX: Final = 1024 * 1024
REQUEST_TIMEOUT_SECONDS: Final = 30.0
SUFFIXES: Final = (".yaml", ".yml", ".json")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What the API did, or would do, with one definition: create, change, archive or none.

    `before` and `after` are the definition in force, None where there is none.
    """

    kind: str
    id: str
    action: str
    version: int
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """Something right that is worth another look."""

    place: str
    reason: str


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The API's answer; `revision` is None where everything stood so already."""

    revision: int | None
    changes: list[Change]
    warnings: list[Warned] = []


def example_files(name: str) -> list[Path]:
    """The files of a set that is shipped: `shop`, `retail` or `lifecycle`."""
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
) -> Applied:
    """Put the definitions in force in one revision, or only say what that would change.

    Raises:
        DefinitionError: the API names what is wrong with them.
        Transient: the API cannot be reached or is not ready.
        CuestreamError: it refuses for another reason, such as the token.
    """
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    try:
        body = msgspec.json.encode({"definitions": definitions, "dry_run": dry_run})
    except TypeError as error:
        # YAML knows dates, sets and binary, definitions don't.
        raise DefinitionError([("definitions", str(error))]) from error
    async with httpx.AsyncClient(trust_env=False, timeout=REQUEST_TIMEOUT_SECONDS) as client:
        try:
            answer = await client.post(f"{api_url}/v1/apply", content=body, headers=headers)
        except httpx.HTTPError as error:
            raise Transient(f"the API at {api_url}: {error!r}") from error
    if answer.status_code == httpx.codes.OK:
        return msgspec.json.decode(answer.content, type=Applied)
    raise _refusal(answer)


def _refusal(answer: httpx.Response) -> CuestreamError:
    try:
        problem = answer.json()
        errors = [(str(one["place"]), str(one["reason"])) for one in problem.get("errors", ())]
        detail = str(problem.get("detail", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        errors, detail = [], answer.text[:500]
    if errors:
        return DefinitionError(errors)
    if answer.status_code in (429, 503):
        return Transient(f"the API is busy: {detail}")
    return CuestreamError(f"the API answered {answer.status_code}: {detail}")
