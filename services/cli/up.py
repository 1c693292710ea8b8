"""`cuestream up`: everything on this machine, until it is told to stop."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.table import Table

from services.cli import console
from services.cli.definitions import apply, example_files, read_definitions
from services.cli.stack import DEFAULT_PORTS, WORKERS_MAX, Stack, StackSettings
from services.contracts.errors import Transient
from services.runtime.supervisor import PartState

POLL_SECONDS: Final = 0.2
LABELS: Final = {
    "ingest": "ingest (Segment's HTTP API)",
    "api": "marketers' API",
    "profile_store": "profiles (read API)",
    "dispatcher": "dispatcher (metrics)",
}


async def run_up(settings: StackSettings, examples: str | None, printer: Console) -> int:
    """Start, print where things are, wait for a signal or a part that is given up.

    Returns the exit code: 0 after a signal.

    Raises:
        CuestreamError: a part did not come up, or the examples were refused.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stack = Stack(settings)
    printer.print(f"starting; logs in {stack.logs}")
    stopped = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(_start(stack))
    showing = asyncio.create_task(_show_states(stack, printer))
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    showing.cancel()
    if not starting.done():
        printer.print("stopping")
        starting.cancel()
        await asyncio.wait((starting,))
        return 0
    starting.result()
    try:
        applied = await _until(stopped, _first_definitions(stack, examples))
        if applied is not None:
            print_addresses(stack, printer, applied)
        failed = asyncio.create_task(stack.failed())
        await asyncio.wait((failed, stopped), return_when=asyncio.FIRST_COMPLETED)
        failed.cancel()
        if not stopped.done():
            raise failed.result()
        printer.print("stopping")
    finally:
        stopped.cancel()
        await stack.__aexit__(None, None, None)
    printer.print("stopped; nothing is left running")
    return 0


async def _start(stack: Stack) -> None:
    await stack.__aenter__()


async def _until(stopped: "asyncio.Task[Any]", work: Coroutine[Any, Any, str]) -> str | None:
    """The work's result; None when asked to stop before."""
    doing = asyncio.create_task(work)
    await asyncio.wait((doing, stopped), return_when=asyncio.FIRST_COMPLETED)
    if doing.done():
        return doing.result()
    doing.cancel()
    await asyncio.wait((doing,))
    return None


async def _show_states(stack: Stack, printer: Console) -> None:
    with printer.status("starting broker and database") as status:
        while True:
            waiting = [
                name
                for name, state in stack.supervisor.states().items()
                if state is PartState.STARTING
            ]
            if waiting:
                status.update(f"waiting for {', '.join(waiting)}")
            await asyncio.sleep(POLL_SECONDS)


async def _first_definitions(stack: Stack, examples: str | None) -> str:
    """Apply the examples where nothing is defined yet; says what was done.

    A database from an earlier run holds what marketers made of them: that stays.
    """
    if examples is None:
        return "no examples asked for"
    headers = {"Authorization": f"Bearer {stack.api_token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
        try:
            answer = await client.get(f"{stack.api_url}/v1/triggers", headers=headers)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Transient(f"the API does not list triggers: {type(error).__name__}") from error
    page = answer.json()
    if any(isinstance(value, list) and value for value in page.values()):
        return "definitions of an earlier run are in force; the examples were left alone"
    definitions = read_definitions(example_files(examples))
    applied = await apply(stack.api_url, stack.api_token, definitions)
    return f"{len(definitions)} example definitions ({examples}), revision {applied.revision}"


def print_addresses(stack: Stack, printer: Console, applied: str) -> None:
    """A table of where each part listens, and what is needed to use it."""
    table = Table(title="cuestream is up", title_justify="left")
    table.add_column("part")
    table.add_column("address", overflow="fold")
    embedded = " (embedded)"
    table.add_row(f"Kafka{embedded if stack.volatile else ''}", stack.kafka)
    database = stack.settings.database_url is None
    table.add_row(f"PostgreSQL{embedded if database else ''}", stack.database_address)
    for name, label in LABELS.items():
        table.add_row(label, getattr(stack, f"{name}_url"))
    for number, url in enumerate(stack.triggers_urls, start=1):
        table.add_row(f"triggers worker {number} (metrics)", url)
    table.add_row("logs", str(stack.logs))
    table.add_row("write key", stack.write_key)
    table.add_row("API token", stack.api_token)
    table.add_row("definitions", applied)
    printer.print(table)
    printer.print(
        f"curl -u {stack.write_key}: {stack.ingest_url}/v1/track"
        " -H 'Content-Type: application/json'"
        """ -d '{"userId":"ana","event":"Product Viewed","properties":{"product_id":"p1"}}'""",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if stack.volatile:
        printer.print(
            "[yellow]The embedded broker keeps the stream in memory: events, decisions and the "
            "workers' state are gone when it stops. Set CUESTREAM_KAFKA to keep them.[/yellow]"
        )
    printer.print("Ctrl-C stops everything")


def up_command(
    data_dir: Annotated[Path, typer.Option(help="folder of the database, logs and secrets")] = Path(
        ".cuestream"
    ),
    workers: Annotated[int, typer.Option(min=1, max=WORKERS_MAX, help="triggers workers")] = 1,
    examples: Annotated[
        str, typer.Option(help="definitions to begin with: shop, retail, lifecycle, tags or none")
    ] = "shop",
    free_ports: Annotated[
        bool, typer.Option(help=f"take free ports instead of {min(DEFAULT_PORTS.values())} and on")
    ] = False,
) -> None:
    """Start everything on this machine; Ctrl-C stops it.

    CUESTREAM_KAFKA and CUESTREAM_DATABASE_URL replace the embedded broker and database.
    """
    settings = StackSettings(
        data_dir=data_dir.resolve(),
        kafka=os.environ.get("CUESTREAM_KAFKA"),
        database_url=os.environ.get("CUESTREAM_DATABASE_URL"),
        workers=workers,
        free_ports=free_ports,
    )
    if examples not in ("shop", "retail", "lifecycle", "tags", "none"):
        raise typer.BadParameter("shop, retail, lifecycle, tags or none", param_hint="--examples")
    chosen = None if examples == "none" else examples
    raise typer.Exit(console.run(run_up(settings, chosen, console.out)))
