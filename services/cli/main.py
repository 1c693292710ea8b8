"""`cuestream`: one command for every part."""

import runpy

import typer

from services.cli import console, dead_letters, jobs, privacy
from services.cli.access_commands import audit, tokens
from services.cli.apply import apply_command
from services.cli.backtest import backtest_command
from services.cli.dead_letters_done import discard_command, replay_command
from services.cli.definition_commands import PLURALS, add_trigger_commands, make_group
from services.cli.demo import demo_command
from services.cli.explain import explain_command
from services.cli.migrations import OWNERS, migrate_all
from services.cli.review_commands import add_review_commands, add_version_commands
from services.cli.rfm import rfm_command
from services.cli.segment_commands import segment_overlap, segment_sizes
from services.cli.stop_commands import resume, stop, stops
from services.cli.tag_commands import tag_report
from services.cli.template_commands import preview
from services.cli.up import up_command
from services.contracts.topics import TOPICS
from services.runtime.kafka import create_topics
from services.runtime.settings import DatabaseSettings, KafkaSettings, load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Real-time triggers for marketing, on your own machines.",
)
app.command("up")(up_command)
app.command("demo")(demo_command)
app.command("apply")(apply_command)
app.command("backtest")(backtest_command)
app.command("explain")(explain_command)
app.command("rfm")(rfm_command)
dead_letters.app.command("replay")(replay_command)
dead_letters.app.command("discard")(discard_command)
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(jobs.app, name="jobs")
app.add_typer(privacy.app, name="privacy")


app.command("audit")(audit)
app.command("stop")(stop)
app.command("resume")(resume)
app.command("stops")(stops)
app.add_typer(tokens, name="tokens")


def _group_of(kind: str, told: str, *, alone: bool = False) -> typer.Typer:
    group = make_group(kind, told, alone=alone)
    add_review_commands(group, kind)
    add_version_commands(group, kind)
    app.add_typer(group, name=PLURALS[kind])
    return group


_triggers = _group_of("trigger", "", alone=True)
add_trigger_commands(_triggers)


@_triggers.callback(invoke_without_command=True)
def triggers(context: typer.Context) -> None:
    """Look at triggers and change them; without a command, run a triggers worker."""
    if context.invoked_subcommand is None:
        _run_module("services.triggers.worker")


_group_of("tag", "Look at tags and change them.").command("report")(tag_report)
_segments = _group_of("segment", "Look at segments and change them, see who is in them.")
_segments.command("sizes")(segment_sizes)
_segments.command("overlap")(segment_overlap)
_group_of("lifecycle", "Look at life cycles and change them.")
_group_of("template", "Look at templates, change them, see them filled in.").command("preview")(
    preview
)
_group_of("policy", "Look at frequency caps and change them.")


def _run_module(module: str) -> None:
    """Become the process of a service; it reads its settings from the environment."""
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@app.command()
def ingest() -> None:
    """Run the HTTP API that takes events."""
    _run_module("services.ingest")


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
