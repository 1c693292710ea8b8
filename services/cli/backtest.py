"""`cuestream backtest`: what drafts would have done, had they been live all along."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from services.cli import console
from services.cli.backtest_rules import read_files
from services.cli.backtest_run import TOPIC, question, run
from services.cli.backtest_tables import render
from services.contracts.definitions import Bundle
from services.runtime.settings import KafkaSettings, load
from services.triggers.backtest.play import PERCENT
from services.triggers.backtest.report import Report, encode_report
from services.triggers.backtest.rules import bundle_of, read_topic_bundle
from services.triggers.backtest.run import Say

SAMPLES_MAX: Final = 1_000
GC_THRESHOLD: Final = (100_000, 20, 50)
"""Young objects before a collection. States hold no cycles; scanning them is what costs."""


async def _live_bundle(settings: KafkaSettings, definitions: str | None, events: str) -> Bundle:
    if definitions == TOPIC or (definitions is None and events == TOPIC):
        return await read_topic_bundle(settings)
    return bundle_of([] if definitions is None else read_files([Path(definitions)]))


def backtest_command(
    trigger: Annotated[
        list[Path],
        typer.Option(
            help="YAML or JSON file (or folder) with the drafts: triggers, tags, policies"
        ),
    ],
    events: Annotated[
        str,
        typer.Option(
            help="history: a file with one message of Segment's form a line, or the demo's CSV, "
            f"plain or gzipped; or '{TOPIC}': the topic events"
        ),
    ],
    definitions: Annotated[
        str | None,
        typer.Option(
            help=f"what is live beside the drafts: a file or folder, or '{TOPIC}': the topic "
            "definitions (the default where events come from theirs; else nothing is)"
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="count from here: a date of the workspace or an instant; what lies before fills "
            "profiles, caps and waiting entries",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="stop before this date or instant; else at the last event")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
    samples: Annotated[
        int,
        typer.Option(min=0, max=SAMPLES_MAX, help="people shown of each draft, reached and not"),
    ] = 5,
    seed: Annotated[int, typer.Option(help="another seed shows other people")] = 0,
    fail_share: Annotated[
        int,
        typer.Option(min=0, max=PERCENT, help="percent of the sends that fail, chosen by a hash"),
    ] = 0,
) -> None:
    """Play history through the engine, without and with drafts, and say what they change.

    Every send counts as accepted the moment it is decided. Nothing is sent and nothing is
    published. Progress goes to standard error, the report to standard output.
    """
    gc.set_threshold(*GC_THRESHOLD)

    async def work() -> Report:
        settings = load(KafkaSettings)
        asked = question(
            trigger,
            await _live_bundle(settings, definitions, events),
            workspace=settings.workspace,
            begins_at=from_,
            ends_at=to,
            samples=samples,
            seed=seed,
            fail_share=fail_share,
        )
        with _progress() as say:
            return await run(asked, events, say)

    report = console.run(work())
    if as_json:
        typer.echo(encode_report(report))
    else:
        console.out.print(render(report))


@contextmanager
def _progress() -> Iterator[Say]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    shown = console.err.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console.err, disable=not shown) as bar:
        task = bar.add_task("reading", total=None)

        def say(what: str, share: float | None) -> None:
            total = None if share is None else 1.0
            bar.update(task, description=what, completed=share or 0.0, total=total)

        yield say
