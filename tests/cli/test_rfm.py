"""`cuestream rfm` on files made here, and on real ones beside a plain pandas computation."""

import csv
import io
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from services.cli import data as data_package
from services.cli.main import app
from services.cli.retail import COLUMNS

SAMPLE = Path(data_package.__file__).parent / "online_retail_sample.csv.gz"
WHOLE = os.environ.get("CUESTREAM_RFM_FILES")
"""A folder with rfm_orders.csv (of the R package rfm) and the whole online_retail.csv.gz."""
FIFTHS = [0.2, 0.4, 0.6, 0.8]
PUBLISHED = {
    "Abbey O'Reilly DVM": (205, 6, 472, 3, 4, 3),
    "Add Senger": (140, 3, 340, 4, 1, 2),
    "Aden Lesch Sr.": (194, 4, 405, 3, 2, 3),
    "Admiral Senger": (132, 5, 448, 4, 3, 3),
    "Agness O'Keefe": (90, 9, 843, 5, 5, 5),
    "Aileen Barton": (84, 9, 763, 5, 5, 5),
    "Ailene Hermann": (281, 8, 699, 3, 5, 5),
    "Aiyanna Bruen PhD": (246, 4, 157, 3, 2, 1),
    "Ala Schmidt DDS": (349, 3, 363, 2, 1, 2),
    "Alannah Borer": (619, 4, 196, 1, 2, 1),
}
"""The first ten of what the R package's own documentation prints, at 2006-12-31."""


def rfm(path: Path, *arguments: str, fails: bool = False) -> str:
    done = CliRunner().invoke(app, ["rfm", str(path), *arguments])
    assert (done.exit_code != 0) == fails, done.output
    return done.stderr if fails else done.stdout


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def file_of(folder: Path, *lines: str) -> Path:
    path = folder / "orders.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def test_any_file_with_customer_date_and_amount_is_read(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, "who,when,paid,no", "ada,2026-03-01,10,1", "ada,2026-03-01T10:00:00,5,1",
        "bob,2026-02-01T00:00:00+01:00,20,2", "ada,2026-03-02,-4,3", ",2026-03-02,1,4",
    )  # fmt: skip
    columns = "customer=who,date=when,amount=paid,order=no"
    printed = rfm(path, "--at", "2026-03-03", "--columns", columns, "--format", "csv")
    assert [tuple(row.values())[:4] for row in rows(printed)] == [
        ("ada", "1", "1", "11.00"),
        ("bob", "30", "1", "20.00"),
    ]


def test_the_table_ends_with_how_many_people_each_rule_gives_each_score(tmp_path: Path) -> None:
    lines = [f"c{n},2026-01-{n:02},{n * 10}" for n in range(1, 11)]
    path = file_of(tmp_path, "customer_id,order_date,revenue", *lines)
    printed = rfm(path, "--at", "2026-02-01")
    assert "by x <= q    people at 1:2 2:2 3:2 4:2 5:2, chosen" in printed
    assert "monetary: cuts 28, 46, 64, 82" in printed
    assert "10 customers at 2026-02-01" in printed


def test_json_tells_everything_that_csv_and_summary_tell(tmp_path: Path) -> None:
    path = file_of(tmp_path, "customer_id,order_date,revenue", "ada,2026-01-01,7")
    told = msgspec.json.decode(rfm(path, "--at", "2026-01-31", "--format", "json"))
    assert told["customers"][0]["rfm"] == {
        "customer": "ada", "recency": 30, "frequency": 1, "monetary": 7.0,
    }  # fmt: skip
    assert told["people"]["lt_next"]["recency"] == {"1": 0, "2": 0, "3": 0, "4": 0, "5": 1}


def test_fixed_cuts_stand_instead_of_the_populations(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, "customer_id,order_date,revenue", "ada,2026-01-01,7", "bo,2026-01-30,9"
    )
    printed = rfm(path, "--at", "2026-01-31", "--recency-cuts", "7,14,28,60", "--format", "csv")
    assert [row["r"] for row in rows(printed)] == ["2", "5"]


def test_a_day_is_24_hours_even_where_clocks_are_changed(tmp_path: Path) -> None:
    # London goes from +1 to +0: between the two are 24.5 hours, 23.5 by the clock on the wall.
    path = file_of(tmp_path, "customer_id,order_date,revenue", "ada,2026-10-24T23:30:00,7")
    given = ("--at", "2026-10-25T23:00:00", "--format", "csv", "--zone")
    assert rows(rfm(path, *given, "Europe/London"))[0]["recency"] == "1"
    assert rows(rfm(path, *given, "UTC"))[0]["recency"] == "0"


def test_same_day_orders_merge_by_the_zones_day(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, "customer_id,order_date,revenue", "ada,2026-01-01T23:30:00+00:00,7",
        "ada,2026-01-02T00:30:00+00:00,7",
    )  # fmt: skip
    given = ("--at", "2026-01-31", "--by-day", "--format", "csv", "--zone")
    assert rows(rfm(path, *given, "UTC"))[0]["frequency"] == "2"
    assert rows(rfm(path, *given, "Asia/Shanghai"))[0]["frequency"] == "1"


@pytest.mark.parametrize(
    ("lines", "arguments", "said"),
    [
        (("customer_id,order_date", "a,2026-01-01"), (), "no column revenue"),
        (("customer_id,order_date,revenue", "a,yesterday,1"), (), "line 2"),
        (("customer_id,order_date,revenue", "a,2026-01-01,nan"), (), "line 2"),
        (("customer_id,order_date,revenue", "a,2026-01-01,-1"), (), "nobody ordered"),
        (("customer_id,order_date,revenue", "a,2026-01-01,1"), ("--zone", "Mars"), "--zone"),
        (("customer_id,order_date,revenue", "a,2026-01-01,1"), ("--columns", "x=y"), "--columns"),
        (
            ("customer_id,order_date,revenue", "a,2026-01-01,1"),
            ("--monetary-cuts", "1,2,2,3"),
            "four ascending",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    tmp_path: Path, lines: tuple[str, ...], arguments: tuple[str, ...], said: str
) -> None:
    assert said in rfm(file_of(tmp_path, *lines), "--at", "2026-02-01", *arguments, fails=True)


def test_a_name_from_a_file_cannot_talk_to_the_terminal(tmp_path: Path) -> None:
    path = file_of(tmp_path, "customer_id,order_date,revenue", "a\x1b[2J,2026-01-01,1")
    assert "\x1b" not in rfm(path, "--at", "2026-02-01")


def by_pandas(path: Path, at: str, *, by_day: bool, rule: str) -> dict[str, tuple[Any, ...]]:
    """R, F, M and scores by group-bys alone."""
    import pandas as pd

    lines = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(lines.columns) == COLUMNS:
        lines = lines[lines["CustomerID"] != ""].drop_duplicates()
        numbers = lines["Quantity"].astype(int)
        price = lines["UnitPrice"].astype(float)
        lines["pence"] = numbers * (price * 1000).round().astype("int64")
        lines["when"] = pd.to_datetime(lines["InvoiceDate"])
        lines["who"], lines["order"] = lines["CustomerID"], lines["InvoiceNo"]
        ordered = ~lines["InvoiceNo"].str.match("[CA]") & (numbers > 0) & (price > 0)
    else:
        lines["pence"] = (lines["revenue"].astype(float) * 1000).round().astype("int64")
        lines["when"] = pd.to_datetime(lines["order_date"])
        lines["who"], lines["order"] = lines["customer_id"], range(len(lines))
        ordered = lines["pence"] >= 0
    orders = lines[ordered]
    table = pd.DataFrame({"last": orders.groupby("who")["when"].max()})
    # By the clock on the wall: both files have no order in the hour where that is another day.
    table["recency"] = (pd.Timestamp(at) - table["last"]).dt.days
    what = orders["when"].dt.date if by_day else orders["order"]
    table["frequency"] = what.groupby(orders["who"]).nunique()
    table["monetary"] = lines.groupby("who")["pence"].sum() / 1000
    for name in ("recency", "frequency", "monetary"):
        passed = table[name] * 0
        for cut in table[name].quantile(FIFTHS):
            passed += (table[name] > cut) if rule == "lte" else (table[name] >= cut + 1)
        table[f"{name}_score"] = (5 - passed) if name == "recency" else 1 + passed
    wanted = ["recency", "frequency", "monetary"]
    wanted += [f"{name}_score" for name in wanted]
    return {
        str(who): tuple(row) for who, row in zip(table.index, table[wanted].to_numpy(), strict=True)
    }


def by_command(path: Path, at: str, *, by_day: bool, rule: str) -> dict[str, tuple[Any, ...]]:
    given = ["--at", at, "--rule", rule, "--format", "json", *(["--by-day"] if by_day else [])]
    told = msgspec.json.decode(rfm(path, *given))
    return {
        one["rfm"]["customer"]: (
            one["rfm"]["recency"], one["rfm"]["frequency"], one["rfm"]["monetary"],
            one["r"], one["f"], one["m"],
        )
        for one in told["customers"]
    }  # fmt: skip


@pytest.mark.embedded
@pytest.mark.parametrize("rule", ["lte", "lt_next"])
@pytest.mark.parametrize("by_day", [False, True])
def test_the_bundled_orders_come_to_what_pandas_says(by_day: bool, rule: str) -> None:
    wanted = by_pandas(SAMPLE, "2011-12-10", by_day=by_day, rule=rule)
    assert len(wanted) > 600
    assert by_command(SAMPLE, "2011-12-10", by_day=by_day, rule=rule) == wanted


@pytest.mark.embedded
@pytest.mark.skipif(WHOLE is None, reason="CUESTREAM_RFM_FILES names no folder")
@pytest.mark.parametrize("rule", ["lte", "lt_next"])
@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize(
    ("name", "at", "people"),
    [("rfm_orders.csv", "2006-12-31", 995), ("online_retail.csv.gz", "2011-12-10", 4338)],
)
def test_whole_files_come_to_what_pandas_says(
    name: str, at: str, people: int, by_day: bool, rule: str
) -> None:
    path = Path(WHOLE or "") / name
    wanted = by_pandas(path, at, by_day=by_day, rule=rule)
    assert len(wanted) == people
    assert by_command(path, at, by_day=by_day, rule=rule) == wanted


@pytest.mark.embedded
@pytest.mark.skipif(WHOLE is None, reason="CUESTREAM_RFM_FILES names no folder")
def test_the_r_packages_customers_get_the_scores_that_it_publishes() -> None:
    path = Path(WHOLE or "") / "rfm_orders.csv"
    found = by_command(path, "2006-12-31", by_day=False, rule="lt_next")
    assert {name: found[name] for name in PUBLISHED} == PUBLISHED
