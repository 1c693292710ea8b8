"""A backtest's report for a terminal."""

from collections.abc import Iterator

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from services.triggers.backtest.report import Report, Sample, TriggerResult


def render(report: Report) -> RenderableType:
    """The report as tables and sentences."""
    drafts = [one for one in report.triggers if one.draft]
    return Group(
        _history(report),
        _triggers(report),
        *(_suppressed(one) for one in drafts if one.suppressed),
        *(_journeys(one) for one in drafts if one.offers or one.handoffs or one.results),
        *(_days(one, report.time_zone) for one in drafts if one.sends_by_day),
        *_samples(report),
        Text(_assumption(report)),
    )


def _assumption(report: Report) -> str:
    failing = report.fail_share_percent
    told = f"but {failing} % of them, which fail at once" if failing else "accepted at once"
    return f"Simulated: every send is decided as if it were {told}. Nothing was sent."


def _history(report: Report) -> Table:
    table = Table(title="History", title_justify="left", show_header=False, min_width=44)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    rows: dict[str, object] = {"from": report.begins_at, "to": report.ends_at}
    rows |= {"events": report.events, "events after it, left out": report.events_after}
    rows |= report.folded
    rows |= {f"refused: {code}": count for code, count in report.refused.items()}
    rows |= {"people": report.people}
    for name, value in rows.items():
        if value != 0 or name == "events":
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    return table


def _triggers(report: Report) -> Table:
    title = "Triggers, with the drafts (*) among them and without"
    table = Table(title=title, title_justify="left")
    table.add_column("trigger", style="cyan", overflow="fold")
    for name in ("sends", "people", "without", "displaced", "moved", "gained"):
        table.add_column(name, justify="right")
    for one in report.triggers:
        if not one.draft and not one.people_considered and not one.sends_without_draft:
            continue
        counts = (one.sends, one.people_reached, one.sends_without_draft,
                  one.displaced, one.moved, one.gained)  # fmt: skip
        name = f"{one.trigger} *" if one.draft else one.trigger
        table.add_row(name, *(f"{count:,}" for count in counts))
    return table


def _suppressed(one: TriggerResult) -> Table:
    table = Table(title=f"{one.trigger}: not sent, by reason", title_justify="left")
    table.add_column("outcome", style="cyan")
    table.add_column("policy")
    table.add_column("decisions", justify="right")
    for reason in one.suppressed:
        outcome = f"{reason.outcome}, put off" if reason.put_off else reason.outcome
        table.add_row(outcome, reason.policy, f"{reason.decisions:,}")
    return table


def _journeys(one: TriggerResult) -> Table:
    table = Table(title=f"{one.trigger}: journeys", title_justify="left", show_header=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    rows = {"offers": one.offers, "handed to people": one.handoffs}
    rows |= {f"ended: {result}": count for result, count in one.results.items()}
    for name, count in rows.items():
        if count:
            table.add_row(escape(name), f"{count:,}")
    return table


def _days(one: TriggerResult, zone: str) -> RenderableType:
    days = [f"{day} {count:>6,}" for day, count in one.sends_by_day.items()]
    return Group(Text(f"{one.trigger}: sends a day ({zone})"), Columns(days, padding=(0, 3)))


def _samples(report: Report) -> Iterator[RenderableType]:
    for sample in report.samples:
        yield Text.from_markup(f"[cyan]{escape(_headline(sample))}[/cyan]")
        for finding in sample.explanation.findings:
            yield Text(f"  {finding.sentence}")


def _headline(sample: Sample) -> str:
    one = sample.explanation
    reached = "reached" if sample.reached else "considered, not reached"
    return f"{one.trigger}, {one.person}: {reached}, {one.decisions} decisions"
