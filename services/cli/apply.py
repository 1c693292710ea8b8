"""`cuestream apply`: definitions in files, shown as a diff, put in force in one revision."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from services.cli import api
from services.cli import definitions as client
from services.cli.definitions import files_of, read_definitions
from services.client.models import AppliedChange, ApplyResult
from services.contracts.errors import CuestreamError, DefinitionError
from services.triggers.definitions.values import PLURALS, place_of

DIFF_CONTEXT_LINES: Final = 3


async def apply(
    files: Sequence[Path],
    api_url: str,
    token: str,
    dry_run: bool,
    *,
    kind: str | None = None,
    say: Callable[[str], None] = typer.echo,
) -> ApplyResult:
    """Show what the definitions in these files and folders change, then put them in force.

    With `kind` they may be of that kind alone.

    Nothing is put in force when one of them is wrong, nothing new when all stand so already.

    Raises:
        DefinitionError: what is wrong; each place begins with the file it stands in.
        Transient: the API cannot be reached or is not ready.
        CuestreamError: it refuses for another reason, such as the token.
        OSError: a file cannot be read.
    """
    given: list[dict[str, Any]] = []
    origins: dict[str, str] = {}
    for file in (file for path in files for file in files_of(path)):
        for definition in read_definitions([file]):
            if definition["kind"] in PLURALS:
                origins[place_of(definition["kind"], str(definition.get("id")))] = str(file)
            if kind is not None and definition["kind"] != kind:
                raise DefinitionError([(str(file), f"holds a {definition['kind']}, not a {kind}")])
            given.append(definition)
    if not given:
        raise DefinitionError([(", ".join(map(str, files)), "holds no definitions")])
    try:
        planned = await client.apply(api_url, token, given, dry_run=True)
        for change in planned.changes:
            if change.action != "none":
                say("\n".join(diff(change)))
        for warned in planned.warnings:
            say(f"worth a look: {_with_origin(warned.place, origins)}: {warned.reason}")
        changing = sum(change.action != "none" for change in planned.changes)
        if dry_run or not changing:
            say(
                f"{changing} of {len(given)} definitions would change" if changing else "no changes"
            )
            return planned
        applied = await client.apply(api_url, token, given)
    except DefinitionError as error:
        raise DefinitionError(
            [(_with_origin(place, origins), reason) for place, reason in error.problems]
        ) from error
    say(f"revision {applied.revision}: {changing} of {len(given)} definitions changed")
    return applied


def diff(change: AppliedChange) -> Iterator[str]:
    """Lines of a unified diff between what is in force and what will be."""
    name = place_of(change.kind, change.id)
    yield from diff_lines(
        change.before,
        change.after,
        f"{name} in force" if change.before is not None else "nothing in force",
        f"{name} version {change.version}" if change.after is not None else "archived",
    )


def diff_lines(
    before: dict[str, Any] | None, after: dict[str, Any] | None, was: str, becomes: str
) -> Iterator[str]:
    """Lines of a unified diff between two definitions, as YAML."""
    lines = _lines(before), _lines(after)
    yield from difflib.unified_diff(*lines, was, becomes, lineterm="", n=DIFF_CONTEXT_LINES)


def _lines(definition: dict[str, Any] | None) -> list[str]:
    if definition is None:
        return []
    # The version counts publications: that it grows is no change anybody wrote.
    shown = {name: value for name, value in definition.items() if name != "version"}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).splitlines()


def _with_origin(place: str, origins: dict[str, str]) -> str:
    for name, file in origins.items():
        if place == name or place.startswith((f"{name}.", f"{name}[")):
            return f"{file}: {place}"
    return place


def apply_command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="YAML or JSON files, or folders of them")
    ] = None,
    more_files: Annotated[
        list[Path] | None, typer.Option("-f", "--file", help="the same, as an option")
    ] = None,
    api_url: api.ApiUrl = api.API_URL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show changes, make none")] = False,
) -> None:
    """Show what definitions in files change, then put them in force in one revision.

    The bearer token is the first of CUESTREAM_API_TOKENS.
    """
    given = [*(files or ()), *(more_files or ())]
    if not given:
        raise typer.BadParameter("name a file or a folder", param_hint="FILES")
    run_apply(given, api_url, dry_run=dry_run)


def run_apply(
    files: Sequence[Path], api_url: str, *, dry_run: bool, kind: str | None = None
) -> None:
    """`apply` as a command; with `kind` nothing else may stand in the files."""

    async def work() -> None:
        try:
            await apply(files, api_url, api.token(), dry_run, kind=kind)
        except DefinitionError as error:
            lines = (f"{place}: {reason}" for place, reason in error.problems)
            raise api.Refused("\n".join(["not applied", *lines]), api.EXIT_WRONG) from error
        except OSError as error:
            raise CuestreamError(f"{error.filename}: {error.strerror}") from error

    api.run(work())
