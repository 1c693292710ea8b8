"""UCI Online Retail as Segment messages: one `track` call for each line of the file.

The mapping, by the kind of line:

| line | event | amounts |
|---|---|---|
| invoice `C…` (a cancellation) | `Product Returned` | positive |
| invoice `A…` (bad debt) | `Balance Adjusted` | as they stand |
| negative quantity without `C` | `Stock Adjusted` | as they stand |
| price of nought | `Product Given` | as they stand |
| every other line | `Product Purchased` | as they stand |

A line without a customer becomes a message without identity, which ingest refuses: nothing
is invented for it. Exact duplicate lines get the same `messageId`.
"""

import csv
import gzip
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TextIO
from zoneinfo import ZoneInfo

import msgspec

from services.contracts.errors import Malformed

COLUMNS: Final = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice",
    "CustomerID", "Country",
)  # fmt: skip
LOCAL_ZONE: Final = ZoneInfo("Europe/London")
LINES_MAX: Final = 10_000_000
"""A longer file is no Online Retail; the replay keeps a few counters a line."""

PURCHASED: Final = "Product Purchased"
RETURNED: Final = "Product Returned"
GIVEN: Final = "Product Given"
STOCK_ADJUSTED: Final = "Stock Adjusted"
BALANCE_ADJUSTED: Final = "Balance Adjusted"


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of the file. `local_at` is UK local time; `customer` is empty where unknown."""

    invoice: str
    product: str
    description: str
    quantity: int
    local_at: str
    price: Decimal
    customer: str
    country: str
    message_id: str


def open_text(path: Path) -> TextIO:
    """Open a text file in UTF-8, plain or gzipped, told apart by its first bytes."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


@lru_cache(maxsize=4096)
def utc(local_at: str) -> datetime:
    """UTC of a UK local time such as `2010-12-01T08:26:00`; a repeated hour is its first.

    Raises:
        Malformed: `bad_line`, the text is no local time.
    """
    try:
        local = datetime.fromisoformat(local_at)
    except ValueError:
        raise Malformed("bad_line", "InvoiceDate is not like 2010-12-01T08:26:00") from None
    if local.tzinfo is not None:
        raise Malformed("bad_line", "InvoiceDate must be UK local time without a zone")
    return local.replace(tzinfo=LOCAL_ZONE).astimezone(UTC)


def _line(cells: list[str], number: int) -> Line:
    if len(cells) != len(COLUMNS):
        raise Malformed("bad_line", f"line {number} has {len(cells)} columns, not {len(COLUMNS)}")
    try:
        quantity, price = int(cells[3]), Decimal(cells[5])
        utc(cells[4])
    except (ValueError, InvalidOperation):
        raise Malformed("bad_line", f"line {number}: quantity or price is no number") from None
    except Malformed as error:
        raise Malformed(error.code, f"line {number}: {error.message}") from error
    if not price.is_finite():
        raise Malformed("bad_line", f"line {number}: the price is not finite")
    digest = hashlib.blake2b("\x1f".join(cells).encode(), digest_size=16).hexdigest()
    return Line(
        invoice=cells[0],
        product=cells[1],
        description=cells[2],
        quantity=quantity,
        local_at=cells[4],
        price=price,
        customer=cells[6],
        country=cells[7],
        message_id=f"retail-{digest}",
    )


def read_lines(path: Path) -> Iterator[Line]:
    """Read a `.csv` or `.csv.gz` lazily, in the file's order, which must be that of time.

    Raises:
        Malformed: `bad_file` or `bad_line`, with the number of the line that is wrong.
        OSError: the file cannot be read.
    """
    before = ""
    try:
        with open_text(path) as text:
            rows = csv.reader(text, strict=True)
            if tuple(next(rows, ())) != COLUMNS:
                raise Malformed("bad_file", f"the first line must be {','.join(COLUMNS)}")
            for number, cells in enumerate(rows, start=2):
                if number > LINES_MAX:
                    raise Malformed("bad_file", f"more than {LINES_MAX} lines")
                line = _line(cells, number)
                if line.local_at < before:
                    raise Malformed("bad_file", f"line {number} is older than the line before it")
                before = line.local_at
                yield line
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as error:
        raise Malformed("bad_file", "not a CSV file in UTF-8, plain or gzipped") from error


def event_name(line: Line) -> str:
    """What the line says happened (the table above)."""
    if line.invoice.startswith("C"):
        return RETURNED
    if line.invoice.startswith("A"):
        return BALANCE_ADJUSTED
    if line.quantity < 0:
        return STOCK_ADJUSTED
    return GIVEN if line.price == 0 else PURCHASED


def to_message(line: Line) -> dict[str, Any]:
    """The line as a message of Segment's HTTP specification; `sentAt` is left out on purpose.

    With it ingest would correct the timestamp by the difference to today's clock.
    """
    name = event_name(line)
    quantity = abs(line.quantity) if name == RETURNED else line.quantity
    message: dict[str, Any] = {
        "type": "track",
        "event": name,
        "messageId": line.message_id,
        "timestamp": utc(line.local_at).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "properties": {
            "order_id": line.invoice,
            "product_id": line.product,
            "description": line.description,
            "quantity": quantity,
            "price": float(line.price),
            "revenue": float(line.price * quantity),
            "currency": "GBP",
            "country": line.country,
        },
    }
    if line.customer:
        message["userId"] = line.customer
    return message
