"""`cuestream triggers|tags|segments|…`: look at definitions, and put them in or out of force."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from services.cli import api, console
from services.cli.api import ApiUrl, AsJson
from services.cli.apply import run_apply
from services.client import Answer, Client

PAGE: Final = 200

Id = Annotated[str, typer.Argument(help="its id")]
Status = Annotated[
    str | None,
    typer.Option(help="draft, in_review, live, paused or archived; left out: all but archived"),
]
Operation = Callable[..., Coroutine[Any, Any, Answer[Any]]]

PLURALS: Final = {
    "trigger": "triggers",
    "tag": "tags",
    "segment": "segments",
    "lifecycle": "lifecycles",
    "template": "templates",
    "policy": "policies",
}


def operation(client: Client, verb: str, noun: str) -> Operation:
    """An operation of the client by the name that the API's document gives it."""
    found: Operation = getattr(client, f"{verb}_{noun}")
    return found


async def all_pages(list_: Operation, **options: Any) -> list[Any]:
    """Every item of a listing, page after page."""
    items: list[Any] = []
    cursor: str | None = None
    while True:
        page = (await list_(limit=PAGE, cursor=cursor, **options)).body
        items.extend(page.items)
        cursor = page.next_cursor
        if not cursor:
            return items


def make_group(kind: str, help_: str, *, alone: bool = False) -> typer.Typer:
    """The commands that every kind of definition has; `alone`: the group does something itself."""
    group = typer.Typer(no_args_is_help=not alone, help=help_)
    _add_reading(group, kind)
    _add_changing(group, kind)
    return group


def _add_reading(group: typer.Typer, kind: str) -> None:
    plural = PLURALS[kind]

    @group.command("list", help=f"List {plural}: status, versions, and whether a draft waits.")
    def list_(
        status: Status = None, as_json: AsJson = False, api_url: ApiUrl = api.API_URL
    ) -> None:
        found = api.ask(
            api_url,
            lambda client: all_pages(operation(client, "list", plural), status=status),
        )
        if as_json:
            api.print_json(found)
        else:
            console.out.print(_table(found))

    @group.command(
        "show", help=f"Print one {kind} as YAML: what is published, or with --draft the draft."
    )
    def show(
        id_: Id,
        draft: Annotated[bool, typer.Option("--draft", help="the draft instead")] = False,
        as_json: AsJson = False,
        api_url: ApiUrl = api.API_URL,
    ) -> None:
        found = api.ask(api_url, lambda client: operation(client, "read", kind)(id_)).body
        if as_json:
            api.print_json(found)
            return
        shown = found.draft if draft else found.published or found.draft
        if shown is None:
            console.err.print(f"[red]cuestream:[/red] {kind} {id_} has no draft")
            raise typer.Exit(api.EXIT_NOT_FOUND)
        # As a file for `apply`, which names its kind.
        api.print_yaml({"kind": kind, **(as_written(shown) or {})})


def _add_changing(group: typer.Typer, kind: str) -> None:
    @group.command("apply", help=f"Put the {PLURALS[kind]} in files in force, showing a diff.")
    def apply(
        files: Annotated[list[Path], typer.Argument(help="YAML or JSON files, or folders")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="show changes, make none")] = False,
        api_url: ApiUrl = api.API_URL,
    ) -> None:
        run_apply(files, api_url, dry_run=dry_run, kind=kind)

    @group.command("publish", help=f"Put the draft of a {kind} in force.")
    def publish(id_: Id, api_url: ApiUrl = api.API_URL) -> None:
        say_state(api.ask(api_url, lambda client: operation(client, "publish", kind)(id_)).body)

    @group.command("archive", help=f"Take a {kind} out of force for good.")
    def archive(id_: Id, api_url: ApiUrl = api.API_URL) -> None:
        async def work(client: Client) -> Any:
            seen = await operation(client, "read", kind)(id_)
            return (await operation(client, "archive", kind)(id_, if_match=seen.etag)).body

        say_state(api.ask(api_url, work))


def add_trigger_commands(group: typer.Typer) -> None:
    """What only triggers have."""

    @group.command("pause", help="Stop deciding under a trigger at once; who is under way waits.")
    def pause(id_: Id, api_url: ApiUrl = api.API_URL) -> None:
        say_state(api.ask(api_url, lambda client: client.pause_trigger(id_)).body)

    @group.command("resume", help="Go on with a paused trigger at once.")
    def resume(id_: Id, api_url: ApiUrl = api.API_URL) -> None:
        say_state(api.ask(api_url, lambda client: client.resume_trigger(id_)).body)


def say_state(found: Any) -> None:
    """One line: where a definition stands now."""
    draft = ""
    if found.draft is not None:
        in_review = found.review is not None and found.review.submitted is not None
        draft = ", a draft is in review" if in_review else ", a draft waits"
    version = f", version {found.version}" if found.version else ""
    revision = f", revision {found.revision}" if found.revision else ""
    typer.echo(f"{found.kind} {found.id}: {found.status}{version}{revision}{draft}")


def as_written(definition: Any) -> dict[str, Any] | None:
    """A definition as people write it: the service counts its versions."""
    if definition is None:
        return None
    shown = dict(msgspec.to_builtins(definition))
    shown.pop("version", None)
    return shown


def _table(found: list[Any]) -> Table:
    table = Table("id", "name", "status", "version", "draft", "updated")
    for one in found:
        definition = one.published or one.draft
        table.add_row(
            one.id,
            "" if definition is None else definition.name,
            one.status,
            str(one.version or ""),
            "yes" if one.draft is not None else "",
            str(one.updated_at)[:16].replace("T", " "),
        )
    return table
