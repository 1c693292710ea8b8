"""The mapping from the retail file to Segment messages, and the bundled sample."""

import csv
import gzip
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.cli import data as data_package
from services.cli.data import make_sample
from services.cli.retail import COLUMNS, Line, read_lines, to_message
from services.contracts.errors import Malformed

SAMPLE = Path(data_package.__file__).parent / "online_retail_sample.csv.gz"
HEADER = ",".join(COLUMNS)
ORDER = "536365,85123A,WHITE HEART,6,2010-12-01T08:26:00,2.55,17850,United Kingdom"


def lines_of(tmp_path: Path, *rows: str, header: str = HEADER) -> list[Line]:
    path = tmp_path / "orders.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return list(read_lines(path))


def message_of(tmp_path: Path, row: str) -> dict[str, Any]:
    (line,) = lines_of(tmp_path, row)
    return to_message(line)


def test_an_order_line_is_a_purchase_with_exact_revenue(tmp_path: Path) -> None:
    message = message_of(tmp_path, ORDER)
    assert message["type"] == "track"
    assert message["event"] == "Product Purchased"
    assert message["userId"] == "17850"
    assert message["timestamp"] == "2010-12-01T08:26:00Z"
    assert message["properties"] == {
        "order_id": "536365",
        "product_id": "85123A",
        "description": "WHITE HEART",
        "quantity": 6,
        "price": 2.55,
        "revenue": 15.3,
        "currency": "GBP",
        "country": "United Kingdom",
    }


def test_a_cancellation_is_a_return_with_positive_amounts(tmp_path: Path) -> None:
    message = message_of(tmp_path, "C536379,D,Discount,-2,2010-12-01T09:41:00,27.5,14527,EIRE")
    assert message["event"] == "Product Returned"
    assert message["properties"]["quantity"] == 2
    assert message["properties"]["revenue"] == 55.0
    assert message["properties"]["order_id"] == "C536379"


@pytest.mark.parametrize(
    ("row", "name", "revenue"),
    [
        ("A563186,B,Adjust bad debt,1,2011-08-12T14:51:00,-11062.06,,EIRE", "Balance Adjusted",
         -11062.06),
        ("536589,21777,,-10,2010-12-01T16:50:00,0,,EIRE", "Stock Adjusted", 0.0),
        ("537197,22841,TIN,1,2010-12-05T14:02:00,0,12647,Germany", "Product Given", 0.0),
    ],
)  # fmt: skip
def test_lines_that_are_no_sale_get_an_honest_name(
    tmp_path: Path, row: str, name: str, revenue: float
) -> None:
    message = message_of(tmp_path, row)
    assert (message["event"], message["properties"]["revenue"]) == (name, revenue)


def test_uk_summer_time_becomes_utc(tmp_path: Path) -> None:
    row = ORDER.replace("2010-12-01T08:26:00", "2011-07-01T08:26:00")
    assert message_of(tmp_path, row)["timestamp"] == "2011-07-01T07:26:00Z"


def test_a_line_without_customer_claims_no_identity(tmp_path: Path) -> None:
    message = message_of(tmp_path, ORDER.replace("17850", ""))
    assert "userId" not in message
    assert "anonymousId" not in message


def test_exact_duplicates_share_a_message_id_and_nothing_else_does(tmp_path: Path) -> None:
    first, same, other = lines_of(tmp_path, ORDER, ORDER, ORDER.replace(",6,", ",7,"))
    assert first.message_id == same.message_id
    assert first.message_id != other.message_id


@pytest.mark.parametrize(
    "row",
    [
        "536365,85123A,WHITE",
        ORDER.replace(",6,", ",six,"),
        ORDER.replace("2.55", "NaN"),
        ORDER.replace("2.55", "much"),
        '536365,"85123A,open quote',
    ],
)
def test_a_wrong_line_is_refused_with_its_place(tmp_path: Path, row: str) -> None:
    with pytest.raises(Malformed):
        lines_of(tmp_path, ORDER, row)


def test_an_impossible_date_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="line 2: InvoiceDate"):
        message_of(tmp_path, ORDER.replace("2010-12-01", "2010-02-30"))


def test_a_file_that_goes_back_in_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="line 3 is older"):
        lines_of(tmp_path, ORDER, ORDER.replace("2010-12-01", "2010-11-30"))


def test_another_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="first line must be"):
        lines_of(tmp_path, ORDER, header="a,b,c")


def test_a_file_cut_off_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(SAMPLE.read_bytes()[:50_000])
    with pytest.raises(Malformed, match="bad_file"):
        list(read_lines(path))


def test_the_sample_is_what_its_readme_says() -> None:
    text = gzip.decompress(SAMPLE.read_bytes()).decode()
    rows = list(csv.DictReader(text.splitlines()))
    copies = Counter(tuple(row.values()) for row in rows)
    assert len(rows) == 73_964
    assert len({row["CustomerID"] for row in rows} - {""}) == 639
    assert sum(row["CustomerID"] == "" for row in rows) == 20_846
    assert sum(count - 1 for count in copies.values()) == 722


def test_cutting_the_sample_again_changes_nothing() -> None:
    text = gzip.decompress(SAMPLE.read_bytes())
    assert gzip.decompress(make_sample.cut(text)) == text


def test_every_line_of_the_sample_maps_to_a_message() -> None:
    names: Counter[str] = Counter()
    for line in read_lines(SAMPLE):
        message = to_message(line)
        names[message["event"]] += 1
        amount = message["properties"]["revenue"]
        assert Decimal(repr(amount)) == abs(line.price * line.quantity) or line.price < 0
    assert names.total() == 73_964
    assert {"Product Purchased", "Product Returned", "Stock Adjusted"} <= set(names)
