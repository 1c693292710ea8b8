"""Review, versions and roll back: what every kind of definition has beside its draft."""

from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli import api, console
from services.cli.api import ApiUrl, AsJson
from services.cli.apply import diff_lines
from services.cli.definition_commands import Id, all_pages, as_written, operation, say_state
from services.client import Client

Note = Annotated[str, typer.Option(help="a word for whoever reads it")]


def add_review_commands(group: typer.Typer, kind: str) -> None:
    """The commands that lead a draft through its review."""

    @group.command("submit", help=f"Ask to have the draft of a {kind} put in force.")
    def submit(id_: Id, note: Note = "", api_url: ApiUrl = api.API_URL) -> None:
        _say(api_url, "submit", kind, id_, {"note": note})

    @group.command("withdraw", help=f"Take the draft of a {kind} back from review.")
    def withdraw(id_: Id, api_url: ApiUrl = api.API_URL) -> None:
        _say(api_url, "withdraw", kind, id_)

    @group.command("approve", help=f"See what a {kind} in review changes, and put it in force.")
    def approve(
        id_: Id,
        note: Note = "",
        yes: Annotated[bool, typer.Option("--yes", help="without asking")] = False,
        api_url: ApiUrl = api.API_URL,
    ) -> None:
        seen = api.ask(api_url, lambda client: operation(client, "read", kind)(id_))
        before, after = as_written(seen.body.published), as_written(seen.body.draft)
        typer.echo("\n".join(diff_lines(before, after, "in force", "the draft")))
        if not yes:
            typer.confirm("put it in force?", abort=True)
        # Exactly what was shown: a draft that changed meanwhile is refused.
        _say(api_url, "approve", kind, id_, {"note": note}, if_match=seen.etag)

    @group.command("reject", help=f"Send the draft of a {kind} back to its authors.")
    def reject(
        id_: Id,
        reason: Annotated[str, typer.Option(help="why, for the authors")],
        api_url: ApiUrl = api.API_URL,
    ) -> None:
        _say(api_url, "reject", kind, id_, {"reason": reason})


def add_version_commands(group: typer.Typer, kind: str) -> None:
    """The commands that look back, and go back."""

    @group.command("versions", help=f"List the versions of a {kind}, the newest first.")
    def versions(id_: Id, as_json: AsJson = False, api_url: ApiUrl = api.API_URL) -> None:
        def work(client: Client) -> Any:
            listing = operation(client, f"list_{kind}", "versions")
            return all_pages(lambda **page: listing(id_, **page))

        found = api.ask(api_url, work)
        if as_json:
            api.print_json(found)
            return
        table = Table("version", "revision", "published", "by", "")
        for one in found:
            archived = "archived" if one.definition is None else ""
            table.add_row(
                str(one.version), str(one.revision), one.published_at[:16], one.by or "", archived
            )
        console.out.print(table)

    @group.command("rollback", help=f"Put an older version of a {kind} in force again.")
    def rollback(
        id_: Id,
        version: Annotated[int, typer.Argument(help="its number, as `versions` lists it")],
        api_url: ApiUrl = api.API_URL,
    ) -> None:
        _say(api_url, "rollback", kind, id_, {"version": version})


def _say(
    api_url: str,
    verb: str,
    kind: str,
    id_: str,
    body: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    given = [id_] if body is None else [id_, body]
    answer = api.ask(api_url, lambda client: operation(client, verb, kind)(*given, **options))
    say_state(answer.body)
