"""Orders in CSV files as payments: Online Retail as it is, any other by names of columns."""

import csv
import gzip
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from services.cli import retail
from services.contracts.errors import Malformed
from services.contracts.time import Micros, to_micros
from services.profile_store.analysis.rfm import Payment

COLUMNS: Final[Mapping[str, str]] = {
    "customer": "customer_id",
    "date": "order_date",
    "amount": "revenue",
}
OPTIONAL: Final = ("order",)
LINES_MAX: Final = 50_000_000
AMOUNT_ABS_MAX: Final = Decimal("1e15")


class Skipped(msgspec.Struct, kw_only=True):
    """Lines that no customer's account has, and why."""

    without_customer: int = 0
    duplicate: int = 0


def header_of(path: Path) -> tuple[str, ...]:
    """The names of a file's columns.

    Raises:
        Malformed: `bad_file`.
        OSError: the file cannot be read.
    """
    try:
        with retail.open_text(path) as text:
            return tuple(next(csv.reader(text, strict=True), ()))
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as error:
        raise Malformed("bad_file", "not a CSV file in UTF-8, plain or gzipped") from error


def instant(text: str, zone: ZoneInfo) -> Micros:
    """A date (its first instant) or a date-time; without an offset it is local time of `zone`.

    Of a local time that comes twice the first is meant; one that is skipped is taken with the
    offset before the gap.

    Raises:
        ValueError: it is neither.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return to_micros(moment.astimezone(UTC))


def read_payments(
    path: Path, zone: ZoneInfo, columns: Mapping[str, str], skipped: Skipped
) -> Iterator[Payment]:
    """Payments of a file, lazily, and what was left out counted into `skipped`.

    Raises:
        Malformed: `bad_file` or `bad_line`, with the number of the line that is wrong.
        OSError: the file cannot be read.
    """
    if header_of(path) == retail.COLUMNS:
        return _of_retail(path, zone, skipped)
    return _of_table(path, zone, columns, skipped)


def _of_retail(path: Path, zone: ZoneInfo, skipped: Skipped) -> Iterator[Payment]:
    """Lines of an invoice are one order; what the replay knows as no purchase is none here."""
    seen: set[str] = set()
    for line in retail.read_lines(path):
        if not line.customer:
            skipped.without_customer += 1
        elif line.message_id in seen:
            skipped.duplicate += 1
        else:
            seen.add(line.message_id)
            yield Payment(
                customer=line.customer,
                at=instant(line.local_at, zone),
                amount=line.price * line.quantity,
                order=line.invoice,
                orders=retail.event_name(line) == retail.PURCHASED,
            )


def _of_table(
    path: Path, zone: ZoneInfo, columns: Mapping[str, str], skipped: Skipped
) -> Iterator[Payment]:
    try:
        with retail.open_text(path) as text:
            rows = csv.reader(text, strict=True)
            header = next(rows, [])
            places = _places(header, columns)
            for number, cells in enumerate(rows, start=2):
                if number > LINES_MAX:
                    raise Malformed("bad_file", f"more than {LINES_MAX} lines")
                if len(cells) != len(header):
                    raise Malformed("bad_line", f"line {number} has {len(cells)} columns")
                payment = _payment(cells, places, zone, number)
                if payment.customer:
                    yield payment
                else:
                    skipped.without_customer += 1
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as error:
        raise Malformed("bad_file", "not a CSV file in UTF-8, plain or gzipped") from error


def _places(header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    missing = sorted(set(columns.values()) - set(header))
    if missing:
        raise Malformed("bad_file", f"no column {', '.join(missing)}: name them with --columns")
    return {role: header.index(name) for role, name in columns.items()}


def _payment(cells: list[str], places: Mapping[str, int], zone: ZoneInfo, number: int) -> Payment:
    try:
        at = instant(cells[places["date"]], zone)
    except (ValueError, OverflowError):
        raise Malformed("bad_line", f"line {number}: no date or date-time of ISO 8601") from None
    try:
        amount = Decimal(cells[places["amount"]])
    except InvalidOperation:
        raise Malformed("bad_line", f"line {number}: the amount is no number") from None
    if not amount.is_finite() or abs(amount) > AMOUNT_ABS_MAX:
        raise Malformed("bad_line", f"line {number}: the amount is beyond {AMOUNT_ABS_MAX}")
    order = cells[places["order"]] or None if "order" in places else None
    return Payment(customer=cells[places["customer"]], at=at, amount=amount, order=order)
