"""`cuestream`: one command for every part."""

import os
import runpy
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli import console, dead_letters
from services.cli.definitions import apply, files_of, read_definitions
from services.cli.demo import demo_command
from services.cli.migrations import OWNERS, migrate_all
from services.cli.stack import DEFAULT_PORTS
from services.cli.up import up_command
from services.contracts.errors import CuestreamError
from services.contracts.topics import TOPICS
from services.runtime.kafka import create_topics
from services.runtime.settings import DatabaseSettings, KafkaSettings, load

API_URL: Final = f"http://127.0.0.1:{DEFAULT_PORTS['api']}"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Real-time triggers for marketing, on your own machines.",
)
app.command("up")(up_command)
app.command("demo")(demo_command)
app.add_typer(dead_letters.app, name="dlq")


def _run_module(module: str) -> None:
    """Become the process of a service; it reads its settings from the environment."""
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@app.command()
def ingest() -> None:
    """Run the HTTP API that takes events."""
    _run_module("services.ingest")


@app.command()
def triggers() -> None:
    """Run a triggers worker."""
    _run_module("services.triggers.worker")


@app.command("triggers-api")
def triggers_api() -> None:
    """Run the marketers' API."""
    _run_module("services.triggers.api")


@app.command("profile-store")
def profile_store() -> None:
    """Run the profile store."""
    _run_module("services.profile_store")


@app.command()
def dispatcher() -> None:
    """Run the dispatcher."""
    _run_module("services.dispatcher")


@app.command()
def topics() -> None:
    """Create the topics that are missing."""
    created = console.run(create_topics(load(KafkaSettings), TOPICS))
    typer.echo("\n".join(f"created {name}" for name in created) or "all topics are there")


@app.command()
def migrate() -> None:
    """Bring every schema of the database to its newest version."""
    console.run(migrate_all(load(DatabaseSettings).database_url.get_secret_value()))
    typer.echo(f"up to date: {', '.join(OWNERS)}")


@app.command("apply")
def apply_command(
    paths: Annotated[list[Path], typer.Argument(help="files or folders of definitions")],
    api_url: Annotated[str, typer.Option(help="address of the marketers' API")] = API_URL,
) -> None:
    """Put definitions from files in force, in one revision.

    The token is taken from CUESTREAM_API_TOKENS.
    """
    token = os.environ.get("CUESTREAM_API_TOKENS", "").split(",")[0].strip()

    async def work() -> None:
        try:
            definitions = read_definitions(file for path in paths for file in files_of(path))
        except OSError as error:
            raise CuestreamError(f"{error.filename}: {error.strerror}") from error
        applied = await apply(api_url, token, definitions)
        for change in applied.changes:
            typer.echo(f"{change.action} {change.kind} {change.id}")
        revision = applied.revision
        typer.echo("nothing to change" if revision is None else f"in force as revision {revision}")

    console.run(work())
