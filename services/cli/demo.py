"""`cuestream demo`: the main job on real orders, from HTTP to delivery, and what it came to."""

import asyncio
import signal
import tempfile
from collections.abc import Coroutine
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from pydantic import SecretStr
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli import console
from services.cli.demo_run import Demo
from services.cli.retail import read_lines, to_message
from services.cli.stack import Stack, StackSettings
from services.cli.summary import Summary, problems, render
from services.cli.up import print_addresses
from services.contracts.errors import CuestreamError, Malformed
from services.runtime.database import make_engine
from services.runtime.settings import DatabaseSettings

SAMPLE: Final = "online_retail_sample.csv.gz"


def bundled_sample() -> Path:
    """The sample that is shipped."""
    return Path(str(resources.files("services.cli.data").joinpath(SAMPLE)))


def count_lines(path: Path) -> int:
    """Read the whole file once, so that a wrong one is refused before anything starts.

    Raises:
        CuestreamError: it cannot be read, or is no Online Retail.
    """
    try:
        count = 0
        for line in read_lines(path):
            to_message(line)
            count += 1
    except Malformed as error:
        raise CuestreamError(f"{path}: {error.message}") from error
    except OSError as error:
        raise CuestreamError(f"{path}: {error.strerror or error}") from error
    if not count:
        raise CuestreamError(f"{path}: no lines")
    return count


def fresh_folder(path: Path) -> Path:
    """The folder, made if it is missing: what an earlier run left would be counted again.

    Raises:
        CuestreamError: it holds something, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise CuestreamError(f"{path} is not empty: the demo needs a folder of its own")
    except OSError as error:
        raise CuestreamError(f"{path}: {error.strerror or error}") from error
    return path.resolve()


async def _or_failed(stack: Stack, work: Coroutine[Any, Any, Summary]) -> Summary:
    """Do the work, unless a service is given up before it is done."""
    running = asyncio.create_task(work)
    failed = asyncio.create_task(stack.failed())
    try:
        await asyncio.wait((running, failed), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        raise failed.result()
    finally:
        for task in (running, failed):
            task.cancel()
        await asyncio.wait((running, failed))


async def until_told(work: Coroutine[Any, Any, int]) -> int:
    """Do the work; on SIGINT or SIGTERM cancel it, so that it stops what it started."""
    running = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    await asyncio.wait((running,))
    return console.EXIT_INTERRUPTED if running.cancelled() else running.result()


async def run_demo(path: Path, *, data_dir: Path, json_file: Path | None, keep: bool) -> int:
    """Start a stack, run the demo on it, print; gives the exit code of the process."""
    lines, data_dir = count_lines(path), fresh_folder(data_dir)
    console.out.print(f"starting: broker, PostgreSQL, five services (logs in {data_dir / 'logs'})")
    settings = StackSettings(data_dir=data_dir, free_ports=True, clock="replay", durable=False)
    async with Stack(settings) as stack:
        engine = make_engine(DatabaseSettings(database_url=SecretStr(stack.database_url)))
        try:
            with _progress() as bar:
                task = bar.add_task("starting", total=lines)
                demo = Demo(stack, engine, path, lines)
                summary = await _or_failed(
                    stack,
                    demo.run(
                        lambda what: bar.update(task, description=what),
                        lambda count: bar.advance(task, count),
                    ),
                )
        finally:
            await engine.dispose()
        right = report(summary, json_file)
        if keep:
            await _keep(stack)
    return 0 if right else 1


def report(summary: Summary, json_file: Path | None) -> bool:
    """Print the summary, write it as JSON; whether its counts agree."""
    console.out.print(render(summary))
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(summary)))
    wrong = problems(summary)
    for problem in wrong:
        console.out.print(f"[red]does not add up:[/red] {problem}")
    if not wrong:
        console.out.print("[green]every event and every send is accounted for[/green]")
    return not wrong


async def _keep(stack: Stack) -> None:
    print_addresses(stack, console.out, "those of the demo (retail)")
    raise await stack.failed()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console.out,
    )


def demo_command(
    file: Annotated[
        Path | None, typer.Option(help="the whole Online Retail, .csv or .csv.gz")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the summary here as JSON")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="keep data and logs in this folder")] = None,
    keep: Annotated[bool, typer.Option(help="leave everything running afterwards")] = False,
) -> None:
    """Replay real orders through everything and print what happened."""
    with tempfile.TemporaryDirectory(prefix="cuestream-demo-") as temporary:
        work = run_demo(
            file or bundled_sample(),
            data_dir=data_dir or Path(temporary),
            json_file=json_file,
            keep=keep,
        )
        code = console.run(until_told(work))
    raise typer.Exit(code)
