"""`cuestream templates preview`: a template as a person would get it."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from services.cli import api, console
from services.cli.api import ApiUrl, AsJson
from services.cli.definition_commands import Id
from services.client.models import Preview

_PARTS = ("subject", "body", "html")


def preview(
    id_: Id,
    person: Annotated[
        str | None, typer.Option(help="somebody whom the profile store knows, by id")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="a made-up person: traits and tags, YAML or JSON")
    ] = None,
    event: Annotated[
        Path | None, typer.Option(help="properties of the entry's event, YAML or JSON")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="what is in force, though there is a draft")
    ] = False,
    as_json: AsJson = False,
    api_url: ApiUrl = api.API_URL,
) -> None:
    """Fill a template in for a person, as it would be sent; exit code 3 where it could not be."""
    if (person is None) == (profile is None):
        raise typer.BadParameter("exactly one of --person, --profile is needed")
    asked: dict[str, Any] = {"event": _mapping(event), "published": published}
    asked |= {"person": person} if profile is None else {"profile": _mapping(profile)}
    shown = api.ask(api_url, lambda client: client.preview_template(id_, asked)).body
    if as_json:
        api.print_json(shown)
    else:
        _say(shown)
    if shown.problems:
        raise typer.Exit(api.EXIT_WRONG)


def _say(shown: Preview) -> None:
    for part in _PARTS:
        text = getattr(shown, part)
        if text:
            typer.echo(f"{part}: {text}")
    for name in shown.fallbacks:
        console.err.print(f"fallback for {name}")
    for problem in shown.problems:
        console.err.print(f"{problem.place}: {problem.reason}", markup=False, soft_wrap=True)


def _mapping(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file}: must be a mapping")
    return found
