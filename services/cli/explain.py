"""`cuestream explain`: why one person did or did not get one trigger, from the topics."""

from typing import Annotated

import msgspec
import typer
from rich.text import Text

from services.cli import console
from services.runtime.clock import WallClock
from services.runtime.settings import KafkaSettings, load
from services.triggers.trial.from_topics import (
    RECORDS_BACK,
    RECORDS_BACK_MAX,
    explain_from_topics,
)


def explain_command(
    person: Annotated[str, typer.Argument(help="the person's id")],
    trigger: Annotated[str, typer.Argument(help="the trigger's id")],
    step: Annotated[
        int | None,
        typer.Option(
            min=0, help="why they did not get this step: its number, counted through all, from 0"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the explanation as JSON")] = False,
    records_back: Annotated[
        int,
        typer.Option(
            min=0,
            max=RECORDS_BACK_MAX,
            help="how many records of the person's partition of events to look through for their "
            "last events",
        ),
    ] = RECORDS_BACK,
) -> None:
    """Say why a person did or did not get a trigger.

    Read from the decisions, the worker's states, the last events and the definitions in
    force, all of them topics. What it prints is about a person: keep it as such.
    """
    settings = load(KafkaSettings)
    now = 0 if settings.clock == "replay" else WallClock().stamp(None)
    found = console.run(
        explain_from_topics(
            settings, person, trigger, now=now, records_back=records_back, step=step
        )
    )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    console.out.print(Text(found.sentence))
    for finding in found.findings:
        console.out.print(Text(f"  {finding.kind}: {finding.sentence}"))
