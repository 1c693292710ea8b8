"""`cuestream tokens` and `cuestream audit`: who may come in, and who did what."""

from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli import api, console
from services.cli.api import ApiUrl, AsJson
from services.cli.definition_commands import PAGE, all_pages
from services.client import Client

tokens = typer.Typer(no_args_is_help=True, help="Make, list and revoke API tokens.")


@tokens.command("list")
def list_tokens(as_json: AsJson = False, api_url: ApiUrl = api.API_URL) -> None:
    """List API tokens, never their secrets."""
    found = api.ask(api_url, lambda client: all_pages(client.list_tokens))
    if as_json:
        api.print_json(found)
        return
    table = Table("id", "name", "owner", "role", "expires", "used", "")
    for one in found:
        table.add_row(
            one.id,
            one.name,
            one.owner,
            one.role,
            one.expires_at[:10],
            (one.last_used_at or "")[:16],
            "revoked" if one.revoked_at else "",
        )
    console.out.print(table)


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="what it is for")],
    role: Annotated[str, typer.Option(help="analyst, operator, reviewer or administrator")],
    owner: Annotated[str, typer.Option(help="whose it is: one owner is one person to review")],
    program: Annotated[bool, typer.Option("--program", help="it is no person's")] = False,
    days: Annotated[int | None, typer.Option(help="until it expires")] = None,
    api_url: ApiUrl = api.API_URL,
) -> None:
    """Make a token. Its secret is printed this once, alone on the standard output."""
    asked: dict[str, Any] = {"name": name, "role": role, "owner": owner, "person": not program}
    if days is not None:
        asked["expires_in_days"] = days
    made = api.ask(api_url, lambda client: client.create_token(asked)).body
    console.err.print(f"token {made.token.id}, until {made.token.expires_at[:10]}")
    typer.echo(made.secret)


@tokens.command("revoke")
def revoke_token(
    id_: Annotated[str, typer.Argument(help="its id, as `list` shows it")],
    api_url: ApiUrl = api.API_URL,
) -> None:
    """Revoke a token at once."""
    revoked = api.ask(api_url, lambda client: client.revoke_token(id_)).body
    typer.echo(f"token {revoked.id}: revoked")


def audit(
    kind: Annotated[str | None, typer.Option(help="of this kind of definition, or token")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="of the one with this id")] = None,
    actor: Annotated[str | None, typer.Option(help="by whoever has this id")] = None,
    since: Annotated[str | None, typer.Option(help="from then on, RFC 3339 with a zone")] = None,
    until: Annotated[str | None, typer.Option(help="up to then")] = None,
    limit: Annotated[int, typer.Option(min=1, help="the newest so many")] = 50,
    as_json: AsJson = False,
    api_url: ApiUrl = api.API_URL,
) -> None:
    """Read the audit log, the newest first: who did what, when."""

    async def work(client: Client) -> list[Any]:
        found: list[Any] = []
        cursor: int | None = None
        while len(found) < limit:
            page = (
                await client.list_audit(
                    kind=kind,
                    id_=id_,
                    actor=actor,
                    since=since,
                    until=until,
                    limit=min(PAGE, limit - len(found)),
                    cursor=cursor,
                )
            ).body
            found += page.items
            if page.next_cursor is None:
                break
            cursor = int(page.next_cursor)
        return found

    found = api.ask(api_url, work)
    if as_json:
        api.print_json(found)
        return
    table = Table("no.", "at", "who", "role", "did", "what", "version", "revision")
    for one in found:
        table.add_row(
            str(one.number),
            one.at[:19].replace("T", " "),
            one.actor_name,
            one.actor_role,
            one.action,
            f"{one.kind} {one.id}",
            str(one.version or ""),
            str(one.revision or ""),
        )
    console.out.print(table)
