"""`cuestream segments sizes|overlap`: how many people are in them, from the profile store."""

from typing import Annotated, Any, Final

import typer
from rich.table import Table

from services.cli import api, console
from services.cli.api import AsJson
from services.cli.stack import DEFAULT_PORTS
from services.client.calling import Caller

STORE_URL: Final = f"http://127.0.0.1:{DEFAULT_PORTS['profile_store']}"

StoreUrl = Annotated[
    str, typer.Option(envvar="CUESTREAM_PROFILE_STORE_URL", help="address of the profile store")
]


def segment_sizes(as_json: AsJson = False, store_url: StoreUrl = STORE_URL) -> None:
    """Tell how many people are in each segment, and which are small or too many."""
    told = api.run(_asked(store_url, "/v1/segments"))
    if as_json:
        api.print_json(told)
        return
    table = Table("id", "name", "core", "people", "share")
    for one in told["segments"]:
        name = one["name"] if one["defined"] else "(no longer defined)"
        share = f"{100 * one['share']:.1f} %"
        table.add_row(one["id"], name, "yes" if one["core"] else "", f"{one['people']:,}", share)
    console.out.print(table)
    typer.echo(f"{told['people']:,} people")
    for remark in told["remarks"]:
        typer.echo(f"worth a look: {remark['segment'] or 'all segments'}: {remark['message']}")


def segment_overlap(as_json: AsJson = False, store_url: StoreUrl = STORE_URL) -> None:
    """Tell how many people are in both of every two segments."""
    told = api.run(_asked(store_url, "/v1/segments/overlap"))
    if as_json:
        api.print_json(told)
        return
    table = Table("one", "other", "people in both", "share of either")
    for one in sorted(told["overlaps"], key=lambda one: -one["jaccard"]):
        share = f"{100 * one['jaccard']:.1f} %"
        table.add_row(one["one"], one["other"], f"{one['people']:,}", share)
    console.out.print(table)


async def _asked(url: str, path: str) -> Any:
    caller = Caller(url, api.token())
    try:
        return (await caller.call("GET", path, dict[str, Any])).body
    finally:
        await caller.close()
