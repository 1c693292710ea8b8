"""`cuestream jobs run`: cuts of scores and parameters of models, now."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

from services.cli import console
from services.contracts.errors import CuestreamError
from services.profile_store.jobs.process import run_job
from services.profile_store.jobs.running import Ended
from services.profile_store.jobs.settings import JobSettings
from services.runtime.settings import load

app = typer.Typer(no_args_is_help=True, help="Jobs over everybody's profiles.")


@app.callback()
def jobs() -> None:
    """Jobs over everybody's profiles."""


@app.command("run")
def run_command(
    job: Annotated[Literal["rfm", "models"], typer.Argument(help="cuts of scores, or models")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="publish nothing")] = False,
) -> None:
    """Compute what scores or predicted tags need from all profiles, and publish it.

    Reads PostgreSQL, and publishes through the marketers' API at CUESTREAM_PROFILE_STORE_API_URL.
    """

    async def work() -> Ended:
        ended = await run_job(load(JobSettings), job, dry_run=dry_run)
        if ended.outcome is None:
            raise CuestreamError(f"{job} is under way already")
        if ended.outcome == "failed":
            raise CuestreamError(str(ended.report.get("failed")))
        return ended

    typer.echo("\n".join(lines_of(console.run(work()))))


def lines_of(ended: Ended) -> Iterator[str]:
    """The report, for people."""
    report = ended.report
    for name, told in report.get("tags", {}).items():
        yield name
        yield from (f"  {line}" for line in _of_tag(told))
    for name, judged in report.get("forecasts", {}).items():
        shown = ", ".join(f"{one} {value:g}" for one, value in judged.items())
        yield f"{name} forecast: {shown}"
    sampled = ", a sample of them taken" if report.get("sampled") else ""
    yield f"{report.get('people', 0)} people{sampled}"
    revision = report.get("revision")
    yield ended.outcome or "" if revision is None else f"published in revision {revision}"


def _of_tag(told: dict[str, Any]) -> Iterator[str]:
    if "cuts" in told:
        yield f"cuts {_row(told['cuts'])}, before {_row(told['cuts_before'])}"
        for rule, people in told["people"].items():
            shown = " ".join(f"{score}:{size}" for score, size in people.items())
            yield f"by {rule} people at {shown}{', chosen' if rule == told['rule'] else ''}"
    for name in ("parameters", "figures"):
        if told.get(name):
            yield f"{name} " + ", ".join(f"{one} {value:g}" for one, value in told[name].items())
    yield from (f"not published: {reason}" for reason in told.get("refused", ()))


def _row(numbers: list[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
