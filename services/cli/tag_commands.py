"""`cuestream tags report`: tags that nobody uses, and tags that went stale."""

from typing import Annotated, Final

import typer
from rich.table import Table

from services.cli import api, console
from services.cli.api import ApiUrl, AsJson
from services.client.models import TagReport

_WHY: Final = {"review_due": "its day of review is over", "no_change": "changed in nobody"}


def tag_report(
    days: Annotated[
        int, typer.Option(min=1, help="so many without a change of anybody's value are many")
    ] = 90,
    all_: Annotated[bool, typer.Option("--all", help="tags that are in order, too")] = False,
    as_json: AsJson = False,
    api_url: ApiUrl = api.API_URL,
) -> None:
    """Tell which tags nobody uses, and which went stale: review over, or no value changes."""
    told = api.ask(api_url, lambda client: client.report_tag(days=days, all_=all_)).body
    if as_json:
        api.print_json(told)
        return
    if told.tags:
        console.out.print(_table(told))
    unused = sum(one.unused for one in told.tags)
    stale = sum(bool(one.stale) for one in told.tags)
    typer.echo(f"{told.tags_in_force} tags in force, {unused} unused, {stale} stale")
    if told.watched_since is None:
        console.err.print("the profile store was not asked, or has noticed nothing yet")


def _table(told: TagReport) -> Table:
    table = Table("id", "name", "layer", "owner", "used by", "last change", "finding")
    for one in told.tags:
        reasons = ["nobody uses it"] if one.unused else []
        reasons += [_WHY.get(why, why) for why in one.stale]
        table.add_row(
            one.id,
            one.name,
            one.layer or "",
            one.owner,
            str(len(one.used_by)),
            "" if one.changed_at is None else str(one.changed_at)[:10],
            ", ".join(reasons),
        )
    return table
