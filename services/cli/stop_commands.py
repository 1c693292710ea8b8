"""`cuestream stop` and `cuestream resume`: the kill switch."""

from typing import Annotated, Any

import typer

from services.cli import api
from services.cli.api import ApiUrl
from services.client import Client
from services.client.models import StopsResource

Channels = Annotated[
    list[str] | None, typer.Option("--channel", help="this channel alone; may be repeated")
]
Note = Annotated[str, typer.Option(help="why, for the audit log")]


def stop(
    channel: Channels = None,
    note: Note = "",
    api_url: ApiUrl = api.API_URL,
) -> None:
    """Stop all sending within two seconds, or that on some channels."""
    _change("stop", channel, note, api_url)


def resume(
    channel: Channels = None,
    note: Note = "",
    api_url: ApiUrl = api.API_URL,
) -> None:
    """Go on sending, everywhere or on some channels."""
    _change("resume", channel, note, api_url)


def stops(api_url: ApiUrl = api.API_URL) -> None:
    """Say what is stopped; exit code 0 either way."""
    _say(api.ask(api_url, lambda client: client.stops()).body)


def _change(verb: str, channels: list[str] | None, note: str, api_url: str) -> None:
    asked: dict[str, Any] = {"note": note}
    asked |= {"channels": channels} if channels else {"all": True}

    async def work(client: Client) -> StopsResource:
        call = client.stop if verb == "stop" else client.resume
        return (await call(asked)).body

    _say(api.ask(api_url, work))


def _say(found: StopsResource) -> None:
    if found.all:
        typer.echo("everything is stopped")
    for channel in found.channels:
        typer.echo(f"{channel} is stopped")
    if not found.all and not found.channels:
        typer.echo("nothing is stopped")
