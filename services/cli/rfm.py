"""`cuestream rfm`: recency, frequency, monetary and their scores for every customer of a file."""

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
import typer

from services.cli import console, retail
from services.cli.rfm_files import COLUMNS, OPTIONAL, Skipped, header_of, instant, read_payments
from services.contracts.errors import CuestreamError
from services.contracts.time import from_micros
from services.profile_store.analysis.grids import Grid, segment_of
from services.profile_store.analysis.rfm import (
    RULES,
    Book,
    Cuts,
    Rule,
    Scored,
    cuts_of,
    population,
    scored,
)

HEADER: Final = (
    "customer", "recency", "frequency", "monetary", "r", "f", "m", "segment",
)  # fmt: skip
UTC: Final = "UTC"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody's scores and how they came about; `people` is rule to measure to score to
    how many people have it."""

    at: str
    rule: Rule
    by_day: bool
    cuts: dict[str, Cuts]
    people: dict[Rule, dict[str, dict[int, int]]]
    without_order: int
    later: int
    skipped: Skipped
    customers: list[Scored]


def analyse(
    file: Path,
    at: str,
    *,
    by_day: bool = False,
    rule: Rule = "lte",
    grid: Grid = "simple",
    columns: Mapping[str, str] = COLUMNS,
    zone: str | None = None,
    fixed: Mapping[str, Cuts] | None = None,
) -> Report:
    """Score every customer of a file; `fixed` cuts stand instead of the population's fifths.

    Raises:
        Malformed: something is wrong with the file, with the line if there is one.
        CuestreamError: `at` is no date, the zone is unknown, or nobody ordered.
        OSError: the file cannot be read.
    """
    where = _zone(zone, file)
    try:
        now = instant(at, where)
    except (ValueError, OverflowError):
        raise CuestreamError(f"--at {at}: neither a date nor a date-time of ISO 8601") from None
    book = Book(
        now, (lambda one: from_micros(one).astimezone(where).toordinal()) if by_day else None
    )
    skipped = Skipped()
    for payment in read_payments(file, where, columns, skipped):
        book.add(payment)
    customers = book.customers()
    if not customers:
        raise CuestreamError(f"{file}: nobody ordered until {at}")
    cuts = {**cuts_of(customers), **(fixed or {})}
    return Report(
        at=at,
        rule=rule,
        by_day=by_day,
        cuts=cuts,
        people={one: population(customers, cuts, one) for one in RULES},
        without_order=book.without_order,
        later=book.later,
        skipped=skipped,
        customers=scored(customers, cuts, rule, segment_of(grid)),
    )


def _zone(name: str | None, file: Path) -> ZoneInfo:
    if name is None:
        return retail.LOCAL_ZONE if header_of(file) == retail.COLUMNS else ZoneInfo(UTC)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise CuestreamError(f"--zone {name}: no name of the IANA time zone database") from None


def rows_of(report: Report) -> Iterator[tuple[str, ...]]:
    """A row of texts for each customer, in the order of `HEADER`."""
    for one in report.customers:
        rfm = one.rfm
        measures = (str(rfm.recency), str(rfm.frequency), f"{rfm.monetary:.2f}")
        yield (rfm.customer, *measures, str(one.r), str(one.f), str(one.m), one.segment)


def summary_of(report: Report) -> Iterator[str]:
    """Lines on the cuts, what each rule makes of them, segments, and what was left out."""
    for name, cuts in report.cuts.items():
        yield f"{name}: cuts {', '.join(f'{cut:g}' for cut in cuts)}"
        for rule in RULES:
            shown = "x <= q" if rule == "lte" else "x < q + 1"
            people = report.people[rule][name]
            chosen = ", chosen" if rule == report.rule else ""
            parts = " ".join(f"{score}:{number}" for score, number in people.items())
            yield f"  by {shown:9} people at {parts}{chosen}"
    names = sorted({one.segment for one in report.customers})
    for name in names:
        size = sum(one.segment == name for one in report.customers)
        yield f"{name}: {size} ({size / len(report.customers):.1%})"
    yield f"{len(report.customers)} customers at {report.at}"
    left = {
        "customers without an order": report.without_order,
        "payments after that": report.later,
        "lines without customer": report.skipped.without_customer,
        "lines that repeat another": report.skipped.duplicate,
    }
    yield from (f"left out: {number} {what}" for what, number in left.items() if number)


def _print_table(report: Report) -> None:
    rows = [HEADER, *rows_of(report)]
    # A name may hold anything; a terminal is told nothing by it.
    shown = [[cell if cell.isprintable() else ascii(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = [
            cell.rjust(width) if 0 < place < len(row) - 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())


def _print(report: Report, form: str) -> None:
    if form == "json":
        typer.echo(msgspec.json.encode(report).decode())
        return
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(rows_of(report))
    else:
        _print_table(report)
    typer.echo("\n".join(summary_of(report)), err=form == "csv")


def columns_of(text: str | None) -> dict[str, str]:
    """The names of columns from `customer=…,date=…,amount=…,order=…`, any of them left out.

    Raises:
        CuestreamError: there is no such role.
    """
    columns = dict(COLUMNS)
    for part in filter(None, (text or "").split(",")):
        role, _, name = part.partition("=")
        if role not in (*COLUMNS, *OPTIONAL) or not name:
            wanted = ", ".join(f"{one}=NAME" for one in (*COLUMNS, *OPTIONAL))
            raise CuestreamError(f"--columns {part}: give {wanted}, comma between")
        columns[role] = name
    return columns


def cuts_from(name: str, text: str | None) -> dict[str, Cuts]:
    """Four ascending numbers, as a measure's cuts; nothing where nothing is given.

    Raises:
        CuestreamError: it is not four ascending numbers.
    """
    if text is None:
        return {}
    try:
        one, two, three, four = (float(part) for part in text.split(","))
    except ValueError:
        one, two, three, four = (0.0,) * 4
    if not one < two < three < four:
        raise CuestreamError(f"--{name}-cuts {text}: give four ascending numbers, comma between")
    return {name: (one, two, three, four)}


def rfm_command(
    file: Annotated[Path, typer.Argument(help="CSV of orders, plain or gzipped")],
    at: Annotated[str, typer.Option(help="date or date-time that recency is counted to")],
    by_day: Annotated[
        bool, typer.Option("--by-day", help="orders of one local day are one order")
    ] = False,
    rule: Annotated[
        Literal["lte", "lt_next"], typer.Option(help="a cut q takes in x <= q, or x < q + 1")
    ] = "lte",
    grid: Annotated[
        Literal["simple", "eleven"], typer.Option(help="which names the scores get")
    ] = "simple",
    form: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    columns: Annotated[
        str | None,
        typer.Option(help="customer=customer_id,date=order_date,amount=revenue[,order=…]"),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="of times without offset (UTC; Online Retail: London)")
    ] = None,
    recency_cuts: Annotated[
        str | None, typer.Option(help="four numbers instead of the population's fifths")
    ] = None,
    frequency_cuts: Annotated[str | None, typer.Option(help="the same for orders")] = None,
    monetary_cuts: Annotated[str | None, typer.Option(help="the same for money")] = None,
) -> None:
    """Recency, frequency, monetary and scores from 1 to 5 of every customer of a file.

    Reads UCI Online Retail as it is, and any CSV with a customer, a date and an amount a
    line. Scores are fifths of all customers (type 7 quantiles) unless cuts are given.
    """

    async def work() -> Report:
        fixed: dict[str, Cuts] = {
            **cuts_from("recency", recency_cuts),
            **cuts_from("frequency", frequency_cuts),
            **cuts_from("monetary", monetary_cuts),
        }
        try:
            return analyse(
                file,
                at,
                by_day=by_day,
                rule=rule,
                grid=grid,
                columns=columns_of(columns),
                zone=zone,
                fixed=fixed,
            )
        except OSError as error:
            raise CuestreamError(f"{error.filename}: {error.strerror}") from error

    _print(console.run(work()), form)
